"""/config/export and /config/import: a whole workspace as one text, tried or for good."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
import yaml
from django.db import connections

from agents.models import Agent, ChatModel, Secret, Tool, Version, Workflow
from agents.workflows.publishing import publish
from billing.models import Budget
from runs.models import Schedule, Webhook
from tests.factories import (
    AgentFactory,
    AgentToolFactory,
    ApiKeyFactory,
    BudgetFactory,
    ChatModelFactory,
    DocumentFactory,
    HttpToolFactory,
    KnowledgeBaseFactory,
    KnowledgeToolFactory,
    McpServerFactory,
    ScheduleFactory,
    ToolFactory,
    WebhookFactory,
    WorkflowFactory,
)

pytestmark = pytest.mark.django_db

SMALL = """
models:
  fast:
    provider: demo
    model: scripted
agents:
  shop:
    model: fast
"""


@pytest.fixture
def client(api, alice):
    return api(alice)


@pytest.fixture
def shop(workspace):
    """A component of each type; agents and tools refer to one another in a circle."""
    key = Secret.objects.create(workspace=workspace, value="sk-never-in-any-text", hint="text")
    spare = ChatModelFactory(workspace=workspace, name="spare")
    model = ChatModelFactory(workspace=workspace, name="main", secret=key, fallbacks=[spare])
    KnowledgeBaseFactory(workspace=workspace, name="handbook", description="What we know")
    McpServerFactory(workspace=workspace, name="docs", url="https://docs.example.com/mcp")
    clerk = AgentFactory(
        workspace=workspace, name="clerk", model=model, knowledge=["handbook"], is_default=True
    )
    boss = AgentFactory(
        workspace=workspace,
        name="boss",
        model=model,
        tools=[AgentToolFactory(workspace=workspace, name="ask_clerk", agent=clerk)],
    )
    clerk.tools.set([AgentToolFactory(workspace=workspace, name="ask_boss", agent=boss)])
    HttpToolFactory(workspace=workspace, name="lookup")
    WorkflowFactory(workspace=workspace, name="triage", ask="main")
    ScheduleFactory(workspace=workspace, name="morning", agent=boss, limits={"max_cost": "0.5"})
    WebhookFactory(workspace=workspace, name="backend", agent=clerk)
    BudgetFactory(workspace=workspace, name="monthly", agent_id=boss.pk, limit_amount=Decimal("2.50"))


def exported(client) -> str:
    return client.get("/config/export").content.decode()


def load(client, text, query="", **secrets):
    return client.post(f"/config/import{query}", {"configuration": text, "secrets": secrets})


def errors(answer):
    return [(one["field"], one["line"]) for one in answer.json()["error"]["details"]]


# --- export ---


def test_is_the_same_text_each_time(client, shop):
    assert exported(client) == exported(client)


def test_is_yaml_for_a_file(client, shop):
    answer = client.get("/config/export")
    assert (answer["Content-Type"], answer["Content-Disposition"]) == (
        "application/yaml; charset=utf-8",
        'attachment; filename="acme.yaml"',
    )


def test_has_all_sections_in_their_order(client, shop):
    assert list(yaml.safe_load(exported(client))) == [
        *(
            "format",
            "default_agent",
            "models",
            "mcp_servers",
            "knowledge_bases",
            "tools",
            "agents",
            "workflows",
        ),
        *("schedules", "webhooks", "budgets"),
    ]


def test_leaves_out_what_is_the_default(client, workspace):
    ChatModelFactory(workspace=workspace, name="fast", parameters={})
    assert yaml.safe_load(exported(client))["models"] == {"fast": {"provider": "demo", "model": "scripted"}}


def test_has_no_secret_no_id_and_no_time(client, shop):
    text = exported(client)
    rows = [*ChatModel.objects.all(), *Agent.objects.all(), *Webhook.objects.all(), *Secret.objects.all()]
    forbidden = ["sk-never", "whsec_", "created_at", "20", *(str(row.pk) for row in rows)]
    assert [value for value in forbidden if value in text.replace("20 ", "")] == []


def test_has_nothing_of_another_workspace(client, other_workspace):
    ChatModelFactory(workspace=other_workspace, name="theirs")
    assert "theirs" not in exported(client)


def test_exports_only_what_one_may_read(api, vera, shop):
    assert "webhooks" not in yaml.safe_load(exported(api(vera)))


def test_exports_many_in_few_queries(client, workspace, django_assert_max_num_queries):
    model = ChatModelFactory(workspace=workspace)
    for _ in range(5):
        AgentFactory(workspace=workspace, model=model, tools=[ToolFactory(workspace=workspace)])
        WorkflowFactory(workspace=workspace)
    with django_assert_max_num_queries(12):
        exported(client)


# --- there and back ---


def test_changes_nothing_when_it_is_imported_again(client, shop):
    versions = Version.objects.count()
    answer = load(client, exported(client)).json()
    assert (answer["changes"], answer["summary"]["unchanged"], Version.objects.count()) == ([], 13, versions)


def test_imports_an_unchanged_export_in_few_queries(client, shop, django_assert_max_num_queries):
    text = exported(client)
    with django_assert_max_num_queries(32):
        load(client, text)


def test_recreates_everything_in_an_empty_workspace(client, api, charlie, shop):
    text = exported(client)
    load(api(charlie), text, **{"model/main/api_key": "sk-of-the-other-one"})
    assert exported(api(charlie)) == text


def test_gives_a_circle_of_agents_two_rounds_and_others_one(client, api, charlie, other_workspace, shop):
    load(api(charlie), exported(client), **{"model/main/api_key": "sk-of-the-other-one"})
    numbers = Version.objects.filter(workspace=other_workspace).order_by("name", "-number")
    newest = dict(numbers.values_list("name", "number").order_by("number"))
    assert sorted(name for name, number in newest.items() if number > 1) == ["boss"]


def test_runs_what_has_run_there(client, api, charlie, other_workspace, workspace):
    workflow = WorkflowFactory(workspace=workspace, name="triage")
    document = {**workflow.document, "state": {"answer": {"type": "string", "default": "later"}}}
    client.patch("/workflows/triage", {"document": document})
    load(api(charlie), exported(client))
    found = Workflow.objects.get(workspace=other_workspace)
    assert (found.document, found.published.data["document"]) == (document, workflow.document)


def test_brings_what_is_disabled_and_called(client, api, charlie, workspace):
    model = ChatModelFactory(workspace=workspace, name="main")
    WorkflowFactory(workspace=workspace, name="triage", ask="main")
    client.patch("/models/main", {"enabled": False})
    text = exported(client)
    load(api(charlie), text)
    assert (exported(api(charlie)), model.name) == (text, "main")


def test_keeps_the_comments_of_a_workflow_that_stays(client, workspace):
    WorkflowFactory(workspace=workspace, name="triage")
    source = "# why\n" + client.get("/workflows/triage").json()["source"]
    client.patch("/workflows/triage", {"source": source})
    load(
        client,
        exported(client).replace("workflows:\n  triage:\n", "workflows:\n  triage:\n    enabled: false\n"),
    )
    workflow = client.get("/workflows/triage").json()
    assert (workflow["enabled"], workflow["source"]) == (False, source)


def test_moves_the_default_agent(client, shop):
    load(client, "default_agent: boss\nagents: {}\n")
    assert Agent.objects.get(is_default=True).name == "boss"


def test_leaves_the_default_agent_where_none_is_named(client, shop):
    load(client, SMALL)
    assert Agent.objects.get(is_default=True).name == "clerk"


# --- import ---


def test_creates_in_the_order_of_references(client):
    answer = load(
        client, "agents:\n  shop: {model: fast}\nmodels:\n  fast: {provider: demo, model: scripted}\n"
    )
    assert answer.json()["summary"] == {"created": 2, "updated": 0, "deleted": 0, "unchanged": 0}


def test_takes_yaml_as_the_body(client):
    answer = client.post("/config/import", SMALL, content_type="application/yaml")
    assert answer.json()["summary"]["created"] == 2


def test_takes_json_as_the_text(client):
    assert load(client, '{"models": {"fast": {"provider": "demo", "model": "x"}}}').status_code == 200


def test_takes_a_single_component(client):
    load(client, "type: model\nname: fast\nprovider: demo\nmodel: scripted\n")
    assert ChatModel.objects.get().name == "fast"


def test_shows_what_would_change_and_changes_nothing(client, workspace):
    ChatModelFactory(workspace=workspace, name="fast", description="old", parameters={})
    answer = load(client, SMALL, "?dry_run=true").json()
    assert (
        answer["dry_run"],
        answer["changes"][0],
        Agent.objects.count(),
        ChatModel.objects.get().description,
    ) == (
        True,
        {
            "type": "model",
            "name": "fast",
            "change": "updated",
            "changes": {"description": {"old": "old", "new": ""}},
        },
        0,
        "old",
    )


def test_deletes_nothing_unless_it_is_asked_to(client, shop):
    load(client, SMALL)
    assert Tool.objects.count() == 3


def test_shows_what_pruning_would_delete(client, shop):
    answer = load(client, "webhooks: {}\nschedules: {}\n", "?prune=true&dry_run=true").json()
    assert ([one["change"] for one in answer["changes"]], Webhook.objects.count()) == (["deleted"] * 2, 1)


def test_prunes_the_sections_that_the_text_has(client, shop):
    load(client, "webhooks: {}\n", "?prune=true")
    assert (Webhook.objects.count(), Schedule.objects.count(), Agent.objects.count()) == (0, 1, 2)


def test_prunes_circles_too(client, shop):
    everything = "".join(f"{name}: {{}}\n" for name in yaml.safe_load(exported(client)) if name.endswith("s"))
    answer = load(client, everything, "?prune=true")
    assert (answer.json()["summary"]["deleted"], Agent.objects.count()) == (13, 0)


def test_does_not_prune_what_is_used(client, shop):
    answer = load(client, "models: {}\n", "?prune=true")
    assert (answer.status_code, errors(answer)[0][0], ChatModel.objects.count()) == (422, "models.spare", 2)


def test_does_not_prune_documents(client, workspace):
    DocumentFactory(knowledge_base=KnowledgeBaseFactory(workspace=workspace, name="handbook"))
    answer = load(client, "knowledge_bases: {}\n", "?prune=true")
    assert errors(answer) == [("knowledge_bases.handbook", 1)]


def test_changes_nothing_where_anything_is_wrong(client):
    load(client, SMALL + "  other:\n    model: gone\n")
    assert (ChatModel.objects.count(), Version.objects.count()) == (0, 0)


def test_names_component_field_and_line(client):
    assert errors(load(client, SMALL + "  other:\n    model: gone\n")) == [("agents.other.model", 10)]


def test_names_everything_that_is_wrong(client):
    answer = load(
        client, "models:\n  one: {provider: demo}\n  two: {provider: x, model: y}\nmodles: {}\nformat: 2\n"
    )
    assert errors(answer) == [("models.one.model", 2), ("modles", 4), ("format", 5)]


def test_says_what_a_component_waits_for(client):
    answer = load(client, "models:\n  fast: {provider: nobody, model: x}\nagents:\n  shop: {model: fast}\n")
    assert errors(answer) == [("models.fast.provider", 2), ("agents.shop", 4)]


def test_says_where_in_a_workflow_it_is_wrong(client):
    text = "workflows:\n  triage:\n    document:\n      nodes:\n      - {id: a, kind: nothing}\n      edges: []\n"
    assert ("workflows.triage.document.nodes.a.kind", 4) in errors(load(client, text))


def test_says_where_a_circle_of_workflows_is(client):
    node = "{id: w, kind: workflow, workflow: %s, output: x}"
    edges = "[{from: s, to: w}, {from: w, to: e}]"
    body = f"document: {{nodes: [{{id: s, kind: start}}, %s, {{id: e, kind: end}}], edges: {edges}}}"
    texts = [f"  {one}: {{{body % (node % other)}}}\n" for one, other in (("one", "two"), ("two", "one"))]
    answer = load(client, "workflows:\n" + "".join(texts))
    assert answer.status_code == 422


def test_asks_for_the_secrets_that_are_missing(client, api, charlie, shop):
    answer = load(api(charlie), exported(client))
    assert errors(answer)[0][0] == "models.main.api_key"


def test_keeps_secrets_of_what_exists(client, shop):
    load(client, exported(client).replace("provider: demo", "provider: demo\n    description: new"))
    assert ChatModel.objects.get(name="main").secret.value == "sk-never-in-any-text"


def test_sets_a_secret_that_is_sent(client, shop):
    answer = load(client, exported(client), **{"model/main/api_key": "sk-of-the-other-one"}).json()
    assert answer["changes"] == [
        {
            "type": "model",
            "name": "main",
            "change": "updated",
            "changes": {"api_key": {"old": "(secret …text)", "new": "(secret …-one)"}},
        }
    ]


def test_makes_no_version_of_a_secret_that_is_the_same(client, shop):
    answer = load(client, exported(client), **{"model/main/api_key": "sk-never-in-any-text"}).json()
    assert answer["changes"] == []


def test_writes_the_owner_of_a_schedule(client, api, charlie, shop, other_workspace):
    load(api(charlie), exported(client), **{"model/main/api_key": "sk-of-the-other-one"})
    assert Schedule.objects.get(workspace=other_workspace).user == charlie


def test_gives_a_webhook_a_secret_of_its_own(client, api, charlie, shop, other_workspace):
    load(api(charlie), exported(client), **{"model/main/api_key": "sk-of-the-other-one"})
    assert len(set(Webhook.objects.values_list("secret", flat=True))) == 2


def test_searches_knowledge_bases_that_it_brings(client, api, charlie, workspace):
    base = KnowledgeBaseFactory(workspace=workspace, name="handbook")
    KnowledgeToolFactory(workspace=workspace, name="search_handbook", knowledge_base=base)
    assert load(api(charlie), exported(client)).json()["summary"]["created"] == 2


def test_names_the_author(client, alice):
    load(client, SMALL)
    assert set(Version.objects.values_list("author", flat=True)) == {"alice"}


@pytest.mark.parametrize("query", ["?dry_run=perhaps", "?prune=2"])
def test_refuses_other_flags(client, query):
    assert load(client, SMALL, query).status_code == 422


# --- roles ---


def test_lets_an_operator_import(api, olivia):
    assert load(api(olivia), SMALL).status_code == 200


def test_lets_a_viewer_import_nothing(api, vera):
    assert load(api(vera), SMALL, "?dry_run=true").status_code == 403


def test_lets_a_key_write_only_what_its_scopes_name(api, alice, workspace):
    scopes = ["read:configuration", "write:configuration", "read:model", "write:model", "read:agent"]
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=scopes)
    assert (load(api(key), SMALL).status_code, ChatModel.objects.count()) == (403, 0)


def test_lets_an_operator_bring_no_commands(api, olivia, settings):
    settings.MCP_ALLOWED_COMMANDS = ["uvx"]
    assert load(api(olivia), "mcp_servers:\n  docs: {transport: stdio, command: uvx}\n").status_code == 403


def test_publishes_with_permission_only(api, alice, workspace):
    WorkflowFactory(workspace=workspace, name="triage", published=False)
    scopes = [*(f"{verb}:{what}" for verb in ("read", "write") for what in ("configuration", "workflow"))]
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=scopes)
    text = exported(api(key)).replace("  triage:\n", "  triage:\n    published: true\n")
    assert load(api(key), text).status_code == 403


def test_does_not_take_back_what_is_published(client, workspace):
    publish(WorkflowFactory(workspace=workspace, name="triage"))
    answer = load(client, exported(client).replace("published: true", "published: false"))
    assert errors(answer)[0][0] == "workflows.triage.published"


# --- at once ---


@pytest.mark.django_db(transaction=True)
def test_imports_the_same_text_twice_at_once(api, alice):
    barrier, answers = threading.Barrier(2), []

    def run():
        client = api(alice)
        barrier.wait()
        answers.append(load(client, SMALL).json()["summary"]["created"])
        connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(answers), Version.objects.count()) == ([0, 2], 2)


# --- budgets ---


def test_writes_budgets_by_names(client, shop):
    assert yaml.safe_load(exported(client))["budgets"] == {
        "monthly": {"period": "day", "agent": "boss", "limit_amount": "2.5", "action": "block"}
    }


def test_leaves_budgets_of_keys_out(client, workspace, alice):
    key = ApiKeyFactory(workspace=workspace, user=alice)
    BudgetFactory(workspace=workspace, name="of-a-key", api_key_id=key.pk)
    assert yaml.safe_load(exported(client))["budgets"] == {}


def test_changes_a_budget(client, shop):
    load(client, "budgets:\n  monthly: {period: day, agent: boss, limit_amount: '3', action: pause}\n")
    budget = Budget.objects.get()
    assert (budget.limit_amount, budget.action) == (Decimal(3), "pause")


def test_says_what_of_a_budget_never_changes(client, shop):
    answer = load(client, "budgets:\n  monthly: {period: month, agent: boss, limit_amount: '3'}\n")
    assert (answer.status_code, errors(answer)) == (422, [("budgets.monthly.period", 2)])


@pytest.mark.parametrize("amount", ["1e9999999", "-1e9999999", "0e9999999", "1e-9999999"])
def test_refuses_an_amount_that_nobody_could_write_out(client, shop, amount):
    answer = load(client, f"budgets:\n  monthly: {{period: day, agent: boss, limit_amount: '{amount}'}}\n")
    assert (answer.status_code, errors(answer)) == (422, [("budgets.monthly.limit_amount", 2)])


def test_knows_no_budget_of_a_stranger(client, shop, charlie):
    answer = load(client, "budgets:\n  theirs: {period: day, user: charlie, limit_amount: '3'}\n")
    assert (answer.status_code, errors(answer)) == (422, [("budgets.theirs.user", 2)])
