"""A run of an agent, from its start to its end, against a real model endpoint."""

from __future__ import annotations

import time

import pytest

from agentplatform.lib.concurrency import in_thread
from billing.models import UsageRecord
from runs.engine import journal
from runs.events import rebuild_text
from runs.models import Checkpoint, Message, RunStep
from tests.engine.support import data, events_of, finished, start, types
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def text_agent(agent_on):
    return agent_on("text-5")


@pytest.fixture
def tool_agent(agent_on, workspace):
    return agent_on("text-5", tools=[ToolFactory(workspace=workspace, name="calculator")])


CALCULATE = 'call calculator {"expression": "6 * 7"}'


async def test_completes_with_the_models_answer(worker, text_agent, alice):
    run = await finished(await start(alice, text_agent))

    assert run.status == "completed"


async def test_stores_the_answer(worker, text_agent, alice):
    run = await finished(await start(alice, text_agent))

    assert run.response_content.split() == ["word0", "word1", "word2", "word3", "word4"]


async def test_numbers_its_events_without_holes(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)

    events = await events_of(run.id)

    assert [event.seq for event in events] == list(range(1, len(events) + 1))


async def test_tells_every_stage_of_a_tool_call(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)

    events = await events_of(run.id)

    assert [kind for kind in types(events) if kind != "content_delta"] == [
        "run_queued",
        "run_started",
        "step_started",
        "usage_recorded",
        "step_completed",
        "checkpoint_created",
        "step_started",
        "tool_call_started",
        "tool_call_completed",
        "step_completed",
        "checkpoint_created",
        "step_started",
        "usage_recorded",
        "step_completed",
        "checkpoint_created",
        "run_completed",
    ]


async def test_shows_the_tools_result(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)

    completed = next(event for event in await events_of(run.id) if event.type == "tool_call_completed")

    assert str(data(completed)["result"]) == "42"


async def test_lets_its_text_be_rebuilt_from_the_events(worker, tool_agent, alice):
    run = await start(alice, tool_agent, CALCULATE)

    assert rebuild_text(await events_of(run.id)) == (await finished(run)).response_content


async def test_makes_fewer_events_of_a_stream_that_is_faster_than_the_journal(
    worker, agent_on, alice, monkeypatch
):
    write = journal.commit
    monkeypatch.setattr(journal, "commit", lambda items: time.sleep(0.1) or write(items))
    run = await start(alice, await in_thread(agent_on, "text-50-5"))

    events = await events_of(run.id)

    assert rebuild_text(events).split() == [f"word{number}" for number in range(50)]
    assert types(events).count("content_delta") < 10


async def test_keeps_a_row_per_step(worker, tool_agent, alice):
    run = await finished(await start(alice, tool_agent, CALCULATE))

    steps = [step async for step in RunStep.objects.filter(run=run).values_list("step_num", "type")]
    assert steps == [(1, "model"), (2, "tool"), (3, "model")]


async def test_opens_and_settles_every_model_call_in_the_ledger(worker, tool_agent, alice):
    run = await finished(await start(alice, tool_agent, CALCULATE))

    entries = [
        entry async for entry in UsageRecord.objects.filter(run_id=run.id).values_list("entry", "status")
    ]
    assert sorted(entries) == [("opened", "pending")] * 2 + [("settled", "ok")] * 2


async def test_adds_up_its_tokens(worker, tool_agent, alice):
    run = await finished(await start(alice, tool_agent, CALCULATE))

    settled = [record async for record in UsageRecord.objects.filter(run_id=run.id, entry="settled")]
    assert run.total_tokens == sum(record.input_tokens + record.output_tokens for record in settled)


async def test_writes_a_checkpoint_for_every_step(worker, tool_agent, alice):
    run = await finished(await start(alice, tool_agent, CALCULATE))

    steps = {row async for row in Checkpoint.objects.filter(run=run).values_list("step_num", flat=True)}
    assert steps == {0, 1, 2, 3}


async def test_leaves_no_worker_in_charge(worker, text_agent, alice):
    run = await finished(await start(alice, text_agent))

    assert run.worker_id is None


async def test_uses_the_version_of_the_agent_that_it_was_started_with(worker, agent_on, alice, endpoint):
    agent = await in_thread(agent_on, "text-5", system_prompt="Before")
    run = await start(alice, agent)
    await finished(run)

    assert endpoint.requests[-1].body["messages"][0]["content"] == "Before"


async def test_remembers_the_conversation_of_its_session(worker, text_agent, alice, session, endpoint):
    await finished(await start(alice, text_agent, "first", session_id=session.id))

    await finished(await start(alice, text_agent, "second", session_id=session.id))

    said = [
        message["content"] for message in endpoint.requests[-1].body["messages"] if message["role"] == "user"
    ]
    assert said == ["first", "second"]


async def test_writes_both_sides_into_its_session(worker, text_agent, alice, session):
    await finished(await start(alice, text_agent, "first", session_id=session.id))

    sources = [
        source async for source in Message.objects.filter(session=session).values_list("source", flat=True)
    ]
    assert sources == ["user", text_agent.name]


async def test_stores_characters_that_postgresql_refuses_as_replacements(worker, agent_on, alice):
    agent = await in_thread(agent_on, "echo")

    run = await finished(await start(alice, agent, "a\x00b \ud800"))

    assert run.status == "completed"
