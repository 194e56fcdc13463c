"""What each role may do with each model of the admin; nobody sees over the wall between workspaces."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.forms import ModelChoiceField
from django.urls import reverse
from django.utils import timezone

from accounts.models import Workspace
from accounts.roles import Role
from agents.models import Version
from runs.models import Worker
from tests.factories import (
    AgentFactory,
    ApiKeyFactory,
    ApprovalFactory,
    AuditEntryFactory,
    BudgetFactory,
    ChatModelFactory,
    KnowledgeBaseFactory,
    McpServerFactory,
    MembershipFactory,
    MemoryFactory,
    PriceFactory,
    RepricingFactory,
    RunFactory,
    ScheduleFactory,
    SecurityEventFactory,
    SessionFactory,
    ToolFactory,
    UsageExportFactory,
    UsageRecordFactory,
    UserFactory,
    WebhookFactory,
    WorkflowFactory,
)
from tests.runs.admin_support import admin_of, path_of, request_of, signed_in

# view, add, change, delete: of one's own objects where objects have owners.
permissions_by_model = {
    "accounts.user": {},
    "accounts.workspace": {Role.ADMIN: "vac", Role.OPERATOR: "v"},
    "accounts.apikey": dict.fromkeys(Role, "vac"),
    "accounts.auditentry": {Role.ADMIN: "v", Role.AUDITOR: "v"},
    "accounts.securityevent": {},
    "agents.chatmodel": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.VIEWER: "v"},
    "agents.tool": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.VIEWER: "v"},
    "agents.mcpserver": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.VIEWER: "v"},
    "agents.knowledgebase": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.USER: "v", Role.VIEWER: "v"},
    "agents.agent": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.USER: "v", Role.VIEWER: "v"},
    "agents.workflow": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.USER: "v", Role.VIEWER: "v"},
    "agents.version": {Role.ADMIN: "v", Role.OPERATOR: "v", Role.AUDITOR: "v"},
    "billing.usagerecord": {Role.ADMIN: "v", Role.OPERATOR: "v", Role.AUDITOR: "v"},
    "billing.budget": {Role.ADMIN: "vacd", Role.OPERATOR: "v", Role.AUDITOR: "v"},
    "billing.usageexport": {Role.ADMIN: "vad", Role.AUDITOR: "vad"},
    "billing.price": {Role.ADMIN: "va", Role.OPERATOR: "v", Role.AUDITOR: "v"},
    "billing.repricing": {Role.ADMIN: "va", Role.OPERATOR: "v", Role.AUDITOR: "v"},
    "runs.session": {Role.ADMIN: "vacd", Role.OPERATOR: "vacd", Role.USER: "vacd", Role.VIEWER: "v"},
    "runs.memory": {Role.ADMIN: "vd", Role.OPERATOR: "vd", Role.USER: "vd"},
    "runs.run": {Role.ADMIN: "v", Role.OPERATOR: "v", Role.USER: "v", Role.VIEWER: "v"},
    "runs.approval": {Role.ADMIN: "v", Role.OPERATOR: "v", Role.USER: "v", Role.VIEWER: "v"},
    "runs.schedule": {Role.ADMIN: "vd", Role.OPERATOR: "vd", Role.USER: "vd"},
    "runs.webhook": {Role.ADMIN: "vd", Role.OPERATOR: "vd"},
    "runs.worker": {Role.ADMIN: "v", Role.OPERATOR: "v"},
    "procrastinate.procrastinatejob": {},
}
# Their lists are closed to everybody else.
OF_SUPERUSERS = {"accounts.user", "accounts.securityevent"}
makers = {
    "accounts.user": lambda workspace, user: user,
    "accounts.workspace": lambda workspace, user: workspace,
    "accounts.apikey": lambda workspace, user: ApiKeyFactory(workspace=workspace, user=user),
    "accounts.auditentry": lambda workspace, user: AuditEntryFactory(workspace=workspace),
    "accounts.securityevent": lambda workspace, user: SecurityEventFactory(),
    "agents.chatmodel": lambda workspace, user: ChatModelFactory(workspace=workspace, name="of-acme"),
    "agents.tool": lambda workspace, user: ToolFactory(workspace=workspace, name="of-acme"),
    "agents.mcpserver": lambda workspace, user: McpServerFactory(workspace=workspace, name="of-acme"),
    "agents.knowledgebase": lambda workspace, user: KnowledgeBaseFactory(workspace=workspace),
    "agents.agent": lambda workspace, user: AgentFactory(workspace=workspace, name="of-acme"),
    "agents.workflow": lambda workspace, user: WorkflowFactory(workspace=workspace, name="of-acme"),
    "agents.version": lambda workspace, user: version_of(AgentFactory(workspace=workspace)),
    "billing.usagerecord": lambda workspace, user: UsageRecordFactory(workspace=workspace),
    "billing.budget": lambda workspace, user: BudgetFactory(workspace=workspace),
    "billing.usageexport": lambda workspace, user: UsageExportFactory(workspace=workspace, user_id=user.pk),
    "billing.price": lambda workspace, user: PriceFactory(workspace=workspace),
    "billing.repricing": lambda workspace, user: RepricingFactory(workspace=workspace),
    "runs.session": lambda workspace, user: SessionFactory(workspace=workspace, user=user),
    "runs.memory": lambda workspace, user: MemoryFactory(workspace=workspace, user=user),
    "runs.run": lambda workspace, user: RunFactory(workspace=workspace, user=user),
    "runs.approval": lambda workspace, user: ApprovalFactory(run=RunFactory(workspace=workspace, user=user)),
    "runs.schedule": lambda workspace, user: ScheduleFactory(workspace=workspace, user=user),
    "runs.webhook": lambda workspace, user: WebhookFactory(workspace=workspace),
    "runs.worker": lambda workspace, user: Worker.objects.create(
        host="host", pid=1, concurrency=2, beat_at=timezone.now()
    ),
}
# Workers belong to no workspace.
walled = sorted(set(makers) - {"runs.worker"})


def version_of(agent) -> Version:
    return Version.objects.get(object_id=agent.pk)


def letters(model_admin, request, row) -> str:
    """Which of view, add, change and delete the admin permits."""
    held = {
        "v": model_admin.has_view_permission(request, row),
        "a": model_admin.has_add_permission(request),
        "c": model_admin.has_change_permission(request, row),
        "d": model_admin.has_delete_permission(request, row),
    }
    return "".join(letter for letter, may in held.items() if may)


def test_the_table_names_every_model():
    assert {model._meta.label_lower for model in admin.site._registry} == set(permissions_by_model)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("label", permissions_by_model)
def test_permits_what_the_role_may(workspace, role, label):
    user = MembershipFactory(workspace=workspace, role=role, user__is_staff=True).user
    row = makers[label](workspace, user) if label in makers else None
    assert letters(admin_of(label), request_of(user), row) == permissions_by_model[label].get(role, "")


@pytest.mark.parametrize("label", walled)
def test_permits_a_stranger_nothing_on_a_row(workspace, alice, charlie, label):
    held = letters(admin_of(label), request_of(charlie), makers[label](workspace, alice))
    assert set(held) <= {"a"}


@pytest.mark.parametrize("label", permissions_by_model)
def test_permits_staff_without_a_role_nothing(db, label):
    staff = UserFactory(is_staff=True)
    assert letters(admin_of(label), request_of(staff), None) == ""


@pytest.mark.parametrize("label", permissions_by_model)
def test_closes_every_list_to_staff_without_a_role(db, label):
    assert signed_in(UserFactory()).get(path_of(label, "changelist")).status_code == 403


@pytest.mark.parametrize("label", sorted(set(walled) - OF_SUPERUSERS))
def test_lists_no_row_of_another_workspace(workspace, alice, charlie, label):
    makers[label](workspace, alice)
    listed = signed_in(charlie).get(path_of(label, "changelist")).context["cl"].queryset
    assert all(workspace.pk not in (row.pk, getattr(row, "workspace_id", None)) for row in listed)


@pytest.mark.parametrize("label", sorted(set(walled) - OF_SUPERUSERS))
@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_opens_no_page_of_another_workspaces_row(workspace, alice, charlie, label, page):
    row = makers[label](workspace, alice)
    assert signed_in(charlie).get(path_of(label, page, row.pk)).status_code in (302, 403, 404)


@pytest.mark.parametrize("label", sorted(permissions_by_model))
def test_offers_no_choice_of_another_workspace(workspace, alice, charlie, other_workspace, label):
    for make in makers.values():
        make(workspace, alice)
    request, model_admin = request_of(charlie), admin_of(label)
    if not model_admin.has_add_permission(request):
        return
    fields = model_admin.get_form(request)().fields.values()
    offered = [row for field in fields if isinstance(field, ModelChoiceField) for row in field.queryset]
    assert all(workspace_of(row) == other_workspace.pk for row in offered)


def workspace_of(row):
    return row.pk if isinstance(row, Workspace) else row.workspace_id


def autocompletes():
    """Every field of every admin that is filled by searching."""
    return [
        (model._meta.app_label, model._meta.model_name, name)
        for model, found in admin.site._registry.items()
        for name in found.autocomplete_fields
    ]


@pytest.mark.parametrize(("app", "model", "field"), autocompletes())
def test_finds_nothing_of_another_workspace_by_searching(workspace, alice, charlie, app, model, field):
    for make in makers.values():
        make(workspace, alice)
    query = {"app_label": app, "model_name": model, "field_name": field, "term": ""}
    response = signed_in(charlie).get(reverse("admin:autocomplete"), query)
    assert response.status_code == 403 or response.json()["results"] == []


@pytest.mark.parametrize("label", sorted(set(walled) - OF_SUPERUSERS))
def test_offers_no_filter_by_another_workspaces_rows(workspace, alice, charlie, label):
    for make in makers.values():
        make(workspace, alice)
    listing = signed_in(charlie).get(path_of(label, "changelist")).context["cl"]
    choices = [str(choice["display"]) for one in listing.filter_specs for choice in one.choices(listing)]
    assert not {"acme", "of-acme", "alice"} & set(choices)
