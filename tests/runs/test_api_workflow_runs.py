"""Workflows run over REST: started, refused, listed, forked."""

from __future__ import annotations

import pytest

from agentplatform.lib.errors import InvalidConfig
from agents.models import McpServer, Workflow
from agents.workflows import drafts
from agents.workflows.launch import require_workflow_usable
from runs.models import Run
from tests.factories import McpToolFactory, ToolFactory, WorkflowFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def workflow(workspace):
    return WorkflowFactory(workspace=workspace, name="reply")


@pytest.fixture
def run(api, alice, workflow):
    """`run({"input": …})`: the answer to alice, who is an admin."""

    def started(body=None, who=alice, of="reply", **headers):
        body = {"message": "Hello"} if body is None else body
        return api(who).post(f"/workflows/{of}/run", body, format="json", headers=headers)

    return started


def fields(answer) -> list[str]:
    assert answer.status_code == 422, answer.content
    return [entry["field"] for entry in answer.json()["error"]["details"]]


def test_starts_a_run(run, workflow):
    answer = run()
    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["workflow"], shown["workflow_id"], shown["workflow_version"]) == (
        "reply",
        str(workflow.pk),
        1,
    )
    assert (shown["agent_id"], shown["input"], shown["status"]) == (
        None,
        {"values": {"message": "Hello"}},
        "queued",
    )


def test_starts_a_run_by_the_route_of_runs(api, alice, workflow):
    answer = api(alice).post("/runs", {"workflow_id": "reply", "input": {"message": "Hello"}}, format="json")
    assert (answer.status_code, answer.json()["workflow"]) == (202, "reply")


def test_takes_either_an_agent_or_a_workflow(api, alice, workflow):
    body = {"workflow_id": "reply", "agent_id": "any", "message": "Hello"}
    assert fields(api(alice).post("/runs", body, format="json")) == ["workflow_id"]


@pytest.mark.parametrize("given", [{}, {"message": 3}, {"message": "x", "else": 1}])
def test_refuses_an_input_that_is_not_the_workflows(run, given):
    assert fields(run({"input": given})) == ["input"]


def test_takes_a_text_for_the_message(run):
    assert run({"input": "Hello"}).json()["input_query"] == "Hello"


def test_starts_one_run_for_one_key(run):
    first, second = (run(**{"Idempotency-Key": "one"}) for _ in range(2))
    assert first.json()["id"] == second.json()["id"]


def test_says_that_nothing_is_published(run, workspace):
    WorkflowFactory(workspace=workspace, name="draft", published=False)
    assert run(of="draft").status_code == 409


def test_runs_a_draft_for_those_who_write_workflows(run, workspace):
    WorkflowFactory(workspace=workspace, name="draft", published=False)
    assert run({"message": "Hello", "version": 1}, of="draft").status_code == 202


def test_runs_what_is_published_for_others(run, bob):
    assert run(who=bob).status_code == 202
    assert run({"message": "Hello", "version": 1}, who=bob).status_code == 403


def test_refuses_a_workflow_that_is_disabled(run, workflow):
    Workflow.objects.update(enabled=False)
    assert fields(run()) == ["workflow"]


def test_refuses_what_needs_something_that_is_disabled(run, workspace):
    tool = ToolFactory(workspace=workspace, name="calc")
    made = WorkflowFactory.build(workspace=workspace, name="counts")
    made.document["nodes"][1] = {
        "id": "say",
        "kind": "tool",
        "tool": "calc",
        "arguments": {"expression": "1 + 1"},
        "output": "answer",
    }
    drafts.save(made, None, {"document": made.document})
    tool.enabled = False
    tool.save()
    assert fields(run({"message": "Hello", "version": 1}, of="counts")) == ["nodes.say.tool"]


@pytest.fixture
def remote(workspace):
    """A workflow `asks` whose one node calls a tool of an MCP server."""
    made = WorkflowFactory.build(workspace=workspace, name="asks")
    tool = McpToolFactory(workspace=workspace, name="remote")
    made.document["nodes"][1] = {"id": "say", "kind": "tool", "tool": "remote", "output": "answer"}
    drafts.save(made, None, {"document": made.document})
    return tool


@pytest.fixture
def ask(run, remote):
    return lambda: run({"message": "Hello", "version": 1}, of="asks")


def test_refuses_what_asks_an_mcp_server_that_is_disabled(ask):
    McpServer.objects.update(enabled=False)
    assert fields(ask()) == ["nodes.say.tool"]


def test_goes_on_with_nothing_that_asks_an_mcp_server_that_is_disabled(ask, remote):
    source = Run.objects.get(pk=ask().json()["id"])
    McpServer.objects.update(enabled=False)
    with pytest.raises(InvalidConfig, match=remote.mcp_server.name):
        require_workflow_usable(source.workflow, source.pins)


def test_finds_nothing_of_another_workspace(run, other_workspace):
    WorkflowFactory(workspace=other_workspace, name="theirs")
    assert run(of="theirs").status_code == 404


def test_lists_the_runs_of_a_workflow(api, alice, run, workspace):
    WorkflowFactory(workspace=workspace, name="other")
    run(of="other")
    mine = run().json()["id"]
    items = api(alice).get("/runs", {"workflow_id": "reply"}).json()["items"]
    assert [(item["id"], item["workflow"]) for item in items] == [(mine, "reply")]


def test_tries_a_run_again(api, alice, run):
    first = run().json()["id"]
    Run.objects.filter(pk=first).update(status="failed")
    answer = api(alice).post(f"/runs/{first}/retry")
    again = Run.objects.get(parent=first)
    assert (answer.status_code, again.workflow_name, again.input) == (
        202,
        "reply",
        {"values": {"message": "Hello"}},
    )
