"""Forks and restored runs, executed: the source's history up to the checkpoint, then their own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Model

from accounts.authentication import actor_from_session
from agentplatform.lib.concurrency import in_thread
from runs import approvals, lifecycle, live
from runs.approvals import Decision
from runs.events import rebuild_text
from runs.history import branches, checkpoints
from runs.history.branches import Modifications
from runs.models import (
    Approval,
    Checkpoint,
    CheckpointBlob,
    CheckpointWrite,
    Run,
    RunEvent,
    RunStep,
    Status,
    ToolCall,
)
from tests.engine.support import at_rest, data, events_of, finished, start, types, until
from tests.factories import ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

CALCULATE = 'call calculator {"expression": "6 * 7"}'
OF_RUN = (RunStep, RunEvent, ToolCall)
OF_THREAD = (Checkpoint, CheckpointBlob, CheckpointWrite)


@pytest.fixture
def tool_agent(agent_on, workspace):
    return agent_on("text-5", tools=[ToolFactory(workspace=workspace, name="calculator")])


@pytest.fixture
def careful_agent(agent_on, workspace):
    """Its calls of the calculator wait for a person."""
    tool = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    return agent_on("text-5", tools=[tool])


@pytest.fixture
def branch(alice, workspace):
    """`await branch(run, 2, branches.fork, …)`: what alice makes of the run's checkpoint after that step."""

    async def make(run: Run, step: int, verb=branches.fork, **wishes) -> Any:
        def work():
            checkpoint = run.checkpoints.of_people().filter(step_num=step).latest("checkpoint_id")
            return verb(actor_from_session(alice, workspace.pk), checkpoint.pk, **wishes)

        made = await in_thread(work)
        live.announce(made if isinstance(made, list) else made.events)
        return made

    return make


@pytest.fixture
def forked(branch):
    """`await forked(run, 2, modified_query="…")`: the fork after its end."""

    async def make(run: Run, step: int, verb=branches.fork, **modifications) -> Run:
        started = await branch(run, step, verb, modifications=Modifications(**modifications))
        return await finished(started.run)

    return make


def stored(run: Run) -> dict[str, Any]:
    """Every byte that the database holds of a run."""
    rows = {"Run": list(Run.objects.filter(pk=run.pk).values())}
    rows |= {table.__name__: values_of(table, run_id=run.pk) for table in OF_RUN}
    return rows | {table.__name__: values_of(table, thread_id=run.thread_id) for table in OF_THREAD}


def values_of(table: type[Model], **of_run: object) -> list[dict[str, Any]]:
    rows = table._default_manager.filter(**of_run).order_by("pk").values()
    return [{name: plain(value) for name, value in row.items()} for row in rows]


def plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


def history(run: Run, steps: int) -> list[dict[str, Any]]:
    """The run's states and steps up to a step, without what names their run."""
    own = {"id", "run_id", "thread_id"}
    states = run.checkpoints.of_people().filter(step_num__lte=steps).order_by("step_num")
    rows = [*states.values(), *run.steps.filter(step_num__lte=steps).values()]
    shown = [checkpoints.read(Checkpoint.objects.get(pk=state.pk)).messages for state in states]
    return [{name: value for name, value in row.items() if name not in own} for row in rows] + shown


def said_to(endpoint) -> list[tuple[str, str]]:
    """What the model was last asked, as role and text."""
    messages = endpoint.requests[-1].body["messages"]
    return [(message["role"], message.get("content") or "") for message in messages]


# history


async def test_has_the_history_of_its_source_up_to_the_checkpoint(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 2, system_prompt="Be brief.")

    assert await in_thread(history, fork, 2) == await in_thread(history, source, 2)


async def test_leaves_every_byte_of_its_source_as_it_was(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    before = await in_thread(stored, source)
    await forked(source, 2, modified_query="hello")

    assert await in_thread(stored, source) == before


async def test_goes_on_counting_steps(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 2)

    steps = [step async for step in RunStep.objects.filter(run=fork).values_list("step_num", "type")]
    assert (fork.status, steps) == (Status.COMPLETED, [(1, "model"), (2, "tool"), (3, "model")])


async def test_pays_for_its_own_calls_only(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 2)

    assert 0 < fork.total_tokens < source.total_tokens


async def test_counts_the_model_calls_of_its_history(worker, agent_on, workspace, alice, forked):
    tools = [await in_thread(ToolFactory, workspace=workspace, name="calculator")]
    agent = await in_thread(lambda: agent_on("text-5", tools=tools, config={"max_steps": 2}))
    source = await finished(await start(alice, agent, CALCULATE))
    fork = await forked(source, 2, config={"max_steps": 1})

    assert fork.error["class"] == "max_steps"


async def test_begins_with_the_events_of_a_run_of_its_own(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 2)

    assert types(await events_of(fork.id))[:3] == ["run_queued", "run_started", "step_started"]


async def test_makes_a_call_again_that_was_still_to_be_made(worker, tool_agent, alice, forked):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 1)

    calls = [call async for call in ToolCall.objects.filter(run=fork).values_list("step_num", "status")]
    assert calls == [(2, "done")]


async def test_has_a_thread_of_its_own_where_its_source_was_in_a_session(
    worker, tool_agent, alice, session, forked
):
    source = await finished(await start(alice, tool_agent, CALCULATE, session_id=session.id))
    before = await in_thread(stored, source)
    await forked(source, 2)

    assert await in_thread(stored, source) == before


async def test_knows_what_was_said_before_in_its_sources_session(
    worker, tool_agent, alice, session, forked, endpoint
):
    await finished(await start(alice, tool_agent, "first", session_id=session.id))
    source = await finished(await start(alice, tool_agent, CALCULATE, session_id=session.id))
    await forked(source, 2)

    assert [text for role, text in said_to(endpoint) if role == "user"] == ["first", CALCULATE]


# modifications


async def test_replaces_the_last_query_and_what_came_after_it(worker, tool_agent, alice, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    fork = await forked(source, 3, modified_query="hello")

    assert (said_to(endpoint), fork.status) == ([("user", "hello")], Status.COMPLETED)


async def test_keeps_what_was_said_before_the_last_query(
    worker, tool_agent, alice, session, forked, endpoint
):
    first = await finished(await start(alice, tool_agent, "first", session_id=session.id))
    source = await finished(await start(alice, tool_agent, "second", session_id=session.id))
    await forked(source, 1, modified_query="third")

    assert said_to(endpoint) == [("user", "first"), ("assistant", first.response_content), ("user", "third")]


async def test_replaces_all_messages(worker, tool_agent, alice, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    call = {"id": "call_9", "name": "calculator", "args": {"expression": "1 + 1"}}
    await forked(
        source,
        3,
        messages=[
            {"role": "user", "content": "What is 1 + 1?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": "2", "tool_call_id": "call_9", "name": "calculator"},
        ],
    )

    assert said_to(endpoint) == [("user", "What is 1 + 1?"), ("assistant", ""), ("tool", "2")]


async def test_overrides_the_system_prompt(worker, tool_agent, alice, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    await forked(source, 2, system_prompt="Be brief.")

    assert said_to(endpoint)[0] == ("system", "Be brief.")


async def test_overrides_the_model(worker, tool_agent, alice, workspace, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    other = await in_thread(
        ChatModelFactory, workspace=workspace, provider="openai", model="text-3", base_url=endpoint.base_url
    )
    fork = await forked(source, 2, model=other)

    assert (endpoint.requests[-1].body["model"], fork.status) == ("text-3", Status.COMPLETED)


async def test_replaces_once_although_its_worker_stops(worker, agent_on, alice, forked, branch, endpoint):
    agent = await in_thread(agent_on, "slow-5-100")
    source = await finished(await start(alice, agent))
    started = await branch(source, 1, modifications=Modifications(modified_query="again"))
    await until(started.run, lambda now: now.last_seq >= 3)
    worker.executor.give_up_all()
    await finished(started.run)

    assert said_to(endpoint) == [("user", "again")]


# restored


async def test_goes_on_as_its_source_did(worker, tool_agent, alice, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    asked = said_to(endpoint)
    restored = await forked(source, 2, branches.restore)

    assert (said_to(endpoint), restored.status) == (asked, Status.COMPLETED)


async def test_ends_with_the_answer_that_its_source_had_come_to(worker, tool_agent, alice, forked, endpoint):
    source = await finished(await start(alice, tool_agent, CALCULATE))
    calls = len(endpoint.requests)
    restored = await forked(source, 3, branches.restore)

    assert (restored.response_content, len(endpoint.requests)) == (source.response_content, calls)


async def resumed(run: Run) -> None:
    live.announce((await in_thread(lifecycle.resume, run.id))[1])


async def test_goes_on_from_where_it_was_set_back_to(worker, careful_agent, alice, branch, endpoint):
    run = await at_rest(await start(alice, careful_agent, CALCULATE))
    await branch(run, 0, branches.restore_in_place)
    await resumed(run)
    await until(run, lambda now: now.status == Status.WAITING)

    assert said_to(endpoint) == [("user", CALCULATE)]
    assert [step async for step in RunStep.objects.filter(run=run).values_list("step_num", flat=True)] == [1]


async def test_asks_again_for_the_call_that_it_waited_for(worker, careful_agent, alice, branch):
    run = await at_rest(await start(alice, careful_agent, CALCULATE))
    await branch(run, 1, branches.restore_in_place)
    await resumed(run)
    await until(run, lambda now: now.status == Status.WAITING)

    asked = [
        one async for one in Approval.objects.filter(run=run).order_by("pk").values_list("status", flat=True)
    ]
    assert asked == ["cancelled", "pending"]


async def test_lets_its_text_be_rebuilt_although_it_was_set_back(
    worker, careful_agent, alice, workspace, branch
):
    run = await at_rest(await start(alice, careful_agent, CALCULATE))
    await branch(run, 1, branches.restore_in_place)
    await resumed(run)
    await until(run, lambda now: now.status == Status.WAITING)
    pending = await Approval.objects.aget(run=run, status="pending")
    actor = await in_thread(actor_from_session, alice, workspace.pk)
    live.announce((await in_thread(approvals.decide, actor, pending.pk, Decision("approve")))[1])
    ended = await finished(run)

    assert rebuild_text(await events_of(run.id)) == ended.response_content


async def test_tells_an_attempt_that_what_came_after_is_void(worker, careful_agent, alice, branch):
    run = await at_rest(await start(alice, careful_agent, CALCULATE))
    await branch(run, 0, branches.restore_in_place)
    await resumed(run)
    await until(run, lambda now: now.status == Status.WAITING)
    await in_thread(lifecycle.cancel, run.id)
    began = next(event for event in await events_of(run.id) if event.type == "attempt_started")

    assert data(began)["supersedes_after_seq"] == 0
