"""What agents.versions promises: every change is kept, can be compared and restored, and is written once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from agentplatform.lib.errors import InvalidConfig, NotFound
from agents.models import Agent, Secret, Tool, Version
from agents.snapshots import definition
from agents.versions import diff, hash_of, history, record, restore
from tests.factories import AgentFactory, AgentToolFactory, ChatModelFactory, HttpToolFactory, ToolFactory


def change(instance, **values):
    for name, value in values.items():
        setattr(instance, name, value)
    instance.save()


def test_numbers_versions_from_one(workspace):
    assert ToolFactory(workspace=workspace).version.number == 1


def test_writes_a_new_version_for_a_change(workspace):
    tool = ToolFactory(workspace=workspace)
    change(tool, description="better")
    assert record(tool, None, "updated").number == 2


def test_writes_nothing_where_nothing_changed(workspace):
    tool = ToolFactory(workspace=workspace)
    record(tool, None, "updated")
    assert history("tool", tool).count() == 1


def test_makes_the_version_the_current_one(workspace):
    tool = ToolFactory(workspace=workspace)
    change(tool, description="better")
    version = record(tool, None, "updated")
    assert Tool.objects.get(pk=tool.pk).version_id == version.pk


def test_names_the_author(workspace, alice, actor):
    tool = ToolFactory(workspace=workspace)
    change(tool, description="better")
    version = record(tool, actor(alice), "updated")
    assert (version.author, version.author_id) == ("alice", alice.pk)


def test_keeps_a_last_version_of_what_is_deleted(workspace):
    tool = ToolFactory(workspace=workspace)
    assert record(tool, None, "deleted").change == "deleted"


def test_refuses_to_record_what_is_gone(workspace):
    tool = ToolFactory(workspace=workspace)
    Tool.objects.filter(pk=tool.pk).delete()
    with pytest.raises(NotFound):
        record(tool, None, "updated")


def test_lists_the_newest_version_first(workspace):
    tool = ToolFactory(workspace=workspace)
    change(tool, description="better")
    record(tool, None, "updated")
    assert [version.number for version in history("tool", tool)] == [2, 1]


def test_hashes_equal_data_equally_whatever_its_order():
    assert hash_of({"a": 1, "b": {"c": [1, 2]}}) == hash_of({"b": {"c": [1, 2]}, "a": 1})


def test_holds_secrets_by_reference_only(workspace):
    secret = Secret.objects.create(workspace=workspace, value="sk-very-secret", hint="cret")
    model = ChatModelFactory(workspace=workspace, secret=secret)
    assert model.version.data["api_key"] == {"secret": str(secret.pk), "hint": "cret"}


def test_holds_parts_by_name_and_by_id(workspace):
    tool = ToolFactory(workspace=workspace)
    data = AgentFactory(workspace=workspace, tools=[tool]).version.data
    assert (data["tools"], data["tool_ids"]) == ([tool.name], [str(tool.pk)])


def test_restores_plain_fields(workspace):
    tool = ToolFactory(workspace=workspace, description="first")
    change(tool, description="second")
    record(tool, None, "updated")
    restore(history("tool", tool).last(), None)
    assert Tool.objects.get(pk=tool.pk).description == "first"


def test_restores_as_a_new_version(workspace):
    tool = ToolFactory(workspace=workspace, description="first")
    change(tool, description="second")
    record(tool, None, "updated")
    version = restore(history("tool", tool).last(), None)
    assert (version.number, version.change) == (3, "restored")


@pytest.mark.parametrize("kind", ["model", "tool", "agent_tool", "agent"])
def test_restores_what_it_recorded(workspace, kind):
    secret = Secret.objects.create(workspace=workspace, value="sk-very-secret", hint="cret")
    fallback = ChatModelFactory(workspace=workspace)
    tool = HttpToolFactory(
        workspace=workspace, secret_headers={"X-Key": {"secret": str(secret.pk), "hint": "cret"}}
    )
    model = ChatModelFactory(workspace=workspace, secret=secret, fallbacks=[fallback])
    agent = AgentFactory(workspace=workspace, model=model, tools=[tool], tags=["a"], config={"max_steps": 3})
    agent_tool = AgentToolFactory(workspace=workspace, approval_timeout_seconds=60)
    instance = {"model": model, "tool": tool, "agent_tool": agent_tool, "agent": agent}[kind]
    before = instance.version
    change(instance, name="changed", enabled=False)
    record(instance, None, "updated")
    restore(before, None)
    assert definition(type(instance).objects.get(pk=instance.pk)) == before.data


def test_restores_a_tool_of_an_earlier_release_with_the_defaults_of_what_it_did_not_know(workspace):
    tool = AgentToolFactory(workspace=workspace, approval_timeout_seconds=60, approval_default="approve")
    unknown = {"approval_timeout_seconds", "approval_default", "agent", "agent_id"}
    version = tool.version
    version.data = {name: value for name, value in version.data.items() if name not in unknown}
    restore(version, None)
    restored = Tool.objects.get(pk=tool.pk)
    assert (restored.approval_timeout_seconds, restored.approval_default, restored.agent) == (
        None,
        "reject",
        None,
    )


def test_holds_the_agent_of_a_tool_by_name_and_by_id(workspace):
    tool = AgentToolFactory(workspace=workspace)
    data = tool.version.data
    assert (data["agent"], data["agent_id"]) == (tool.agent.name, str(tool.agent_id))


def test_refuses_to_restore_a_tool_whose_agent_is_deleted(workspace):
    tool = AgentToolFactory(workspace=workspace, agent__name="expert")
    version = tool.version
    change(tool, tool_kind="function", function="calculator", agent=None)
    record(tool, None, "updated")
    Agent.objects.filter(name="expert").delete()
    with pytest.raises(InvalidConfig, match="expert"):
        restore(version, None)


def test_restores_relations(workspace):
    tool = ToolFactory(workspace=workspace)
    agent = AgentFactory(workspace=workspace, tools=[tool])
    agent.tools.clear()
    record(agent, None, "updated")
    restore(history("agent", agent).last(), None)
    assert list(agent.tools.all()) == [tool]


def test_refuses_to_restore_what_needs_a_deleted_part(workspace):
    tool = ToolFactory(workspace=workspace, name="abacus")
    agent = AgentFactory(workspace=workspace, tools=[tool])
    agent.tools.clear()
    record(agent, None, "updated")
    tool.delete()
    with pytest.raises(InvalidConfig, match="abacus"):
        restore(history("agent", agent).last(), None)


def test_refuses_to_restore_a_deleted_object(workspace):
    tool = ToolFactory(workspace=workspace)
    version = tool.version
    tool.delete()
    with pytest.raises(NotFound):
        restore(version, None)


def test_shows_what_differs_by_path(workspace):
    agent = AgentFactory(workspace=workspace, config={"max_steps": 3})
    before = agent.version
    change(agent, config={"max_steps": 5})
    assert diff(before, record(agent, None, "updated")) == {"config.max_steps": {"old": 3, "new": 5}}


@pytest.mark.django_db(transaction=True)
def test_numbers_each_version_once_when_two_write_at_the_same_time(workspace):
    tool = ToolFactory(workspace=workspace)
    barrier = threading.Barrier(4)

    def write(text):
        barrier.wait()
        with transaction.atomic():
            row = Tool.objects.select_for_update().get(pk=tool.pk)
            change(row, description=text)
            record(row, None, "updated")
        connection.close()

    threads = [threading.Thread(target=write, args=(f"text {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = Version.objects.filter(object_id=tool.pk).order_by("number").values_list("number", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 5]
