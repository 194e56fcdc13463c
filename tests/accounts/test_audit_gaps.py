"""What the audit log tells of budgets, configurations and commands, and that it tells nothing twice or untrue."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.audit import Action, AuditEntry, Thing, net
from agentplatform.lib.errors import Conflict
from agents.configuration.folder import load_configured
from tests.factories import (
    AgentFactory,
    BudgetFactory,
    ChatModelFactory,
    ScheduleFactory,
    ToolFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db

MONTHLY = """
budgets:
  monthly:
    period: month
    limit_amount: "5"
"""


def told(**lookups) -> list[tuple[str, str]]:
    rows = by_people().filter(**lookups).order_by("id")
    return list(rows.values_list("action", "resource_type"))


def by_people():
    """Without what the tests' rows are made by."""
    return AuditEntry.objects.exclude(via="system")


def load(api, user, text, query=""):
    answer = api(user).post(f"/config/import{query}", {"configuration": text})
    assert answer.status_code == 200, answer.content
    return answer


# --- budgets ---


def test_tells_of_a_budget_that_is_imported(api, alice):
    load(api, alice, MONTHLY)
    assert told() == [("created", "Budget")]


def test_tells_of_a_budget_that_an_import_changes(api, alice, workspace):
    BudgetFactory(workspace=workspace, name="monthly", period="month", limit_amount=4, action="alert")
    load(api, alice, MONTHLY)
    entry = by_people().get(resource_type="Budget")
    assert (entry.before, entry.after) == (
        {"limit_amount": "4.000000000000"},
        {"limit_amount": "5.000000000000"},
    )


def test_tells_once_of_a_budget_by_the_api(api, alice):
    api(alice).post("/billing/budgets", {"name": "all", "period": "month", "limit_amount": "5"})
    api(alice).patch("/billing/budgets/all", {"limit_amount": "6"})
    assert told() == [("created", "Budget"), ("updated", "Budget")]


# --- configurations ---


def test_tells_of_a_schedule_that_an_import_deletes(api, alice, workspace):
    ScheduleFactory(workspace=workspace, agent=AgentFactory(workspace=workspace))
    load(api, alice, "schedules: {}", "?prune=true")
    assert told() == [("deleted", "Schedule")]


def test_tells_of_another_default_agent(api, alice, workspace):
    AgentFactory(workspace=workspace, name="clerk")
    load(api, alice, "default_agent: clerk\n")
    entry = by_people().get()
    assert (entry.resource_type, entry.before, entry.after) == (
        "Agent",
        {"is_default": False},
        {"is_default": True},
    )


# --- the net ---


def test_answers_where_its_net_fails(api, alice, monkeypatch):
    def fail(*_):
        raise RuntimeError("away")

    monkeypatch.setattr(net, "fill", fail)
    assert api(alice).post("/auth/ticket").status_code < 300


# --- secrets ---


@pytest.mark.parametrize(
    "name",
    [
        *(
            "NPM_TOKEN_READ",
            "DB_PASS",
            "GITHUB_PAT",
            "AWS_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "dsn",
            "SENTRY_DSN",
        ),
        *("PGPASSWD", "clientSecret", "authToken", "AZURE_STORAGE_KEY"),
    ],
)
def test_hides_what_is_named_like_a_secret(name):
    audit.record(Action.UPDATED, Thing("Thing"), after={"headers": {name: "abc"}})
    assert AuditEntry.objects.get().after == {"headers": {name: "••••"}}


@pytest.mark.parametrize("name", ["path", "pattern", "max_tokens", "tokenizer", "key", "patience"])
def test_shows_what_only_looks_alike(name):
    audit.record(Action.UPDATED, Thing("Thing"), after={"headers": {name: "abc"}})
    assert AuditEntry.objects.get().after == {"headers": {name: "abc"}}


def test_hides_all_that_an_mcp_server_is_started_with():
    audit.record(
        Action.UPDATED,
        Thing("McpServer"),
        before={"arguments": ["--user", "bob"], "environment.HOME": "/srv"},
        after={"arguments": [], "environment": {"REGION": "eu"}},
    )
    entry = AuditEntry.objects.get()
    assert (entry.before, entry.after) == (
        {"arguments": ["••••", "••••"], "environment.HOME": "••••"},
        {"arguments": [], "environment": {"REGION": "••••"}},
    )


def test_tells_of_a_restored_component_that_was_the_same(api, alice, workspace):
    model = ChatModelFactory(workspace=workspace, name="fast")
    etag = api(alice).get("/config/fast").headers["ETag"]
    api(alice).post("/config/fast/restore", {"version": 1}, headers={"If-Match": etag})
    entry = by_people().get()
    assert (entry.action, entry.resource_id, entry.resource_name) == ("restored", model.pk, "fast")


# --- exports ---


@pytest.mark.parametrize("way", ["api", "admin", "command"])
def test_tells_of_an_exported_configuration(way, api, alice, workspace):
    if way == "api":
        api(alice).get("/config/export")
    elif way == "admin":
        browser = Client()
        browser.force_login(UserFactory(is_superuser=True, is_staff=True))
        browser.get(reverse("admin:agents_configuration_export"), {"workspace": "acme"})
    else:
        call_command("export_config", workspace="acme", stdout=StringIO())
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.resource_type, entry.via) == ("exported", "Configuration", way)
    assert entry.workspace_id == workspace.pk


# --- what does nothing ---


def test_tells_nothing_of_a_repeated_run(api, alice, workspace):
    AgentFactory(workspace=workspace, name="clerk")
    for _ in range(2):
        api(alice).post("/runs", {"agent_id": "clerk", "input": "Hi"}, headers={"Idempotency-Key": "once"})
    assert told() == [("run_started", "Run")]


@pytest.mark.parametrize("description", ["", "another"])
def test_tells_nothing_of_a_trial_or_a_component_that_is_the_same(description, api, alice, workspace):
    ChatModelFactory(workspace=workspace, name="fast")
    shown = api(alice).get("/config/fast")
    config = shown.json()
    body = {"config": {**config, "description": description or config["description"]}}
    answer = api(alice).put(
        "/config/fast",
        {**body, "validate_only": bool(description)},
        headers={"If-Match": shown.headers["ETag"]},
    )
    assert (answer.status_code, told()) == (200, [])


@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_tells_nothing_of_an_import_that_changes_nothing(query, api, alice, workspace):
    load(api, alice, MONTHLY if query else "budgets: {}", query)
    assert told() == []


# --- commands ---


@pytest.fixture
def file(tmp_path, workspace):
    found = tmp_path / "all.yaml"
    found.write_text(MONTHLY)
    return found


def test_tells_who_imports_by_the_command(file, alice):
    call_command("import_config", str(file), workspace="acme", user="alice", stdout=StringIO())
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.resource_type, entry.via, entry.user_id) == (
        "created",
        "Budget",
        "command",
        alice.pk,
    )


@pytest.mark.parametrize("repeated", [False, True])
def test_tells_nothing_of_a_command_that_does_nothing(repeated, file):
    if repeated:
        call_command("import_config", str(file), workspace="acme", stdout=StringIO())
    before = AuditEntry.objects.count()
    call_command("import_config", str(file), workspace="acme", dry_run=not repeated, stdout=StringIO())
    assert AuditEntry.objects.count() == before


def test_names_the_folder_that_was_loaded_at_the_start(file, settings):
    settings.CONFIG_DIR, settings.CONFIG_WORKSPACE = str(file.parent), "acme"
    load_configured()
    assert str(AuditEntry.objects.get().user_name) == "CONFIG_DIR"


@pytest.mark.parametrize(("is_trial", "count"), [(True, 0), (False, 1)])
def test_tells_of_prices_that_are_imported(is_trial, count, workspace):
    call_command(
        "import_prices",
        workspace="acme",
        provider="openai",
        model="gpt-4o",
        dry_run=is_trial,
        stdout=StringIO(),
    )
    assert AuditEntry.objects.count() == count


@pytest.mark.parametrize(("is_trial", "count"), [(True, 0), (False, 1)])
def test_tells_of_calls_that_are_priced_anew(is_trial, count, workspace):
    call_command(
        "reprice",
        workspace="acme",
        start="2026-01-01",
        end="2026-02-01",
        dry_run=is_trial,
        stdout=StringIO(),
    )
    assert AuditEntry.objects.count() == count


# --- the admin ---


def test_tells_nothing_of_a_bulk_deletion_that_fails(workspace, monkeypatch):
    def fail(*_):
        raise Conflict("It is used.")

    tool = ToolFactory(workspace=workspace)
    browser = Client()
    browser.force_login(UserFactory(is_superuser=True, is_staff=True))
    before = AuditEntry.objects.count()
    monkeypatch.setattr(type(admin.site._registry[type(tool)]), "delete_queryset", fail)
    browser.post(
        reverse("admin:agents_tool_changelist"),
        {"action": "delete_selected", "_selected_action": [tool.pk], "post": "yes"},
    )
    assert AuditEntry.objects.count() == before
