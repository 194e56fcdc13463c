"""A workspace's runs under way are limited: no more of them at once, the others wait their turn."""

from __future__ import annotations

import asyncio

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import Workspace
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from runs import lifecycle
from runs.engine.entries import Begin, Outcome
from runs.engine.flush import commit
from runs.engine.sweep import sweep
from runs.models import ErrorClass, Relation, Run, RunEvent, Session, Status, Worker
from runs.queueing import admission
from tests.engine.support import PATIENCE_SECONDS, finished, start, start_now
from tests.factories import AgentFactory, ChatModelFactory
from tests.processes import worker_process

pytestmark = pytest.mark.django_db(transaction=True)

ME = uuid7()


@pytest.fixture(autouse=True)
def _forget_limits(monkeypatch):
    """Changed limits hold at once."""
    monkeypatch.setattr(admission, "KEPT_SECONDS", 0.0)


@pytest.fixture
def limited(workspace) -> Workspace:
    """acme, which may have two runs under way."""
    return limit(workspace, 2)


def limit(workspace: Workspace, runs: int | None) -> Workspace:
    Workspace.objects.filter(pk=workspace.pk).update(max_concurrent_runs=runs)
    return workspace


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace)


@pytest.fixture
def make(alice, agent):
    """`make(priority=5)`: a queued run."""
    return lambda **wishes: start_now(alice, agent, **wishes)


def begin(*runs: Run) -> list[Outcome]:
    """Has a worker take the runs, all in one flush."""
    return [result.outcome for result in commit([Begin(run.pk, ME) for run in runs])]


def end(run: Run, transition: lifecycle.Transition | None = None) -> None:
    """What the journal does with the end of an attempt; without a transition the run completes."""
    now = timezone.now()
    with transaction.atomic():
        state = lifecycle.lock([run.pk])[run.pk]
        (transition or lifecycle.finish("done"))(state, now)
        lifecycle.write([state], now)


def held_back(*runs: Run) -> list[bool]:
    return [Run.objects.get(pk=run.pk).held_back for run in runs]


def job_of(run: Run) -> int | None:
    return Run.objects.get(pk=run.pk).job_id


# --- on a real worker ---


def most_at_once() -> int:
    """How many runs were under way at the same time, by their events."""
    changes = {"run_started": 1, "run_completed": -1}
    under_way = most = 0
    for kind in (
        RunEvent.objects.filter(type__in=changes).order_by("timestamp", "id").values_list("type", flat=True)
    ):
        under_way += changes[kind]
        most = max(most, under_way)
    return most


@pytest.fixture
def slow_agent(workspace):
    """Its model takes a fifth of a second."""
    model = ChatModelFactory(workspace=workspace, parameters={"delay_ms": 10})
    return AgentFactory(workspace=workspace, model=model)


async def test_has_no_more_under_way_than_it_may(limited, worker, slow_agent, alice):
    runs = await asyncio.gather(*(start(alice, slow_agent) for _ in range(10)))
    ended = [await finished(run) for run in runs]

    assert {run.status for run in ended} == {Status.COMPLETED}
    assert await in_thread(most_at_once) == 2


@pytest.mark.slow
@pytest.mark.external
async def test_has_no_more_under_way_on_several_workers(limited, slow_agent, alice, close_connections):
    with worker_process(), worker_process():
        runs = await asyncio.gather(*(start(alice, slow_agent) for _ in range(20)))
        ended = [await finished(run) for run in runs]

    assert {run.status for run in ended} == {Status.COMPLETED}
    assert await in_thread(most_at_once) == 2


async def test_holds_up_no_other_workspace(limited, worker, agent_on, alice, charlie, other_workspace):
    hanging = await in_thread(agent_on, "hang")
    runs = [await start(alice, hanging) for _ in range(4)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await Run.objects.filter(held_back=True).acount() < 2:
            await asyncio.sleep(0.01)
    other = await in_thread(AgentFactory, workspace=other_workspace)

    assert (await finished(await start(charlie, other))).status == Status.COMPLETED
    for run in runs:
        await in_thread(lifecycle.cancel, run.pk)


# --- who begins ---


def test_counts_those_that_begin_in_the_same_flush(limited, make):
    runs = [make() for _ in range(4)]

    assert begin(*runs) == [Outcome.COMMITTED, Outcome.COMMITTED, Outcome.FENCED, Outcome.FENCED]
    assert held_back(*runs) == [False, False, True, True]


def test_counts_those_that_began_before(limited, make):
    runs = [make() for _ in range(3)]
    for run in runs:
        begin(run)

    assert held_back(*runs) == [False, False, True]


def test_keeps_a_run_that_is_held_back_queued_without_a_job(limited, make):
    *others, run = [make() for _ in range(3)]
    begin(*others, run)
    run.refresh_from_db()

    assert (run.status, run.job_id, run.attempt) == (Status.QUEUED, None, 0)


def test_counts_one_that_pauses_until_it_rests(limited, make):
    one, other, third = [make() for _ in range(3)]
    begin(one, other)
    lifecycle.pause(one.pk)
    begin(third)

    assert held_back(third) == [True]


def test_asks_again_while_another_worker_is_answered(limited, make):
    one, other = make(), make()
    with transaction.atomic():
        admission.Admission().decide(limited.pk)

        assert asyncio.run(in_thread(begin, one, other)) == [Outcome.BLOCKED] * 2


def test_never_holds_back_a_run_that_a_tool_has_started(limited, make):
    parent, other, child = [make() for _ in range(3)]
    Run.objects.filter(pk=child.pk).update(relation=Relation.CHILD, parent=parent)

    assert begin(parent, child, other) == [Outcome.COMMITTED] * 3


def test_holds_back_nothing_of_a_workspace_without_a_limit(make):
    assert begin(*(make() for _ in range(5))) == [Outcome.COMMITTED] * 5


def test_limits_every_workspace_by_the_setting(settings, make):
    settings.WORKSPACE_CONCURRENCY = 1

    assert begin(make(), make()) == [Outcome.COMMITTED, Outcome.FENCED]


def test_lifts_the_setting_for_a_workspace_with_limit_0(settings, workspace, make):
    settings.WORKSPACE_CONCURRENCY = 1
    limit(workspace, 0)

    assert begin(make(), make()) == [Outcome.COMMITTED] * 2


def test_asks_for_no_limit_that_it_has_just_read(make, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(admission, "KEPT_SECONDS", 60.0)
    run = make()
    admission.Admission().decide(run.workspace_id)
    with django_assert_num_queries(0):
        admission.Admission().decide(run.workspace_id)


# --- who is next ---


@pytest.fixture
def crowd(limited, make) -> list[Run]:
    """Two runs under way, and three held back: the last one is urgent."""
    Worker.objects.create(id=ME, host="host", pid=1, concurrency=9, beat_at=timezone.now())
    runs = [make(), make(), make(), make(), make(priority=5)]
    begin(*runs)
    return runs


def rest(state, now) -> None:
    lifecycle.come_to_rest(state, now)


@pytest.mark.parametrize(
    "leave",
    [
        lifecycle.finish("done"),
        lifecycle.fail(ErrorClass.INTERNAL, "no"),
        lifecycle.hand_back("worker_stopped"),
        lifecycle.park(lifecycle.Waits()),
        rest,
    ],
    ids=["completes", "fails", "is handed back", "waits", "pauses"],
)
def test_wakes_the_most_urgent_when_a_run_leaves(crowd, leave):
    end(crowd[0], leave)

    assert held_back(*crowd[2:]) == [True, True, False]


def test_wakes_one_for_each_that_leaves(crowd):
    end(crowd[0])
    end(crowd[1])

    assert held_back(*crowd[2:]) == [False, True, False]


def test_wakes_the_next_when_a_run_is_cancelled(crowd):
    lifecycle.cancel(crowd[1].pk)

    assert held_back(crowd[4]) == [False]


def test_keeps_queue_and_priority(crowd):
    end(crowd[0])
    with transaction.get_connection().cursor() as cursor:
        cursor.execute(
            "SELECT queue_name, priority, status FROM procrastinate_jobs WHERE id = %s", [job_of(crowd[4])]
        )
        assert cursor.fetchone() == ("runs", 5, "todo")


def test_lets_one_that_was_woken_begin(crowd):
    end(crowd[0])

    assert begin(crowd[4]) == [Outcome.COMMITTED]


def test_holds_back_again_one_whose_place_was_taken(crowd, make):
    end(crowd[0])
    begin(make())
    begin(crowd[4])

    assert (held_back(crowd[4]), job_of(crowd[4])) == ([True], None)


def test_wakes_nobody_for_a_run_that_a_tool_had_started(crowd, make):
    child = make()
    Run.objects.filter(pk=child.pk).update(relation=Relation.CHILD, parent=crowd[0])
    begin(child)
    end(child)

    assert held_back(*crowd[2:]) == [True] * 3


def test_wakes_by_the_sweep_what_nobody_else_has_woken(crowd):
    Run.objects.filter(pk=crowd[0].pk).update(status=Status.COMPLETED)
    sweep()

    assert held_back(*crowd[2:]) == [True, True, False]


def test_wakes_no_more_than_there_is_room_for(crowd):
    Run.objects.filter(pk=crowd[0].pk).update(status=Status.COMPLETED)
    sweep()
    sweep()

    assert held_back(*crowd[2:]) == [True, True, False]


@pytest.mark.parametrize(("runs", "left"), [(3, 2), (None, 0), (1, 3)])
def test_wakes_as_many_as_a_changed_limit_has_room_for(crowd, workspace, runs, left):
    limit(workspace, runs)
    sweep()

    assert sum(held_back(*crowd)) == left


# --- what else may happen to a run that is held back ---


@pytest.mark.parametrize("verb", [lifecycle.cancel, lifecycle.pause])
def test_is_held_back_no_more_once_it_does_not_wait(crowd, verb):
    verb(crowd[2].pk)

    assert held_back(crowd[2]) == [False]


def test_asks_again_when_it_is_resumed(crowd):
    lifecycle.pause(crowd[2].pk)
    lifecycle.resume(crowd[2].pk)

    assert job_of(crowd[2]) is not None
    assert begin(crowd[2]) == [Outcome.FENCED]


def test_keeps_its_turn_in_its_session(crowd, make, workspace, alice):
    session = Session.objects.create(workspace=workspace, user=alice)
    first, second = make(session_id=session.pk), make(session_id=session.pk)
    begin(first)
    lifecycle.pause(second.pk)
    lifecycle.resume(second.pk)

    assert (held_back(first), job_of(second)) == ([True], None)
