"""A run of versions that were used before: with another prompt or model, and with nothing that was disabled since."""

from __future__ import annotations

import pytest

from agentplatform.lib.errors import InvalidConfig
from agents.launch import pins_on_model, prepare, require_usable
from agents.pinned import load
from agents.specification import Bindings
from agents.versions import record
from tests.factories import AgentFactory, AgentToolFactory, ChatModelFactory, ToolFactory


@pytest.fixture
def agent(workspace):
    fallback = ChatModelFactory(workspace=workspace, name="spare")
    model = ChatModelFactory(workspace=workspace, name="own", fallbacks=[fallback])
    tool = ToolFactory(workspace=workspace, name="abacus")
    return AgentFactory(workspace=workspace, model=model, tools=[tool], system_prompt="Be kind.")


@pytest.fixture
def launch(workspace, agent):
    return prepare(workspace.pk, agent.name)


@pytest.fixture
def overridden(launch):
    """`overridden(model=other, system_prompt="…")`: the agent's specification with these over its version."""

    def specification(model=None, **overrides):
        pins = pins_on_model(launch.pins, model) if model else launch.pins
        if model:
            overrides |= {"model": model.name, "model_id": str(model.pk)}
        return load(launch.version_id, pins, {}, overrides)

    return specification


# the specification


def test_puts_another_prompt_over_the_agents(overridden):
    assert overridden(system_prompt="Be brief.").system_prompt == "Be brief."


def test_takes_an_empty_prompt_for_none(overridden):
    assert overridden(system_prompt="").system_prompt == ""


def test_leaves_the_rest_as_it_was(overridden):
    found = overridden(system_prompt="Be brief.")

    assert (found.model.name, [tool.name for tool in found.tools]) == ("own", ["abacus"])


def test_binds_what_the_caller_has_sent(overridden):
    tool = {"type": "function", "function": {"name": "look_up"}}
    found = overridden(bindings={"tools": [tool], "tool_choice": "any", "one_call": True})

    assert found.bindings == Bindings((tool,), "any", one_call=True)


def test_puts_parameters_of_the_caller_over_the_models(overridden):
    assert overridden(bindings={"parameters": {"top_p": 0.5}}).model.parameters["top_p"] == 0.5


def test_puts_another_model_in_the_place_of_the_agents(overridden, workspace):
    other = ChatModelFactory(workspace=workspace, name="other")

    assert overridden(model=other).model.name == "other"


def test_brings_the_other_models_fallbacks(overridden, workspace):
    second, first = ChatModelFactory.create_batch(2, workspace=workspace)
    other = ChatModelFactory(workspace=workspace, fallbacks=[first, second])
    found = overridden(model=other).fallbacks

    assert [fallback.name for fallback in found] == [first.name, second.name]


def test_keeps_the_tools_with_another_model(overridden, workspace):
    found = overridden(model=ChatModelFactory(workspace=workspace))

    assert [tool.name for tool in found.tools] == ["abacus"]


def test_uses_the_agents_own_model_as_it_is_now_where_it_is_named(overridden, agent, launch):
    agent.model.parameters = {"temperature": 0.7}
    agent.model.save()
    record(agent.model, None, "updated")

    assert overridden(model=agent.model).model.parameters == {"temperature": 0.7}


def test_leaves_out_a_fallback_that_is_disabled(overridden, workspace):
    fallback = ChatModelFactory(workspace=workspace, enabled=False)
    other = ChatModelFactory(workspace=workspace, fallbacks=[fallback])

    assert overridden(model=other).fallbacks == ()


# what may be used again


def test_uses_again_what_is_enabled(agent, launch):
    require_usable(agent, agent.model, launch.pins)


@pytest.mark.parametrize("part", ["agent", "model", "tool"])
def test_does_not_use_again_what_was_disabled(agent, launch, part):
    disabled = {"agent": agent, "model": agent.model, "tool": agent.tools.get()}[part]
    disabled.enabled = False
    disabled.save()

    with pytest.raises(InvalidConfig, match=f"{disabled.name!r} is disabled"):
        require_usable(agent, agent.model, launch.pins)


def test_does_not_use_again_a_tool_whose_agent_was_disabled(workspace):
    tool = AgentToolFactory(workspace=workspace, agent__name="expert")
    agent = AgentFactory(workspace=workspace, tools=[tool])
    pins = prepare(workspace.pk, agent.name).pins
    type(tool.agent).objects.filter(name="expert").update(enabled=False)

    with pytest.raises(InvalidConfig, match="'expert' is disabled"):
        require_usable(agent, agent.model, pins)


def test_uses_a_tool_that_the_agent_has_no_more(agent, launch):
    tool = agent.tools.get()
    agent.tools.clear()
    tool.delete()

    require_usable(agent, agent.model, launch.pins)
