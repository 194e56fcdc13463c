"""The verbs of a run: what each may do from where, and in which order a session's runs go."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, connections, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from agentplatform.lib.errors import Conflict, NotFound
from agentplatform.lib.ids import uuid7
from runs import event_log, lifecycle
from runs.models import ErrorClass, Run, Session, Status
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


def test_refuses_to_start_a_run_twice(run):
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


def test_refuses_to_delete_what_an_active_run_uses(run, agent):
    with pytest.raises(ProtectedError):
        agent.delete()


def test_lets_go_of_what_a_finished_run_has_used(run, agent):
    lifecycle.cancel(run.pk)

    agent.delete()

    run.refresh_from_db()
    assert (run.agent_id, run.agent_name) == (None, agent.name)
