"""What agents.pinned promises: the same ids give the same specification, whatever was edited since."""

from __future__ import annotations

import pytest

from agentplatform.lib.errors import InvalidConfig, NotFound
from agents.launch import prepare
from agents.models import Secret
from agents.pinned import load, parse_tool, secret_values
from agents.versions import record
from tests.factories import AgentFactory, AgentToolFactory, ChatModelFactory, HttpToolFactory, ToolFactory


def specification_of(agent, **config):
    launch = prepare(agent.workspace_id, agent.name)
    return load(launch.version_id, launch.pins, config)


@pytest.fixture
def secret(workspace):
    return Secret.objects.create(workspace=workspace, value="sk-very-secret", hint="cret")


def test_reads_everything_in_one_query(workspace, django_assert_num_queries):
    agent = AgentFactory(workspace=workspace, tools=ToolFactory.create_batch(3, workspace=workspace))
    launch = prepare(workspace.pk, agent.name)
    with django_assert_num_queries(1):
        load(launch.version_id, launch.pins)


def test_prepares_an_agent_in_one_query(workspace, django_assert_num_queries):
    model = ChatModelFactory(workspace=workspace, fallbacks=[ChatModelFactory(workspace=workspace)])
    agent = AgentFactory(workspace=workspace, model=model, tools=[ToolFactory(workspace=workspace)])
    with django_assert_num_queries(1):
        prepare(workspace.pk, agent.name)


def test_finds_an_agent_by_id(workspace):
    agent = AgentFactory(workspace=workspace)
    assert prepare(workspace.pk, str(agent.pk)).agent_id == agent.pk


def test_finds_the_default_agent_where_none_is_named(workspace):
    AgentFactory(workspace=workspace)
    agent = AgentFactory(workspace=workspace, is_default=True)
    assert prepare(workspace.pk, None).agent_id == agent.pk


def test_does_not_find_an_agent_of_another_workspace(workspace, other_workspace):
    agent = AgentFactory(workspace=other_workspace)
    with pytest.raises(NotFound):
        prepare(workspace.pk, agent.name)


def test_stays_as_it_was_when_the_agent_is_edited(workspace):
    agent = AgentFactory(workspace=workspace, system_prompt="before")
    launch = prepare(workspace.pk, agent.name)
    agent.system_prompt = "after"
    agent.save()
    record(agent, None, "updated")
    assert load(launch.version_id, launch.pins).system_prompt == "before"


def test_stays_as_it_was_when_a_tool_is_renamed(workspace):
    tool = ToolFactory(workspace=workspace, name="before")
    launch = prepare(workspace.pk, AgentFactory(workspace=workspace, tools=[tool]).name)
    tool.name = "after"
    tool.save()
    record(tool, None, "updated")
    assert [tool.name for tool in load(launch.version_id, launch.pins).tools] == ["before"]


def test_uses_the_renamed_tool_from_then_on(workspace):
    tool = ToolFactory(workspace=workspace, name="before")
    agent = AgentFactory(workspace=workspace, tools=[tool])
    tool.name = "after"
    tool.save()
    record(tool, None, "updated")
    assert [tool.name for tool in specification_of(agent).tools] == ["after"]


def test_gives_limits_that_the_agent_leaves_open_their_defaults(workspace, settings):
    settings.AGENT_TIMEOUT_SECONDS, settings.AGENT_MAX_RETRIES = 17, 2
    config = specification_of(AgentFactory(workspace=workspace)).config
    assert (config.max_steps, config.timeout, config.retries) == (25, 17, 2)


def test_takes_no_retries_for_what_it_says(workspace):
    assert specification_of(AgentFactory(workspace=workspace, config={"retries": 0})).config.retries == 0


def test_lets_the_run_go_over_the_agent(workspace):
    agent = AgentFactory(workspace=workspace, config={"max_steps": 5, "retries": 1})
    config = specification_of(agent, max_steps=9).config
    assert (config.max_steps, config.retries) == (9, 1)


def test_lets_the_agent_go_over_the_models_parameters(workspace):
    model = ChatModelFactory(workspace=workspace, parameters={"temperature": 0.9, "top_p": 0.5})
    agent = AgentFactory(workspace=workspace, model=model, config={"temperature": 0.1})
    assert specification_of(agent).model.parameters == {"temperature": 0.1, "top_p": 0.5}


def test_keeps_fallbacks_in_their_order(workspace):
    second, first = ChatModelFactory.create_batch(2, workspace=workspace)
    model = ChatModelFactory(workspace=workspace, fallbacks=[first, second])
    found = specification_of(AgentFactory(workspace=workspace, model=model)).fallbacks
    assert [fallback.name for fallback in found] == [first.name, second.name]


def test_leaves_out_a_disabled_fallback(workspace):
    fallback = ChatModelFactory(workspace=workspace, enabled=False)
    model = ChatModelFactory(workspace=workspace, fallbacks=[fallback])
    assert specification_of(AgentFactory(workspace=workspace, model=model)).fallbacks == ()


@pytest.mark.parametrize("noun", ["agent", "model", "tool"])
def test_refuses_what_is_disabled(workspace, noun):
    model = ChatModelFactory(workspace=workspace, enabled=noun != "model")
    tool = ToolFactory(workspace=workspace, enabled=noun != "tool")
    agent = AgentFactory(workspace=workspace, model=model, tools=[tool], enabled=noun != "agent")
    names = {"agent": agent.name, "model": model.name, "tool": tool.name}
    with pytest.raises(InvalidConfig, match=f"{names[noun]!r} is disabled"):
        specification_of(agent)


def test_refuses_a_tool_that_asks_a_disabled_agent(workspace):
    tool = AgentToolFactory(workspace=workspace, agent__name="expert", agent__enabled=False)
    agent = AgentFactory(workspace=workspace, tools=[tool])
    with pytest.raises(InvalidConfig, match="'expert' is disabled"):
        prepare(workspace.pk, agent.name)


def test_refuses_an_agent_whose_tool_was_deleted_behind_its_back(workspace):
    tool = ToolFactory(workspace=workspace, name="abacus")
    agent = AgentFactory(workspace=workspace, tools=[tool])
    tool.delete()
    with pytest.raises(InvalidConfig, match="abacus"):
        specification_of(agent)


def test_refuses_a_missing_pin(workspace):
    agent = AgentFactory(workspace=workspace)
    with pytest.raises(InvalidConfig, match=agent.model.name):
        load(agent.version_id, [])


def test_fills_in_what_a_functions_tool_leaves_empty(workspace):
    agent = AgentFactory(workspace=workspace, tools=[ToolFactory(workspace=workspace, function="calculator")])
    [tool] = specification_of(agent).tools
    assert (tool.arguments_schema["required"], bool(tool.description)) == (["expression"], True)


def test_knows_whom_a_tool_asks(workspace):
    tool = AgentToolFactory(workspace=workspace)
    [found] = specification_of(AgentFactory(workspace=workspace, tools=[tool])).tools
    assert (found.kind, found.agent) == ("agent", tool.agent_id)


def test_knows_what_a_tools_approvals_are(workspace):
    wanted = {
        "requires_approval": True,
        "approval_timeout_seconds": 60,
        "approval_default": "approve",
    }
    tool = ToolFactory(workspace=workspace, **wanted)
    [found] = specification_of(AgentFactory(workspace=workspace, tools=[tool])).tools
    assert {name: getattr(found, name) for name in wanted} == wanted


def test_reads_a_tools_version_of_an_earlier_release(workspace):
    version = ToolFactory(workspace=workspace).version
    for name in ("approval_timeout_seconds", "approval_default", "agent", "agent_id"):
        del version.data[name]
    found = parse_tool(version)
    assert (found.approval_timeout_seconds, found.approval_default, found.agent) == (None, "reject", None)


def test_knows_the_secrets_that_it_needs(workspace, secret):
    header = {"X-Key": {"secret": str(secret.pk), "hint": "cret"}}
    agent = AgentFactory(
        workspace=workspace,
        model=ChatModelFactory(workspace=workspace, secret=secret),
        tools=[HttpToolFactory(workspace=workspace, secret_headers=header)],
    )
    assert specification_of(agent).secret_ids == {secret.pk}


def test_reads_the_values_of_secrets(workspace, secret):
    assert secret_values(workspace.pk, [secret.pk]) == {secret.pk: "sk-very-secret"}


def test_reads_no_secret_of_another_workspace(other_workspace, secret):
    assert secret_values(other_workspace.pk, [secret.pk]) == {}
