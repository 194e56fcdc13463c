"""Every list of the admin stays fast: it counts no whole table, and costs the same however many rows it shows."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.template import base as template_base
from django.test.utils import CaptureQueriesContext
from unfold.admin import checkbox
from unfold.templatetags import unfold_list

from accounts.admin_base import TenantModelAdmin
from accounts.audit.models import AuditEntry
from accounts.models import User
from agentplatform.lib.admin_lists import CappedPaginator
from runs.models import Run
from tests.browser.test_admin_pages import makers, path_of
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db

# Tables that are never large: accounts and workspaces of an installation, its worker processes.
SMALL = {"accounts.user", "accounts.workspace", "runs.worker"}
OF_THE_INSTALLATION = {"procrastinate.procrastinatejob", "accounts.securityevent"}
TENANTS = sorted(
    model._meta.label_lower
    for model, found in admin.site._registry.items()
    if isinstance(found, TenantModelAdmin)
)
# A count is bounded where it counts the rows of a sub-query with a limit.
WHOLE_COUNT = re.compile(r'SELECT COUNT\(\*\) AS "__count" FROM "\w+"')


@pytest.fixture
def client(olivia, workspace):
    """Of an admin of the workspace who sees everything in it."""
    olivia.memberships.update(role="admin")
    olivia.is_superuser = True
    olivia.save()
    return signed_in(olivia)


def queries(client, label) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path_of(label, "changelist")).status_code == 200
    return [query["sql"] for query in captured]


def test_every_list_of_a_tenants_table_is_capped():
    found = {model._meta.label_lower for model in admin.site._registry} - SMALL
    assert found - OF_THE_INSTALLATION <= set(TENANTS)
    for model, one in admin.site._registry.items():
        if isinstance(one, TenantModelAdmin) or model._meta.label_lower == "accounts.securityevent":
            assert issubclass(one.paginator, CappedPaginator)
            assert not one.show_full_result_count


@pytest.mark.parametrize("label", TENANTS)
def test_costs_the_same_however_many_rows_and_counts_no_table(client, workspace, label):
    makers[label](workspace)
    queries(client, label)
    few = queries(client, label)
    for _ in range(4):
        makers[label](workspace)
    many = queries(client, label)
    assert len(many) == len(few), many
    assert [sql for sql in many if WHOLE_COUNT.match(sql)] == []


def test_draws_a_rows_checkbox_as_unfold_does():
    row = User(pk="01890000-0000-7000-8000-000000000001")
    ours = admin.site._registry[AuditEntry].action_checkbox(row)
    assert ours == checkbox.render(ACTION_CHECKBOX_NAME, str(row.pk))


def test_makes_the_headers_of_a_list_once(client, workspace, monkeypatch):
    made = []
    make = unfold_list.result_headers.make
    monkeypatch.setattr(unfold_list.result_headers, "make", lambda changes: made.append(1) or make(changes))
    for _ in range(3):
        makers["runs.run"](workspace)
    page = client.get(path_of("runs.run", "changelist")).content.decode()
    assert (len(made), page.count("data-row"), page.count("<thead")) == (1, 3, 1)


def test_rows_ask_for_nothing_that_a_list_does_not_have(client, workspace, monkeypatch):
    """Django looks through all that a class has for a name that it does not have, which takes longer than a row."""
    missed = Counter()
    monkeypatch.setattr(
        template_base, "dir", lambda one: missed.update([type(one)]) or dir(one), raising=False
    )
    for _ in range(5):
        makers["runs.run"](workspace)
    client.get(path_of("runs.run", "changelist"))
    assert missed[type(admin.site._registry[Run])] == 0


def test_counts_what_a_search_of_the_audit_log_finds_up_to_a_thousand(client, workspace, monkeypatch):
    monkeypatch.setattr("accounts.audit.admin.MOST_COUNTED", 2)
    for _ in range(3):
        makers["accounts.auditentry"](workspace)
    word = AuditEntry.objects.filter(workspace=workspace).values_list("action", flat=True).last()
    shown = client.get(path_of("accounts.auditentry", "changelist"), {"q": word}).context["cl"]
    assert (shown.result_count, shown.paginator.is_capped) == (2, True)
    shown = client.get(path_of("accounts.auditentry", "changelist")).context["cl"]
    assert not shown.paginator.is_capped
