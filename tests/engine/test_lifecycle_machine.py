"""Random verbs of people, workers and the journal on a run and its children, in any order: no illegal state is ever
reached.

Workers keep what they have been given: those whose attempt is over go on writing, as a worker does that was stopped
for a while. What they write must change nothing.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

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

from accounts.authentication import actor_from_session
from agentplatform.lib import bulk
from agentplatform.lib.errors import Conflict
from agentplatform.lib.ids import uuid7
from runs import approvals, child_runs, event_log, lifecycle
from runs.approvals import Decision
from runs.engine.entries import Attempt, Begin, Entry, Outcome
from runs.engine.flush import commit
from runs.events import Event
from runs.models import AT_REST, TERMINAL, UNDER_WAY, Approval, ErrorClass, Run, Status
from runs.queueing.turns import TEND
from tests.engine.support import start_now
from tests.examples import examples
from tests.factories import AgentFactory, CheckpointFactory

NEXT = {
    Status.CREATED: {Status.QUEUED, Status.CANCELLED},
    Status.QUEUED: {Status.RUNNING, Status.PAUSED, Status.CANCELLED, Status.FAILED},
    Status.RUNNING: {Status.PAUSING, Status.PAUSED, Status.WAITING, Status.QUEUED, *TERMINAL},
    Status.PAUSING: {Status.RUNNING, Status.PAUSED, *TERMINAL},
    Status.PAUSED: {Status.QUEUED, Status.CANCELLED},
    Status.WAITING: {Status.QUEUED, Status.PAUSED, Status.CANCELLED},
}
people = st.sampled_from([lifecycle.pause, lifecycle.resume, lifecycle.cancel, lifecycle.enqueue])
decisions = st.sampled_from([Decision("approve"), Decision("reject", "No.")])
endings = st.sampled_from(
    [
        None,
        lifecycle.finish("done"),
        lifecycle.fail(ErrorClass.INTERNAL, "broken"),
        lifecycle.hand_back("worker_stopped"),
        lambda state, now: lifecycle.come_to_rest(state, now, reason="budget_exceeded"),
    ]
)
MOST_RUNS = 3


class RunMachine(RuleBasedStateMachine):
    """A run and its children, the attempts that workers hold of them, and what all looked like before the last verb."""

    user: Any = None
    agent: Any = None

    def __init__(self) -> None:
        super().__init__()
        self.ids = [start_now(self.user, self.agent, start=False).pk]
        self.checkpoint = CheckpointFactory(run=Run.objects.get(pk=self.ids[0]))
        self.attempts: list[Attempt] = []
        self.before = self.seen()

    def seen(self) -> dict[UUID, dict[str, Any]]:
        fields = (
            "status",
            "attempt",
            "last_seq",
            "worker_id",
            "job_id",
            "relation",
            "parent_id",
            "updated_at",
        )
        return {row.pop("id"): row for row in Run.objects.filter(pk__in=self.ids).values("id", *fields)}

    def some_run(self, data) -> UUID:
        return data.draw(st.sampled_from(self.ids))

    # --- people ---

    @rule(data=st.data(), verb=people)
    def steer(self, data, verb) -> None:
        try:
            verb(self.some_run(data))
        except Conflict:
            assert self.seen() == self.before

    @rule(data=st.data(), decision=decisions)
    def decide(self, data, decision) -> None:
        asked = list(Approval.objects.filter(run_id__in=self.ids).order_by("pk").values_list("pk", flat=True))
        if not asked:
            return
        actor = actor_from_session(self.user, self.agent.workspace_id)
        try:
            approvals.decide(actor, data.draw(st.sampled_from(asked)), decision)
        except Conflict:
            assert self.seen() == self.before

    @rule()
    def rewind(self) -> None:
        """Back to the state that its first run had before anything else."""
        try:
            lifecycle.rewind(self.ids[0], self.checkpoint)
        except Conflict:
            assert self.seen() == self.before

    # --- workers ---

    @rule(data=st.data())
    def begin(self, data) -> None:
        run_id = self.some_run(data)
        [result] = commit([Begin(run_id, uuid7())])
        assert (result.outcome is Outcome.COMMITTED) == (self.before[run_id]["status"] == Status.QUEUED)
        if result.run:
            self.attempts.append(Attempt(run_id, result.run.attempt, last_seq=result.run.last_seq))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), transition=endings, at_safe_point=st.booleans(), twice=st.booleans())
    def write(self, data, transition, at_safe_point, twice) -> None:
        event = Event("step_started", {"step": 1, "type": "model"}, timezone.now(), 1, "model")
        self.hand_in(
            data, twice, [event], transition=transition, at_safe_point=at_safe_point and not transition
        )

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), twice=st.booleans())
    def park(self, data, twice) -> None:
        """It waits for a person, as a tool that requires an approval does."""
        key = f"tool_call:1:{uuid7()}"
        self.hand_in(data, twice, [], transition=lifecycle.park(lifecycle.Waits((key,))), asks=key)

    @precondition(lambda self: self.parents())
    @rule(data=st.data())
    def park_for_children(self, data) -> None:
        parent = data.draw(st.sampled_from(self.parents()))
        children = tuple(run_id for run_id in self.ids if self.before[run_id]["parent_id"] == parent.run_id)
        waits = lifecycle.Waits((), children)
        self.hand_in(data, False, [], attempts=[parent], transition=lifecycle.park(waits))

    def parents(self) -> list[Attempt]:
        """The attempts of runs that have started others."""
        above = {run["parent_id"] for run in self.before.values()}
        return [attempt for attempt in self.attempts if attempt.run_id in above]

    def hand_in(self, data, twice, events, *, asks: str = "", attempts=None, **part) -> None:
        attempt = data.draw(st.sampled_from(attempts or self.attempts))
        attempt.position += 1
        rows = [self.approval(attempt, asks)] if asks else []
        entry = Entry(attempt, attempt.position, events, rows, **part)
        [result] = commit([entry])
        before = self.before[attempt.run_id]
        is_its_own = attempt.number == before["attempt"] and before["status"] in UNDER_WAY
        assert (result.outcome is Outcome.FENCED) == (not is_its_own)
        if twice:
            # The answer was lost and the flush is repeated: nothing may happen twice.
            once = self.seen()
            commit([entry])
            assert without_times(self.seen()) == without_times(once)

    def approval(self, attempt: Attempt, key: str) -> bulk.Row:
        about = {"kind": "tool_call", "tool": "refund", "call_id": key, "created_at": timezone.now()}
        return bulk.row(
            Approval, workspace_id=self.agent.workspace_id, run_id=attempt.run_id, key=key, step=1, **about
        )

    @precondition(lambda self: self.attempts and len(self.ids) < MOST_RUNS)
    @rule(data=st.data())
    def start_child(self, data) -> None:
        attempt = data.draw(st.sampled_from(self.attempts))
        parent = Run.objects.get(pk=attempt.run_id)
        child_id = uuid7()
        is_started = child_runs.start_agent(
            parent, attempt.number, str(self.agent.pk), {"message": "hello"}, child_id
        )
        before = self.before[parent.pk]
        assert is_started == (attempt.number == before["attempt"] and before["status"] == Status.RUNNING)
        if is_started:
            self.ids.append(child_id)

    @rule(data=st.data())
    def tend(self, data) -> None:
        lifecycle.tend(self.some_run(data))

    @rule(data=st.data())
    def lose_worker(self, data) -> None:
        run_id = self.some_run(data)
        if self.before[run_id]["worker_id"]:
            lifecycle.requeue_lost([run_id])

    # --- what always holds ---

    @invariant()
    def goes_only_where_it_may(self) -> None:
        now = self.seen()
        for run_id, before in self.before.items():
            if now[run_id]["status"] != before["status"]:
                assert now[run_id]["status"] in NEXT[Status(before["status"])], (before, now[run_id])
            if before["status"] in TERMINAL:
                assert now[run_id]["last_seq"] == before["last_seq"]
        self.before = now

    @invariant()
    def is_in_hand_exactly_while_it_runs(self) -> None:
        for run in self.seen().values():
            assert (run["worker_id"] is not None) >= (run["status"] in UNDER_WAY)
            if run["status"] in {Status.QUEUED, *AT_REST, Status.COMPLETED, Status.FAILED}:
                assert run["worker_id"] is None

    @invariant()
    def is_woken_while_it_is_queued(self) -> None:
        """By its job or, of a child that nobody has begun, by the attempt that has started it."""
        for run in self.seen().values():
            is_new_child = run["relation"] == "child" and run["job_id"] is None
            if run["status"] == Status.QUEUED and not is_new_child:
                assert status_of_job(run["job_id"]) == [("todo",)]

    @invariant()
    def leaves_nobody_waiting(self) -> None:
        """A waiting run has something to wait for; what was to wake it is in the queue otherwise."""
        for run_id, run in self.seen().items():
            if run["status"] == Status.WAITING and not waits_for_something(run_id):
                assert lifecycle.neglected(10) == [run_id] or is_to_be_tended(run_id)

    @invariant()
    def numbers_its_events_without_holes(self) -> None:
        for run_id, run in self.seen().items():
            events = event_log.read(run_id, 0, 1000)
            assert [event.seq for event in events] == list(range(1, run["last_seq"] + 1))
            terminal = [event for event in events if event.is_terminal]
            assert terminal == (events[-1:] if run["status"] in TERMINAL else [])


def without_times(seen: dict[UUID, dict[str, Any]]) -> dict[UUID, dict[str, Any]]:
    return {run_id: {**run, "updated_at": None} for run_id, run in seen.items()}


def status_of_job(job_id: int) -> list[tuple[str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT status FROM procrastinate_jobs WHERE id = %s", [job_id])
        return cursor.fetchall()


def waits_for_something(run_id: UUID) -> bool:
    asked = Approval.objects.filter(run_id=run_id, status=Approval.Status.PENDING)
    return asked.exists() or Run.objects.filter(parent_id=run_id, status__in=AT_REST).exists()


def is_to_be_tended(run_id: UUID) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM procrastinate_jobs WHERE task_name = %s AND status = 'todo' AND args->>'run_id' = %s",
            [TEND, str(run_id)],
        )
        return cursor.fetchone() is not None


@pytest.mark.properties
@pytest.mark.django_db
def test_reaches_no_illegal_state(alice, workspace):
    RunMachine.user, RunMachine.agent = alice, AgentFactory(workspace=workspace)
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=examples(60),
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
