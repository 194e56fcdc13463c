"""An agent is tried while it is edited: what its form has answers, and nothing of it is saved."""

from __future__ import annotations

import pytest
from django.urls import reverse

from agents import versions
from agents.models import Agent, Kind, Version
from runs.models import Run, Status
from tests.factories import AgentFactory, ChatModelFactory, MembershipFactory, ToolFactory
from tests.runs.admin_support import path_of, signed_in

QUESTION = "What is new?"


@pytest.fixture
def edited(workspace) -> Agent:
    return AgentFactory(workspace=workspace, name="helper", system_prompt="As it is saved.")


def form_of(agent: Agent, **changes) -> dict:
    values = {
        "name": agent.name,
        "enabled": "on",
        "model": agent.model_id,
        "system_prompt": agent.system_prompt,
        "seen": str(agent.version_id),
        "playground_question": QUESTION,
    }
    return values | changes


def try_it(user, agent: Agent, **changes):
    return signed_in(user).post(
        reverse("admin:runs_run_try_agent", args=[agent.pk]), form_of(agent, **changes)
    )


def started(response) -> Run:
    assert response.status_code == 202, response.content
    return Run.objects.select_related("agent_version").get(pk=response.json()["run"])


def test_runs_what_the_form_has(olivia, edited):
    run = started(try_it(olivia, edited, system_prompt="As it is typed."))
    assert (run.input_query, run.status, run.username) == (QUESTION, Status.QUEUED, "olivia")
    assert run.agent_version.data["system_prompt"] == "As it is typed."


def test_runs_with_tools_limits_and_model_that_nobody_has_saved(olivia, workspace, edited):
    tool, model = ToolFactory(workspace=workspace, name="calculator"), ChatModelFactory(workspace=workspace)
    run = started(try_it(olivia, edited, tools=[tool.pk], model=model.pk, max_steps=3))
    data = run.agent_version.data
    assert (data["tools"], data["model"], data["config"]) == (["calculator"], model.name, {"max_steps": 3})
    assert {tool.version_id, model.version_id} <= set(run.pins)


def test_saves_nothing(olivia, edited):
    try_it(olivia, edited, system_prompt="As it is typed.", name="renamed")
    stored = Agent.objects.get(pk=edited.pk)
    assert (stored.name, stored.system_prompt, stored.version_id) == (
        "helper",
        "As it is saved.",
        edited.version_id,
    )
    assert versions.history(Kind.AGENT, edited).count() == 1


def test_leaves_no_trace_in_the_list_of_versions(olivia, edited):
    run = started(try_it(olivia, edited, system_prompt="As it is typed."))
    page = signed_in(olivia).get(path_of("agents.version", "changelist")).content.decode()
    assert str(run.agent_version_id) not in page
    assert signed_in(olivia).get(path_of("agents.version", "change", run.agent_version_id)).status_code == 200


def test_makes_one_version_for_the_same_tried_again(olivia, edited):
    first, second = (started(try_it(olivia, edited, system_prompt="Typed.")) for _ in range(2))
    assert first.agent_version_id == second.agent_version_id


def test_belongs_to_the_agent_and_says_that_it_is_a_trial(olivia, edited):
    run = started(try_it(olivia, edited))
    assert (run.agent_id, run.tags) == (edited.pk, ["trial"])


def test_tries_an_agent_that_does_not_exist_yet(olivia, workspace):
    model = ChatModelFactory(workspace=workspace)
    form = {
        "workspace": workspace.pk,
        "name": "new-one",
        "enabled": "on",
        "model": model.pk,
        "system_prompt": "Be brief.",
        "playground_question": QUESTION,
    }
    run = started(signed_in(olivia).post(reverse("admin:runs_run_try"), form))
    assert (run.agent_id, run.agent_name) == (None, "new-one")
    assert not Agent.objects.filter(name="new-one").exists()


def test_tries_one_that_is_disabled(olivia, edited):
    Agent.objects.filter(pk=edited.pk).update(enabled=False)
    assert try_it(olivia, edited, enabled="").status_code == 202


def test_names_the_field_that_is_wrong(olivia, edited):
    response = try_it(olivia, edited, max_steps=9999)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "Max steps", "message": "Use a number from 1 to 500."}]
    assert not Run.objects.exists()


def test_names_a_part_that_is_disabled(olivia, workspace, edited):
    model = ChatModelFactory(workspace=workspace, name="off", enabled=False)
    response = try_it(olivia, edited, model=model.pk)
    assert "'off' is disabled" in response.json()["errors"][0]["message"]


def test_wants_a_question(olivia, edited):
    assert try_it(olivia, edited, playground_question=" ").status_code == 422


@pytest.mark.parametrize("who", ["bob", "vera", "audrey"])
def test_is_for_those_who_may_save_agents(request, edited, who):
    assert try_it(request.getfixturevalue(who), edited).status_code == 404
    assert not Version.objects.filter(change="tried").exists()


@pytest.mark.parametrize(("who", "shows"), [("olivia", True), ("vera", False), ("bob", False)])
def test_shows_the_panel_to_those_who_may(request, edited, who, shows):
    page = signed_in(request.getfixturevalue(who)).get(path_of("agents.agent", "change", edited.pk))
    assert ('id="playground"' in page.content.decode()) == shows


def test_reaches_no_agent_or_model_of_another_workspace(olivia, other_workspace, edited):
    theirs = AgentFactory(workspace=other_workspace)
    assert try_it(olivia, theirs).status_code == 404
    assert try_it(olivia, edited, model=theirs.model_id).status_code == 422


def test_runs_in_a_workspace_where_one_may_only_read_are_refused(olivia, other_workspace):
    MembershipFactory(workspace=other_workspace, user=olivia, role="viewer")
    assert try_it(olivia, AgentFactory(workspace=other_workspace)).status_code == 404
    form = {"workspace": other_workspace.pk, "name": "new-one", "playground_question": QUESTION}
    assert signed_in(olivia).post(reverse("admin:runs_run_try"), form).status_code == 422


def test_is_never_asked_by_a_link(olivia, edited):
    assert signed_in(olivia).get(reverse("admin:runs_run_try_agent", args=[edited.pk])).status_code == 405
