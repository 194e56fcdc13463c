"""Runs of workflows that come from others: tried again, forked, nested; and those of a session."""

from __future__ import annotations

import pytest

from accounts.authentication import actor_from_session
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from agents.workflows import drafts
from runs import commands, lifecycle, live
from runs.child_runs import DEEPEST
from runs.history import branches, threads
from runs.models import Message, Relation, Run, Status
from tests.engine.support import at_rest, finished
from tests.engine.workflows import (
    LINE,
    OUTER,
    ROUNDS,
    publish,
    start,
    steps_of,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- tried again, forked ---


async def forked(source: Run, step: int, changes=None) -> Run:
    """A run that goes on from the state after a step of another one, with these fields of the state otherwise."""

    def work() -> Run:
        checkpoint = source.checkpoints.of_people().filter(step_num=step).latest("checkpoint_id")
        run = Run.objects.get(pk=source.pk)
        run.pk, run.relation, run.parent_id = uuid7(), Relation.FORK, source.pk
        run._state.adding = True
        run.input = {**source.input, **({"state": changes} if changes else {})}
        fresh = {
            "status": Status.CREATED,
            "attempt": 0,
            "last_seq": 0,
            "total_steps": step,
            "response_content": "",
        }
        empty = {"output": None, "started_at": None, "finished_at": None, "worker_id": None, "job_id": None}
        for name, value in {**fresh, **empty}.items():
            setattr(run, name, value)
        events = lifecycle.start(run)
        threads.copy_history(checkpoint, run)
        live.announce(events)
        return run

    return await finished(await in_thread(work))


@pytest.fixture
async def rounds(worker, workspace, alice):
    """A run that has gone round four times: 3 + 3 + 3 + 3."""
    return await finished(await start(alice, await publish(workspace, ROUNDS), {"n": 3}))


async def test_goes_on_in_the_middle_of_a_loop(rounds):
    assert rounds.output == {"sum": 12, "seen": [1, 2, 3, 4]}
    fork = await forked(rounds, 4)

    assert (fork.error, fork.output) == (None, {"sum": 12, "seen": [1, 2, 3, 4]})
    assert [number for number, _, _ in await steps_of(fork.id)] == list(range(1, 11))


async def test_goes_on_with_another_state(rounds):
    fork = await forked(rounds, 4, {"factor": 10})

    assert fork.output == {"sum": 66, "seen": [1, 2, 3, 4]}


async def test_puts_values_in_the_place_of_what_a_reducer_has_gathered(rounds):
    fork = await forked(rounds, 4, {"sum": 100, "seen": [7]})

    assert fork.output == {"sum": 106, "seen": [7, 3, 4]}


ASKING = """
name: asking
state: {n: {type: integer}, seen: {type: array, items: {type: string}, reducer: append}}
nodes:
  - {id: start, kind: start}
  - {id: prepare, kind: transform, set: {n: "1", seen: "'prepared'"}}
  - {id: ask, kind: approval, message: "Go on with {{ state.n }}?"}
  - {id: end, kind: end, output: {n: "{{ state.n }}", seen: "{{ state.seen }}"}}
edges:
  - {from: start, to: prepare}
  - {from: prepare, to: ask}
  - {from: ask, to: end, case: approved}
  - {from: ask, to: end, case: rejected}
"""


@pytest.mark.parametrize("change", [{"n": 7}, {"seen": ["changed"]}])
async def test_goes_on_with_another_state_after_a_person_is_asked_at_once(
    worker, workspace, alice, actor, decide, change
):
    source = await at_rest(await start(alice, await publish(workspace, ASKING)))
    point = await source.checkpoints.of_people().filter(step_num=1).alatest("checkpoint_id")
    changed = branches.Modifications(state=change)
    fork = (await in_thread(lambda: branches.fork(actor(alice), point.pk, modifications=changed))).run
    await at_rest(fork)
    await decide(fork, "approve")
    ended = await finished(fork)

    assert (ended.error, ended.output) == (None, {"n": 1, "seen": ["prepared"], **change})


FAILING = LINE.replace('model: slow, prompt: "two"', 'model: broken, prompt: "two"')


async def test_is_tried_again_with_its_input(worker, workspace, alice, chat_models, endpoint):
    await in_thread(chat_models, slow="text-3", broken="fail-once-400")
    failed = await finished(await start(alice, await publish(workspace, FAILING), {"message": "Hi"}))
    assert failed.error["class"] == "provider_rejected"
    actor = await in_thread(actor_from_session, alice, workspace.pk)
    again = await in_thread(commands.retry_run, actor, failed.pk)
    live.announce(again.events)
    ended = await finished(again.run)

    assert (ended.status, ended.relation, ended.input_query) == (Status.COMPLETED, "retry", "Hi")


async def retried_version(user, run: Run, actor) -> int:
    """The number of the workflow's version that a retry goes by."""
    started = await in_thread(lambda: commands.retry_run(actor(user), run.pk))
    again = await Run.objects.select_related("workflow_version").aget(pk=started.run.pk)
    return again.workflow_version.number


@pytest.fixture
async def two_versions(workspace):
    """A workflow of which the first version is published, and the second is its draft."""
    workflow = await publish(workspace, ROUNDS)
    draft = await in_thread(drafts.read, workspace.pk, ROUNDS.replace("max: 4", "max: 2"))
    return await in_thread(drafts.save, workflow, None, draft.values)


async def test_is_tried_again_in_its_version_that_is_not_published(
    worker, workspace, alice, actor, two_versions
):
    run = await finished(await start(alice, two_versions, {"n": 1}, version=2))

    assert await retried_version(alice, run, actor) == 2


async def test_is_tried_again_in_the_version_that_is_published_since(worker, workspace, alice, actor):
    run = await finished(await start(alice, await publish(workspace, ROUNDS), {"n": 1}))
    await publish(workspace, ROUNDS.replace("max: 4", "max: 2"))

    assert await retried_version(alice, run, actor) == 2


# --- nested ---


NOTHING = """
name: nothing
nodes: [{id: start, kind: start}, {id: end, kind: end, output: null}]
edges: [{from: start, to: end}]
"""


async def test_gets_null_of_a_workflow_that_comes_to_nothing(worker, workspace, alice):
    await publish(workspace, NOTHING)
    calling = OUTER.replace("workflow: fan,", "workflow: nothing,").replace(
        'output: "{{ state.found }}"', 'output: {found: "{{ state.found }}"}'
    )
    run = await finished(await start(alice, await publish(workspace, calling)))

    assert (run.error, run.output) == (None, {"found": None})


async def test_nests_no_deeper_than_runs_may(worker, workspace, alice):
    text = "name: level0\nnodes: [{id: start, kind: start}, {id: end, kind: end, output: deep}]\n"
    workflow = await publish(workspace, text + "edges: [{from: start, to: end}]")
    for level in range(1, DEEPEST + 2):
        called = f"workflow: level{level - 1}, input: {{message: go}}"
        text = OUTER.replace("name: outer", f"name: level{level}")
        workflow = await publish(
            workspace, text.replace('workflow: fan, input: {message: "{{ input.message }}"}', called)
        )
    run = await finished(await start(alice, workflow))

    assert f"nested {DEEPEST} levels deep" in run.error["message"]
    assert await Run.objects.filter(workspace=workspace).acount() == DEEPEST + 1


# --- in a session ---


async def test_answers_in_its_session(worker, workspace, alice, chat_models, session):
    await in_thread(chat_models, slow="text-3")
    workflow = await publish(workspace, LINE)
    await finished(await start(alice, workflow, {"message": "Hi"}, session_id=session.pk))
    messages = Message.objects.filter(session=session).order_by("created_at")

    assert [(one.source, one.content) async for one in messages] == [("user", "Hi"), ("line", "done")]


async def test_keeps_the_order_of_its_session(worker, workspace, alice, chat_models, session, endpoint):
    await in_thread(chat_models, slow="slow-3-50")
    workflow = await publish(workspace, LINE)
    runs = [await start(alice, workflow, {"message": text}, session_id=session.pk) for text in ("A", "B")]
    first, second = [await finished(run) for run in runs]

    assert first.finished_at <= second.started_at


async def test_begins_with_an_empty_state_in_each_run_of_a_session(worker, workspace, alice, session):
    workflow = await publish(workspace, ROUNDS)
    for _ in range(2):
        run = await finished(await start(alice, workflow, {"n": 1}, session_id=session.pk))

    assert run.output == {"sum": 4, "seen": [1, 2, 3, 4]}
