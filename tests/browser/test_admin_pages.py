"""Every list, form and object page of the admin, in the browser: they answer, and log no error."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from accounts.models import User, Workspace
from accounts.roles import Role
from agents.models import Version
from runs.models import Run, Status, Worker
from tests.browser.chat import obstacles
from tests.factories import (
    AgentFactory,
    ApiKeyFactory,
    ApprovalFactory,
    AuditEntryFactory,
    BudgetFactory,
    ChatModelFactory,
    DocumentFactory,
    HttpToolFactory,
    McpToolFactory,
    MembershipFactory,
    MemoryFactory,
    MessageFactory,
    PriceFactory,
    RepricingFactory,
    RunEventFactory,
    RunFactory,
    RunStepFactory,
    ScheduleFactory,
    SecurityEventFactory,
    SessionFactory,
    UsageExportFactory,
    UsageRecordFactory,
    WebhookDeliveryFactory,
    WorkflowFactory,
)

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def make_run(workspace):
    run = RunFactory(workspace=workspace)
    RunStepFactory(run=run)
    RunEventFactory(run=run, data={"content": "long " * 100})
    return run


# An object of each model, so that its page has something to show.
makers = {
    "accounts.user": lambda workspace: MembershipFactory(workspace=workspace).user,
    "accounts.workspace": lambda workspace: workspace,
    "accounts.apikey": lambda workspace: ApiKeyFactory(workspace=workspace),
    "accounts.auditentry": lambda workspace: AuditEntryFactory(workspace=workspace),
    "accounts.securityevent": lambda _: SecurityEventFactory(),
    "agents.chatmodel": lambda workspace: ChatModelFactory(workspace=workspace),
    "agents.tool": lambda workspace: HttpToolFactory(workspace=workspace),
    "agents.mcpserver": lambda workspace: McpToolFactory(workspace=workspace).mcp_server,
    "agents.knowledgebase": lambda workspace: (
        DocumentFactory(knowledge_base__workspace=workspace).knowledge_base
    ),
    "agents.agent": lambda workspace: AgentFactory(workspace=workspace),
    "agents.workflow": lambda workspace: WorkflowFactory(workspace=workspace),
    "agents.version": lambda workspace: Version.objects.get(object_id=AgentFactory(workspace=workspace).pk),
    "billing.usagerecord": lambda workspace: UsageRecordFactory(workspace=workspace),
    "billing.budget": lambda workspace: BudgetFactory(workspace=workspace),
    "billing.usageexport": lambda workspace: UsageExportFactory(workspace=workspace),
    "billing.price": lambda workspace: PriceFactory(workspace=workspace),
    "billing.repricing": lambda workspace: RepricingFactory(workspace=workspace),
    "runs.memory": lambda workspace: MemoryFactory(workspace=workspace),
    "runs.session": lambda workspace: MessageFactory(session=SessionFactory(workspace=workspace)).session,
    "runs.run": make_run,
    "runs.approval": lambda workspace: ApprovalFactory(
        run=RunFactory(workspace=workspace, status=Status.WAITING)
    ),
    "runs.schedule": lambda workspace: ScheduleFactory(workspace=workspace),
    "runs.webhook": lambda workspace: WebhookDeliveryFactory(webhook__workspace=workspace).webhook,
    "runs.worker": lambda _: Worker.objects.create(host="host", pid=1, concurrency=2, beat_at=timezone.now()),
}
# What happened is not made by hand.
UNADDABLE = (
    *(
        "accounts.auditentry",
        "accounts.securityevent",
        "agents.version",
        "billing.usagerecord",
        "runs.run",
        "runs.approval",
        "runs.worker",
    ),
    # The API makes them.
    *("runs.schedule", "runs.webhook", "runs.memory"),
)
registered = sorted(model._meta.label_lower for model in admin.site._registry)


@pytest.fixture
def superuser(workspace) -> User:
    user = MembershipFactory(workspace=workspace, role=Role.ADMIN, user__is_superuser=True).user
    # A second workspace brings the filters and columns that only those with several see.
    Workspace.objects.create(slug="second", name="Second")
    return user


def path_of(label: str, page: str, *args) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


def statuses(page, paths) -> dict[str, int]:
    """What each path answers; their files come from the browser's cache after the first."""
    return {path: page.goto(path).status for path in paths}


def test_every_model_has_an_object_to_show():
    assert set(registered) <= {*makers, "procrastinate.procrastinatejob"}


def test_all_lists_answer(page_of, superuser, workspace):
    for make in makers.values():
        make(workspace)
    answers = statuses(page_of(superuser), [path_of(label, "changelist") for label in registered])
    assert set(answers.values()) == {200}


def test_all_pages_to_add_something_answer(page_of, superuser):
    paths = [path_of(label, "add") for label in makers if label not in UNADDABLE]
    assert set(statuses(page_of(superuser), paths).values()) == {200}


def test_nothing_in_forms_keeps_people_from_using_them(page_of, superuser, workspace):
    """By what axe finds of serious weight; unfold's autocompletes have names by a script of ours."""
    page = page_of(superuser)
    paths = [path_of(label, "add") for label in makers if label not in UNADDABLE]
    paths += [path_of(label, "change", make(workspace).pk) for label, make in makers.items()]
    found = {}
    for path in paths:
        page.goto(path)
        found[path] = obstacles(page)
    obstructed = [f"{path}: {fault}" for path, faults in found.items() for fault in faults]
    assert not obstructed, "\n".join(obstructed)


def test_an_autocomplete_says_what_it_is_and_what_is_chosen(page_of, superuser, workspace):
    session = SessionFactory(workspace=workspace, agent=AgentFactory(workspace=workspace, name="helper"))
    page = page_of(superuser)
    page.goto(path_of("runs.session", "change", session.pk))
    box = page.get_by_role("combobox", name="Agent: helper", exact=False)
    expect(box).to_be_visible()
    box.click()
    expect(page.get_by_role("searchbox", name="Agent")).to_be_focused()


def test_nobody_adds_what_only_happens(page_of, superuser, problems):
    answers = statuses(page_of(superuser), [path_of(label, "add") for label in UNADDABLE])
    assert set(answers.values()) == {403}
    problems.clear()


def test_all_pages_of_objects_answer(page_of, superuser, workspace):
    paths = [path_of(label, "change", make(workspace).pk) for label, make in makers.items()]
    assert set(statuses(page_of(superuser), paths).values()) == {200}


def test_the_first_page_leads_to_everything(page_of, olivia):
    page = page_of(olivia)
    page.goto("/admin/")
    links = page.locator("#nav-sidebar a[href]").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    assert {path_of("runs.run", "changelist"), path_of("agents.agent", "changelist")} <= set(links)
    assert all(page.request.get(link).ok for link in links)


def test_a_run_is_cancelled_from_its_page(page_of, olivia, workspace):
    run = RunFactory(workspace=workspace, user=olivia, status=Status.CREATED)
    page = page_of(olivia)
    page.goto(path_of("runs.run", "change", run.pk))
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_text(f"Run {run.pk} is cancelled.")).to_be_visible()
    assert Run.objects.get(pk=run.pk).status == Status.CANCELLED


def test_runs_are_cancelled_from_their_list(page_of, olivia, workspace):
    run = RunFactory(workspace=workspace, user=olivia, status=Status.CREATED)
    page = page_of(olivia)
    page.goto(path_of("runs.run", "changelist"))
    page.locator("input[name=_selected_action]").check()
    page.locator("select[name=action]").select_option("cancel_selected")
    page.get_by_title("Run the selected action").click()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_text(f"Run {run.pk} is cancelled.")).to_be_visible()
