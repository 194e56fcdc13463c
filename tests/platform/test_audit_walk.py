"""Nothing is written without an entry in the audit log: every operation, and every page of the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse
from lxml import html

from accounts.audit import Action, AuditEntry
from accounts.audit.pages import Audited
from accounts.models import User
from tests.factories import UserFactory
from tests.platform.operations import WRITES, body_of, operations, path_of, send, undone
from tests.platform.tenant import MARKER

pytestmark = pytest.mark.usefixtures("one_transaction")

# They check what they are sent, and change nothing.
CHECKS = {
    "POST /auth/verify",
    "POST /billing/exports/{pk}/verify",
    "POST /workflows/validate",
    "POST /workflows/{pk}/validate",
}
# What is left to the net: it changes nothing on the tenant's rows, or nothing that lasts.
NO_NAME = {
    "POST /auth/ticket",
    "POST /mcp-servers/{pk}/discover",
    "POST /queue/requeue",
    "POST /schedules/{pk}/resume",
    "POST /sessions/{pk}/messages/{message_id}/select",
    "POST /sessions/{pk}/stop",
    "POST /webhooks/{pk}/deliveries/{delivery_id}/replay",
}
NO_RESOURCE = {"POST /auth/ticket", "POST /queue/requeue", "DELETE /memories"}
# Texts of the tenant's runs and conversations hold the marker; those of its configuration may be told.
TOLD = {
    "Agent",
    "Budget",
    "Tool",
    "Model",
    "Workflow",
    "McpServer",
    "KnowledgeBase",
    "Document",
    "Price",
    "Workspace",
}
WRITING = [operation for operation in operations() if operation.method in WRITES]
# Of these a GET has an effect, or takes something out of the platform.
EXPORTS = {
    "GET /auth/me/export",
    "GET /agent/stream",
    "GET /audit-log/export",
    "GET /billing/exports/{pk}/download",
    "GET /billing/usage/export",
    "GET /config/export",
    "GET /history/sessions/{pk}/export",
    "GET /workflows/{pk}/export",
    "GET /workspaces/{workspace}/members/{user}/export",
}
GETTING = [operation for operation in operations() if str(operation) in EXPORTS]


def entries_of(client: Any, operation: Any, tenant: Any) -> list[AuditEntry]:
    """What an operation leaves in the audit log."""
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    path = path_of(operation.path, tenant)
    answer = send(client, operation, path, body_of(operation, tenant))
    assert answer.status_code < 400 or answer.status_code == 409, answer.content
    return [] if answer.status_code == 409 else list(AuditEntry.objects.exclude(pk__in=before))


def walk(client: Any, tenant: Any, over: list[Any], fault: Any) -> dict[str, Any]:
    found = {}
    for operation in over:
        with undone():
            if (said := fault(operation, entries_of(client, operation, tenant))) is not None:
                found[str(operation)] = said
    return found


def refused(client: Any, operation: Any, tenant: Any) -> bool:
    """Whether the tenant's rows are not in the state that it needs: that is tested elsewhere."""
    return bool(
        send(client, operation, path_of(operation.path, tenant), body_of(operation, tenant)).status_code
        == 409
    )


@pytest.fixture
def over(api, acme):
    """The writing operations that succeed on the tenant."""
    found = []
    for operation in WRITING:
        with undone():
            if str(operation) not in CHECKS and not refused(api(acme.admin), operation, acme):
                found.append(operation)
    return found


def faults(operation: Any, entries: list[AuditEntry], tenant: Any) -> list[Any] | None:
    """What an operation's entries, done by the tenant's admin, do not tell, or tell although they must not."""
    if not entries:
        return ["no entry"]
    return [
        (fault, one.action, one.resource_type, one.before, one.after)
        for one in entries
        for fault, is_found in {
            "user": one.user_id != tenant.admin.pk,
            "workspace": one.workspace_id != tenant.workspace.pk and str(operation) != "POST /workspaces",
            "path": (one.method, one.path, one.via) != (operation.method, f"/api/v1{operation.path}", "api"),
            "resource": not (one.resource_type and one.resource_id) and str(operation) not in NO_RESOURCE,
            "action": one.action == Action.OTHER and str(operation) not in NO_NAME,
            "content": MARKER in f"{one.resource_name}{one.before}{one.after}"
            and one.resource_type not in TOLD,
        }.items()
        if is_found
    ] or None


def test_leaves_a_whole_entry_for_each_write(api, acme, over):
    assert len(over) > 60
    assert walk(api(acme.admin), acme, over, lambda *found: faults(*found, acme)) == {}


def test_leaves_an_entry_for_each_export(api, acme):
    assert len(GETTING) == len(EXPORTS)
    assert walk(api(acme.admin), acme, GETTING, lambda _, entries: None if entries else "no entry") == {}


def test_names_the_key(api, acme, over):
    def fault(operation, entries):
        key = acme.api_key
        mine = [one for one in entries if (one.api_key_id, one.api_key_prefix) == (key.pk, key.prefix)]
        return None if mine else [(one.action, one.api_key_id) for one in entries]

    mine = [one for one in over if not str(one).startswith("POST /auth/")]
    assert walk(api(acme.api_key), acme, mine, fault) == {}


def test_leaves_nothing_for_checks_and_reads(api, acme):
    reading = [one for one in operations() if one.method == "GET" and str(one) not in EXPORTS]
    checks = [one for one in WRITING if str(one) in CHECKS]

    assert walk(api(acme.admin), acme, [*reading, *checks], lambda _, entries: entries or None) == {}


def test_leaves_an_entry_for_each_read_where_the_workspace_asks_for_it(api, acme):
    acme.workspace.audits_reads = True
    acme.workspace.save()
    closed = [
        one
        for one in operations()
        if one.method == "GET" and str(one) not in EXPORTS and one.permission != "public"
    ]

    assert walk(api(acme.admin), acme, closed, lambda _, entries: None if entries else "no entry") == {}


# the admin

MODELS = sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label_lower)


@pytest.fixture
def browser(acme):
    root = UserFactory(username="root", is_superuser=True, is_staff=True)
    client = Client()
    client.force_login(root)
    return client


def rows_of(tenant: Any) -> list[Any]:
    """A row of each kind that the admin shows."""
    return [row for row in [*tenant.rows(), tenant.mcp_server] if type(row) in admin.site._registry]


def page(model: type[Model], name: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def left_by(post: Any) -> list[tuple[str, str, Any]]:
    """What a form leaves in the audit log: actions, types and ids; whether it went through is asked first."""
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    answer = post()
    assert answer.status_code == 302, form_errors(answer)
    return [(one.action, one.resource_type, one.via) for one in AuditEntry.objects.exclude(pk__in=before)]


def form_errors(answer: Any) -> Any:
    context = answer.context or {}
    return [form.errors for form in [context.get("adminform")] if form] or answer.content.decode()[:500]


def test_audits_every_page_of_the_admin(db):
    request = RequestFactory().get("/admin/")
    request.user = UserFactory(is_superuser=True, is_staff=True)
    unaudited = [one for _, one in MODELS if not isinstance(one, Audited)]
    writing = ("has_add_permission", "has_change_permission", "has_delete_permission")
    assert [one for one in unaudited if any(getattr(one, name)(request) for name in writing)] == []


def test_leaves_one_entry_for_each_deletion_in_the_admin(browser, acme):
    User.objects.filter(pk=acme.admin.pk).update(is_superuser=False)
    deleted = {}
    for row in rows_of(acme):
        with undone():
            request = browser.get(page(type(row), "delete", row.pk))
            if (
                request.status_code != 200
                or request.context.get("protected")
                or request.context.get("perms_lacking")
            ):
                continue
            entries = left_by(
                lambda row=row: browser.post(page(type(row), "delete", row.pk), {"post": "yes"})
            )
            if not type(row)._base_manager.filter(pk=row.pk).exists():
                deleted[str(row._meta.label_lower)] = [action for action, _, via in entries if via == "admin"]
    assert len(deleted) > 6
    assert {label: actions for label, actions in deleted.items() if actions.count("deleted") != 1} == {}


def test_leaves_an_entry_for_each_change_in_the_admin(browser, acme):
    """Each form sent as it is."""
    silent = {}
    changed = []
    for row in rows_of(acme):
        url = page(type(row), "change", row.pk)
        shown = browser.get(url)
        if not shown.context["has_change_permission"]:
            continue
        form = next(
            one
            for one in html.fromstring(shown.content.decode()).forms
            if one.get("id", "").endswith("_form")
        )
        with undone():
            answer = browser.post(url, dict(form.form_values()))
            if answer.status_code == 302:
                changed.append(row._meta.label_lower)
                if not AuditEntry.objects.filter(via="admin", resource_id=row.pk).exists():
                    silent[row._meta.label_lower] = list(
                        AuditEntry.objects.values_list("action", "resource_type")
                    )
    assert len(set(changed)) > 5, changed
    assert silent == {}
