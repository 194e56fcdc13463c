"""A long conversation is shortened for the model by a summary that is paid for and recorded like every other call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.models import Agent, ChatModel
from billing.models import UsageRecord
from runs.models import Checkpoint, ErrorClass, Message, RunStep
from tests.engine.support import at_rest, data, entries_of, events_of, finished, start
from tests.factories import ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOTES = "You keep the notes of a conversation"
SUMMARY = "Here is a summary of the conversation to date:\n\nThe user likes tea."


@pytest.fixture
def forgetful(agent_on, endpoint) -> Callable[..., Agent]:
    """`forgetful(keep_messages=1)`: an agent that summarizes at five messages, and keeps two unless said otherwise."""
    endpoint.reset()
    endpoint.say(NOTES, "The user likes tea.")

    def make(model: str = "text-2", writer: ChatModel | None = None, config=(), tools=(), **policy) -> Agent:
        memory = {"summarize": {"trigger_messages": 5, "keep_messages": 2, **policy}}
        return agent_on(model, tools=tools, memory=memory, summary_model=writer, config=dict(config))

    return make


@pytest.fixture
def agent(forgetful) -> Agent:
    return forgetful()


@pytest.fixture
def writer(workspace, endpoint) -> Callable[..., ChatModel]:
    """`writer("text-2")`: another model of the workspace, which writes summaries."""

    def make(behaviour: str) -> ChatModel:
        return ChatModelFactory(
            workspace=workspace, provider="openai", model=behaviour, base_url=endpoint.base_url
        )

    return make


@pytest.fixture
def agent_with_writer(forgetful, writer) -> Agent:
    return forgetful(writer=writer("text-writer"))


@pytest.fixture
def agent_with_broken_writer(forgetful, writer, endpoint) -> Agent:
    agent = forgetful(writer=writer("error-400"))
    endpoint.reset()
    return agent


@pytest.fixture
def single_step_agent(forgetful) -> Agent:
    """May ask its model once in a run."""
    return forgetful(config={"max_steps": 1})


@pytest.fixture
def busy_agent(forgetful, workspace) -> Agent:
    """Calls its tool for ever, and summarizes on the way."""
    tool = ToolFactory(workspace=workspace, name="calculator")
    return forgetful("loop", config={"max_steps": 3}, tools=[tool], trigger_messages=4)


@pytest.fixture
def talk(alice, session):
    """`await talk(agent, "one", "two")`: these are said in one session, one after the other; the last run."""

    async def say(agent, *texts):
        for text in texts:
            run = await finished(await start(alice, agent, text, session_id=session.id))
        return run

    return say


def asked(endpoint) -> list[list[str]]:
    """What each request had for messages, without the system's."""
    return [
        [message["content"] for message in request.body["messages"] if message["role"] != "system"]
        for request in endpoint.requests
    ]


def models_asked(endpoint) -> list[str]:
    return [request.body["model"] for request in endpoint.requests]


# what the model is shown


async def test_shows_the_model_the_summary_and_what_is_kept(worker, agent, talk, endpoint):
    await talk(agent, "one", "two", "three")

    assert asked(endpoint)[-1] == [SUMMARY, "word0 word1 ", "three"]


async def test_gives_the_older_messages_to_who_writes_the_summary(worker, agent, talk, endpoint):
    await talk(agent, "one", "two", "three")

    [conversation] = asked(endpoint)[-2]
    assert [word in conversation for word in ("one", "two", "three")] == [True, True, False]


async def test_goes_on_from_the_summary_in_the_next_run(worker, agent, talk, endpoint):
    await talk(agent, "one", "two", "three", "four")

    # The fourth message makes five of the state's four, and the summary is a part of what is summarized.
    [conversation] = asked(endpoint)[-2]
    assert "The user likes tea." in conversation
    assert asked(endpoint)[-1] == [SUMMARY, "word0 word1 ", "four"]


async def test_keeps_the_sessions_messages_whole(worker, agent, talk, session):
    await talk(agent, "one", "two", "three")

    said = [message.content async for message in Message.objects.filter(session=session).order_by("id")]
    assert said == ["one", "word0 word1 ", "two", "word0 word1 ", "three", "word0 word1 "]


async def test_leaves_the_state_as_short_as_the_model_sees_it(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    newest = await Checkpoint.objects.filter(run_id=run.id).order_by("-checkpoint_id").afirst()
    assert newest.message_count == 4


async def test_summarizes_in_the_middle_of_a_run(worker, busy_agent, alice):
    run = await finished(await start(alice, busy_agent, "Go on."))

    kinds = [step.type async for step in RunStep.objects.filter(run=run).order_by("step_num")]
    assert kinds == ["model", "tool", "model", "tool", "summary", "model", "tool"]


# what it costs


async def test_has_the_call_in_the_ledger(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    assert await entries_of(run) == [("opened", "pending")] * 2 + [("settled", "ok")] * 2


async def test_counts_the_call_in_the_runs_totals(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    settled = [one async for one in UsageRecord.objects.filter(run_id=run.id, entry="settled")]
    assert run.input_tokens == sum(one.input_tokens for one in settled)
    assert run.output_tokens == sum(one.output_tokens for one in settled)


async def test_is_a_step_of_its_own(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    steps = [(step.type, step.node, step.model_response) async for step in RunStep.objects.filter(run=run)]
    assert steps == [("summary", "summarize", "The user likes tea."), ("model", "model", "word0 word1 ")]


async def test_tells_of_the_call_under_its_own_node(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    events = await events_of(run.id)
    assert [event.node for event in events if event.type == "usage_recorded"] == ["summarize", "model"]


async def test_streams_no_word_of_the_summary(worker, agent, talk):
    run = await talk(agent, "one", "two", "three")

    said = [data(event)["content"] for event in await events_of(run.id) if event.type == "content_delta"]
    assert "".join(said) == run.response_content == "word0 word1 "


async def test_is_no_model_call_in_the_eyes_of_max_steps(worker, single_step_agent, talk):
    assert (await talk(single_step_agent, "one", "two", "three")).status == "completed"


async def test_pauses_where_the_summary_would_go_over_the_budget(worker, agent, talk, alice, session):
    await talk(agent, "one", "two")
    run = await start(alice, agent, "three", session_id=session.id, limits={"max_tokens": 1})

    run = await at_rest(run)
    assert (run.status, run.total_steps) == ("paused", 1)


# who writes it


async def test_asks_the_model_that_was_chosen(worker, agent_with_writer, talk, endpoint):
    await talk(agent_with_writer, "one", "two", "three")

    assert models_asked(endpoint)[-2:] == ["text-writer", "text-2"]


async def test_asks_the_agents_own_model_where_the_chosen_one_fails(
    worker, agent_with_broken_writer, talk, endpoint
):
    run = await talk(agent_with_broken_writer, "one", "two", "three")

    assert run.status == "completed"
    assert models_asked(endpoint)[-3:] == ["error-400", "text-2", "text-2"]


async def test_fails_the_run_where_nobody_writes_the_summary(worker, agent, talk, endpoint):
    await talk(agent, "one", "two")
    endpoint.script("error-400")

    run = await talk(agent, "three")

    assert (run.status, run.error["class"]) == ("failed", ErrorClass.PROVIDER_REJECTED)


# when an attempt is lost


async def test_writes_no_second_summary_where_the_first_was_stored(
    worker, agent, talk, endpoint, stopped_before
):
    await talk(agent, "one", "two")
    stopped_before(2)

    run = await talk(agent, "three")

    assert (run.status, run.attempt) == ("completed", 2)
    assert len([one for one in asked(endpoint) if "<message" in one[0]]) == 1


async def test_writes_it_again_where_it_was_not(worker, agent, talk, endpoint, stopped_before):
    await talk(agent, "one", "two")
    stopped_before(1)

    run = await talk(agent, "three")

    assert (run.status, run.attempt, run.total_steps) == ("completed", 2, 2)
    assert asked(endpoint)[-1] == [SUMMARY, "word0 word1 ", "three"]
