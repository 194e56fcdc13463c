"""Every list of the admin stays fast: it counts no whole table, and costs the same however many rows it shows."""

from __future__ import annotations

import re

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.admin_base import TenantModelAdmin
from agentplatform.lib.admin_lists import CappedPaginator
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
