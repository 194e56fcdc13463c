"""The verbs of a run: what each may do from where, and in which order a session's runs go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from agentplatform.lib.errors import Conflict, NotFound
from agentplatform.lib.ids import uuid7
from runs import approvals, event_log, lifecycle
from runs.approvals import Decision
from runs.models import Approval, ErrorClass, Run, Session, Status
from runs.queueing import turns
from tests.engine.support import start_now
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace)


@pytest.fixture
def run(alice, agent) -> Run:
    return start_now(alice, agent)


@pytest.fixture
def session(workspace, alice) -> Session:
    return Session.objects.create(workspace=workspace, user=alice)


def apply(run: Run, transition: lifecycle.Transition) -> Run:
    """What the journal does with an engine's verb."""
    now = timezone.now()
    with transaction.atomic():
        state = lifecycle.lock([run.pk])[run.pk]
        transition(state, now)
        lifecycle.write([state], now)
    run.refresh_from_db()
    return run


def jobs() -> list[str]:
    with connection.cursor() as cursor:
        # The queue's tables are not Django's, so jobs of earlier tests may be left in them.
        cursor.execute(
            "SELECT args ->> 'run_id' FROM procrastinate_jobs JOIN runs_run ON runs_run.id::text = args ->> 'run_id'"
            " WHERE procrastinate_jobs.status = 'todo' ORDER BY procrastinate_jobs.id"
        )
        return [row[0] for row in cursor.fetchall()]


def event_types(run: Run) -> list[str]:
    return [str(event.type) for event in event_log.read(run.pk, 0)]


def test_queues_a_started_run(run):
    assert run.status == Status.QUEUED


def test_puts_a_job_into_the_queue(run):
    assert jobs() == [str(run.pk)]


def test_leaves_nothing_behind_when_the_transaction_is_rolled_back(alice, agent):
    with transaction.atomic():
        start_now(alice, agent)
        transaction.set_rollback(True)

    assert jobs() == []


def test_only_creates_a_run_that_is_not_to_start(alice, agent):
    run = start_now(alice, agent, start=False)

    assert (run.status, jobs()) == (Status.CREATED, [])


def test_starts_a_created_run(alice, agent):
    run = start_now(alice, agent, start=False)

    lifecycle.enqueue(run.pk)

    assert jobs() == [str(run.pk)]


def test_starts_a_run_once(run):
    assert lifecycle.enqueue(run.pk) == (Status.QUEUED, [])


def test_does_not_start_a_run_that_rests(run):
    lifecycle.pause(run.pk)

    with pytest.raises(Conflict):
        lifecycle.enqueue(run.pk)


def test_begins_an_attempt(run):
    assert apply(run, lifecycle.begin(uuid7())).attempt == 1


def test_finishes_with_the_answer(run):
    apply(run, lifecycle.begin(uuid7()))

    assert apply(run, lifecycle.finish("42")).response_content == "42"


def test_writes_each_verb_into_the_events(run):
    apply(run, lifecycle.begin(uuid7()))
    apply(run, lifecycle.finish("42"))

    assert event_types(run) == ["run_queued", "run_started", "run_completed"]


def test_fails_with_a_class(run):
    apply(run, lifecycle.begin(uuid7()))

    assert apply(run, lifecycle.fail(ErrorClass.TIMEOUT, "late")).error == {
        "class": "timeout",
        "message": "late",
    }


def test_cancels_a_queued_run(run):
    lifecycle.cancel(run.pk)

    run.refresh_from_db()
    assert (run.status, jobs()) == (Status.CANCELLED, [])


def test_cancels_a_running_run(run):
    apply(run, lifecycle.begin(uuid7()))

    lifecycle.cancel(run.pk, "enough")

    run.refresh_from_db()
    assert run.status == Status.CANCELLED


def test_cancels_only_once(run):
    lifecycle.cancel(run.pk)

    assert lifecycle.cancel(run.pk) == []


def test_does_not_cancel_what_has_ended(run):
    apply(run, lifecycle.begin(uuid7()))
    apply(run, lifecycle.finish("42"))

    with pytest.raises(Conflict):
        lifecycle.cancel(run.pk)


def test_pauses_a_queued_run_at_once(run):
    status, _events = lifecycle.pause(run.pk)

    assert (status, jobs(), event_types(run)) == (Status.PAUSED, [], ["run_queued", "run_paused"])


def test_asks_a_running_run_to_pause(run):
    apply(run, lifecycle.begin(uuid7()))
    status, events = lifecycle.pause(run.pk)

    assert (status, [event.type for event in events]) == (Status.PAUSING, ["run_pausing"])


@pytest.mark.parametrize("verb", [lifecycle.pause, lifecycle.resume])
@pytest.mark.parametrize("begun", [False, True])
def test_changes_nothing_when_it_is_repeated(run, verb, begun):
    if begun:
        apply(run, lifecycle.begin(uuid7()))
    lifecycle.pause(run.pk)
    first = verb(run.pk)
    status, events = verb(run.pk)

    assert (status, events) == (first[0], [])


def test_resumes_a_paused_run(run):
    lifecycle.pause(run.pk)
    status, _events = lifecycle.resume(run.pk)

    assert (status, jobs()) == (Status.QUEUED, [str(run.pk)])
    assert event_types(run) == ["run_queued", "run_paused", "run_resumed"]


def test_takes_a_pause_back(run):
    apply(run, lifecycle.begin(uuid7()))
    lifecycle.pause(run.pk)
    status, _events = lifecycle.resume(run.pk)

    assert (status, event_types(run)[-2:]) == (Status.RUNNING, ["run_pausing", "run_resumed"])


@pytest.mark.parametrize("verb", [lifecycle.pause, lifecycle.resume])
@pytest.mark.parametrize("end", [lifecycle.finish("x"), lifecycle.fail(ErrorClass.INTERNAL, "x")])
def test_neither_pauses_nor_resumes_what_has_ended(run, verb, end):
    apply(run, end)
    with pytest.raises(Conflict) as refused:
        verb(run.pk)

    assert refused.value.details == {"status": run.status}


@pytest.mark.parametrize("verb", [lifecycle.pause, lifecycle.resume])
def test_neither_pauses_nor_resumes_what_was_not_started(alice, agent, verb):
    with pytest.raises(Conflict):
        verb(start_now(alice, agent, start=False).pk)


@pytest.mark.parametrize("leave", [lifecycle.hand_back("worker_stopped"), None])
def test_rests_when_its_worker_goes_while_it_is_to_pause(run, leave):
    apply(run, lifecycle.begin(uuid7()))
    lifecycle.pause(run.pk)
    if leave:
        apply(run, leave)
    else:
        lifecycle.requeue_lost([run.pk])
    run.refresh_from_db()

    assert (run.status, run.worker_id, event_types(run)[-1]) == (Status.PAUSED, None, "run_paused")


@pytest.mark.parametrize("begun", [False, True])
def test_cancels_a_run_that_pauses_or_rests(run, begun):
    if begun:
        apply(run, lifecycle.begin(uuid7()))
    lifecycle.pause(run.pk)
    lifecycle.cancel(run.pk)
    run.refresh_from_db()

    assert run.status == Status.CANCELLED


def test_knows_no_run_that_does_not_exist(db):
    with pytest.raises(NotFound):
        lifecycle.cancel(uuid7())


def test_puts_a_lost_workers_run_back(run):
    apply(run, lifecycle.begin(uuid7()))

    lifecycle.requeue_lost([run.pk])

    run.refresh_from_db()
    assert (run.status, run.losses) == (Status.QUEUED, 1)


def test_goes_on_with_another_attempt(run):
    apply(run, lifecycle.begin(uuid7()))
    lifecycle.requeue_lost([run.pk])
    apply(run, lifecycle.begin(uuid7()))

    assert event_types(run)[-1] == "attempt_started"


def test_gives_up_a_run_that_has_lost_three_workers(run):
    for _ in range(3):
        apply(run, lifecycle.begin(uuid7()))
        lifecycle.requeue_lost([run.pk])

    run.refresh_from_db()
    assert run.error["class"] == "worker_lost"


def test_lets_a_second_message_wait_for_its_sessions_first(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    start_now(alice, agent, session_id=session.pk)

    assert jobs() == [str(first.pk)]


@pytest.mark.parametrize("end", [lifecycle.finish("x"), lifecycle.fail(ErrorClass.INTERNAL, "x")])
def test_wakes_the_second_message_when_the_first_ends(alice, agent, session, end):
    first = start_now(alice, agent, session_id=session.pk)
    second = start_now(alice, agent, session_id=session.pk)
    apply(first, lifecycle.begin(uuid7()))

    apply(first, end)

    assert str(second.pk) in jobs()


def test_wakes_the_second_message_when_the_first_is_cancelled(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    second = start_now(alice, agent, session_id=session.pk)

    lifecycle.cancel(first.pk)

    assert jobs() == [str(second.pk)]


def test_keeps_the_head_in_charge_when_a_waiting_message_is_cancelled(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    second = start_now(alice, agent, session_id=session.pk)

    lifecycle.cancel(second.pk)

    assert jobs() == [str(first.pk)]


def test_keeps_the_session_while_its_head_rests(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    start_now(alice, agent, session_id=session.pk)
    lifecycle.pause(first.pk)
    resting = jobs()
    lifecycle.resume(first.pk)

    assert (resting, jobs()) == ([], [str(first.pk)])


def test_lets_a_resumed_message_wait_for_its_turn(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    second = start_now(alice, agent, session_id=session.pk)
    lifecycle.pause(second.pk)
    lifecycle.resume(second.pk)
    waiting = jobs()
    lifecycle.cancel(first.pk)

    assert (waiting, jobs()) == ([str(first.pk)], [str(second.pk)])


def test_gives_a_begun_run_its_session_back_before_one_that_has_not_begun(alice, agent, session):
    first = start_now(alice, agent, session_id=session.pk)
    second = start_now(alice, agent, session_id=session.pk)
    apply(first, lifecycle.begin(uuid7()))
    lifecycle.pause(first.pk)
    apply(first, lifecycle.hand_back("worker_stopped"))
    lifecycle.pause(second.pk)
    before = jobs()
    lifecycle.resume(first.pk)
    lifecycle.resume(second.pk)

    assert jobs()[len(before) :] == [str(first.pk)]


def test_wakes_nobody_while_another_run_holds_the_session(alice, agent, session):
    created = start_now(alice, agent, session_id=session.pk, start=False)
    first = start_now(alice, agent, session_id=session.pk)
    lifecycle.enqueue(created.pk)
    third = start_now(alice, agent, session_id=session.pk)
    lifecycle.cancel(third.pk)

    assert jobs() == [str(first.pk)]


def test_lets_sessions_go_beside_each_other(alice, agent, session, workspace):
    other = Session.objects.create(workspace=workspace, user=alice)

    runs = [start_now(alice, agent, session_id=place.pk) for place in (session, other)]

    assert jobs() == [str(run.pk) for run in runs]


@pytest.mark.django_db(transaction=True)
def test_wakes_one_of_many_messages_sent_at_once(alice, agent, session):
    def send(_: int) -> None:
        try:
            start_now(alice, agent, session_id=session.pk)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))

    assert len(jobs()) == 1


@pytest.mark.django_db(transaction=True)
def test_lets_exactly_one_of_two_cancels_write(alice, agent):
    run = start_now(alice, agent)

    def cancel(_: int) -> int:
        try:
            return len(lifecycle.cancel(run.pk))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(cancel, range(2))) == [0, 1]


@pytest.mark.django_db(transaction=True)
def test_lets_a_pause_and_a_cancel_at_once_end_in_a_cancelled_run(alice, agent):
    run = start_now(alice, agent)

    def steer(verb) -> None:
        try:
            verb(run.pk)
        except Conflict:
            pass  # The pause has come second.
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(steer, [lifecycle.pause, lifecycle.resume] * 3 + [lifecycle.cancel, lifecycle.pause]))
    run.refresh_from_db()

    assert (run.status, jobs()) == (Status.CANCELLED, [])
    assert [event.seq for event in event_log.read(run.pk, 0)] == list(range(1, run.last_seq + 1))


def test_refuses_to_delete_what_an_active_run_uses(run, agent):
    with pytest.raises(ProtectedError):
        agent.delete()


def test_lets_go_of_what_a_finished_run_has_used(run, agent):
    lifecycle.cancel(run.pk)

    agent.delete()

    run.refresh_from_db()
    assert (run.agent_id, run.agent_name) == (None, agent.name)


@pytest.mark.django_db(transaction=True)
def test_hands_a_session_on_past_a_run_that_somebody_is_cancelling(alice, agent, session):
    """Both transactions want the other's run or session: neither waits for it for ever."""
    first, second, third = (start_now(alice, agent, session_id=session.pk) for _ in range(3))
    with ThreadPoolExecutor(2) as pool:
        endings = [pool.submit(_cancelled, run.pk) for run in (first, second)]
    assert all(ending.result() == "run_cancelled" for ending in endings)

    hand_on_jobs()
    assert Run.objects.get(pk=third.pk).job_id is not None


def _cancelled(run_id) -> str:
    try:
        return lifecycle.cancel(run_id)[-1].type
    finally:
        connections.close_all()


def hand_on_jobs() -> None:
    """Does the jobs that look at a session again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT args->>'session_id' FROM procrastinate_jobs WHERE task_name = %s", [turns.HAND_ON]
        )
        for (session_id,) in cursor.fetchall():
            with transaction.atomic():
                turns.hand_on(session_id, timezone.now())


def test_waits_for_no_child_that_was_never_started(run):
    begun(run)
    parked = apply(run, lifecycle.park(lifecycle.Waits((), (uuid7(),))))

    assert parked.status == Status.QUEUED


def begun(run) -> None:
    apply(run, lifecycle.begin(uuid7()))


def test_waits_for_nothing_that_was_decided_while_it_ran(run, alice, actor):
    begun(run)
    about = {"workspace": run.workspace, "kind": "tool_call", "tool": "refund", "created_at": timezone.now()}
    approval = Approval.objects.create(run=run, key="tool_call:2:call_1", call_id="call_1", step=2, **about)
    approvals.decide(actor(alice), approval.pk, Decision("approve"))
    parked = apply(run, lifecycle.park(lifecycle.Waits((approval.key,))))

    assert parked.status == Status.QUEUED
