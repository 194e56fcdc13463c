"""Random verbs of people, workers and the journal on one run, in any order: no illegal state is ever reached.

Workers keep what they have been given: those whose attempt is over go on writing, as a worker does that was stopped
for a while. What they write must change nothing.
"""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentplatform.lib.errors import Conflict
from agentplatform.lib.ids import uuid7
from runs import event_log, lifecycle
from runs.engine.flush import Attempt, Begin, Entry, Outcome, commit
from runs.events import Event
from runs.models import TERMINAL, ErrorClass, Run, Status
from tests.engine.support import start_now
from tests.factories import AgentFactory

IN_HAND = {Status.RUNNING, Status.PAUSING}
NEXT = {
    Status.CREATED: {Status.QUEUED, Status.CANCELLED},
    Status.QUEUED: {Status.RUNNING, Status.PAUSED, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.PAUSING, Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    Status.PAUSING: {Status.RUNNING, Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    Status.PAUSED: {Status.QUEUED, Status.CANCELLED},
}
people = st.sampled_from([lifecycle.pause, lifecycle.resume, lifecycle.cancel, lifecycle.enqueue])
endings = st.sampled_from(
    [
        None,
        lifecycle.finish("done"),
        lifecycle.fail(ErrorClass.INTERNAL, "broken"),
        lifecycle.hand_back("worker_stopped"),
    ]
)


class RunMachine(RuleBasedStateMachine):
    """One run, the attempts that workers hold of it, and what it looked like before the last verb."""

    user = None
    agent = None

    def __init__(self) -> None:
        super().__init__()
        self.run = start_now(self.user, self.agent, start=False)
        self.attempts: list[Attempt] = []
        self.before = self.seen()

    def seen(self) -> dict:
        return Run.objects.values("status", "attempt", "last_seq", "worker_id", "job_id", "updated_at").get(
            pk=self.run.pk
        )

    @rule(verb=people)
    def steer(self, verb) -> None:
        try:
            verb(self.run.pk)
        except Conflict:
            assert self.seen() == self.before

    @rule()
    def begin(self) -> None:
        [result] = commit([Begin(self.run.pk, uuid7())])
        assert (result.outcome is Outcome.COMMITTED) == (self.before["status"] == Status.QUEUED)
        if result.run:
            self.attempts.append(Attempt(self.run.pk, result.run.attempt, last_seq=result.run.last_seq))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), transition=endings, at_safe_point=st.booleans(), twice=st.booleans())
    def write(self, data, transition, at_safe_point, twice) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        attempt.position += 1
        event = Event("step_started", {"step": 1, "type": "model"}, timezone.now(), 1, "model")
        entry = Entry(
            attempt,
            attempt.position,
            [event],
            transition=transition,
            at_safe_point=at_safe_point and not transition,
        )
        [result] = commit([entry])
        is_its_own = attempt.number == self.before["attempt"] and self.before["status"] in IN_HAND
        assert (result.outcome is Outcome.FENCED) == (not is_its_own)
        if twice:
            # The answer was lost and the flush is repeated: nothing may happen twice.
            once = self.seen()
            commit([entry])
            assert {**self.seen(), "updated_at": None} == {**once, "updated_at": None}

    @precondition(lambda self: self.before["worker_id"])
    @rule()
    def lose_worker(self) -> None:
        lifecycle.requeue_lost([self.run.pk])

    @invariant()
    def goes_only_where_it_may(self) -> None:
        now, before = self.seen(), self.before
        if now["status"] != before["status"]:
            assert now["status"] in NEXT[Status(before["status"])], (before["status"], now["status"])
        if before["status"] in TERMINAL:
            assert now["last_seq"] == before["last_seq"]
        self.before = now

    @invariant()
    def is_in_hand_exactly_while_it_runs(self) -> None:
        now = self.seen()
        assert (now["worker_id"] is not None) >= (now["status"] in IN_HAND)
        if now["status"] in {Status.QUEUED, Status.PAUSED, Status.COMPLETED, Status.FAILED}:
            assert now["worker_id"] is None

    @invariant()
    def is_woken_while_it_is_queued(self) -> None:
        now = self.seen()
        if now["status"] == Status.QUEUED:
            with connection.cursor() as cursor:
                cursor.execute("SELECT status FROM procrastinate_jobs WHERE id = %s", [now["job_id"]])
                assert cursor.fetchall() == [("todo",)]

    @invariant()
    def numbers_its_events_without_holes(self) -> None:
        events = event_log.read(self.run.pk, 0, 1000)
        assert [event.seq for event in events] == list(range(1, self.seen()["last_seq"] + 1))
        terminal = [event for event in events if event.is_terminal]
        assert terminal == (events[-1:] if self.seen()["status"] in TERMINAL else [])


@pytest.mark.django_db
def test_reaches_no_illegal_state(alice, workspace):
    RunMachine.user, RunMachine.agent = alice, AgentFactory(workspace=workspace)
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
