"""Figures equal a recount of the rows at any moment, whatever has been folded and in whatever order."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agentplatform.lib.ids import uuid7
from billing.models import Entry, Outcome
from runs.analytics import folding
from runs.analytics.periods import Period
from runs.analytics.reading import Whose, read
from runs.models import Kind, Run, RunStep, Status, ToolCall
from tests import factories

NOON = datetime(2026, 3, 28, 12, tzinfo=UTC)
AROUND = Period(NOON - timedelta(days=3), NOON + timedelta(days=3, minutes=45))
ENDS = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def moment(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes, microseconds=minutes * 7)


class Story:
    """Random things that happen to runs, and what the rows say of them."""

    def __init__(self) -> None:
        self.workspace = factories.WorkspaceFactory()
        self.agents = [factories.AgentFactory(workspace=self.workspace) for _ in range(2)]
        self.users = [factories.MembershipFactory(workspace=self.workspace).user for _ in range(2)]
        self.runs: list[Run] = []

    def happen(self, what: int, minutes: int, chance: random.Random) -> None:
        acts = (
            self.start,
            self.end,
            self.step,
            self.step_again,
            self.tool_call,
            self.model_call,
            self.late,
            self.fold,
        )
        acts[what % len(acts)](minutes, chance)

    def start(self, minutes: int, chance: random.Random) -> None:
        self.runs.append(
            factories.RunFactory(
                workspace=self.workspace,
                agent=chance.choice(self.agents),
                user=chance.choice(self.users),
                status=Status.RUNNING,
                created_at=moment(minutes),
                started_at=moment(minutes),
            )
        )

    def end(self, minutes: int, chance: random.Random) -> None:
        for run in self.runs:
            if run.status == Status.RUNNING:
                run.status = chance.choice(ENDS)
                run.error = {"class": "timeout", "message": "late"} if run.status == Status.FAILED else None
                run.finished_at = run.started_at + timedelta(seconds=chance.random() * 1000)
                run.input_tokens = chance.randrange(1000)
                run.save()
                return

    def step(self, minutes: int, chance: random.Random) -> None:
        if self.runs:
            factories.RunStepFactory(
                run=chance.choice(self.runs),
                started_at=moment(minutes),
                finished_at=moment(minutes) + timedelta(seconds=chance.random()),
            )

    def step_again(self, minutes: int, chance: random.Random) -> None:
        if step := RunStep.objects.order_by("?").first():
            step.finished_at = step.started_at + timedelta(seconds=chance.random() * 10_000)
            step.save()

    def tool_call(self, minutes: int, chance: random.Random) -> None:
        if self.runs:
            call = factories.ToolCallFactory(
                run=chance.choice(self.runs),
                status=ToolCall.Status.CLAIMED,
                claimed_at=moment(minutes),
                finished_at=None,
            )
            if chance.random() < 0.7:
                call.status, call.finished_at = ToolCall.Status.DONE, moment(minutes + 20)
                call.message = {"status": chance.choice(["error", "success"])}
                call.save()

    def model_call(self, minutes: int, chance: random.Random) -> None:
        if self.runs:
            run, call_id = chance.choice(self.runs), uuid7()
            common = {
                "workspace": self.workspace,
                "run_id": run.pk,
                "agent_id": run.agent_id,
                "user_id": run.user_id,
                "call_id": call_id,
            }
            factories.UsageRecordFactory(
                timestamp=moment(minutes), entry=Entry.OPENED, status=Outcome.PENDING, **common
            )
            factories.UsageRecordFactory(
                timestamp=moment(minutes + 1), status=chance.choice([Outcome.OK, Outcome.FAILED]), **common
            )

    def late(self, minutes: int, chance: random.Random) -> None:
        """Money that comes after a run's end."""
        for run in self.runs:
            if run.status in ENDS:
                run.output_tokens += 17
                run.save()
                return

    def fold(self, minutes: int, chance: random.Random) -> None:
        folding.fold()

    def recount(self) -> Counter:
        found: Counter = Counter()
        for run in Run.objects.filter(status__in=ENDS):
            key = ("run", run.agent_id, run.status)
            found[(*key, "count")] += 1
            found[(*key, "tokens")] += run.input_tokens + run.output_tokens
            found[(*key, "us")] += (run.finished_at - run.started_at) // timedelta(microseconds=1)
        for step in RunStep.objects.select_related("run"):
            key = ("step", step.run.agent_id, "ok")
            found[(*key, "count")] += 1
            found[(*key, "us")] += (step.finished_at - step.started_at) // timedelta(microseconds=1)
        for call in ToolCall.objects.filter(status="done").select_related("run"):
            key = ("tool_call", call.run.agent_id, "failed" if call.message["status"] == "error" else "ok")
            found[(*key, "count")] += 1
            found[(*key, "us")] += (call.finished_at - call.claimed_at) // timedelta(microseconds=1)
        from billing.models import UsageRecord

        for record in UsageRecord.objects.settled():
            key = ("model_call", record.agent_id, str(record.status))
            found[(*key, "count")] += 1
            found[(*key, "tokens")] += record.input_tokens + record.output_tokens
            found[(*key, "us")] += 60_000_007
        return +found

    def figures(self, whose: Whose | None = None, period: Period = AROUND) -> Counter:
        rows = read(whose or Whose(self.workspace.pk), period, Kind, ["kind", "executed_id", "outcome"])
        found: Counter = Counter()
        for common, sums in rows:
            key = (common["kind"], common["executed_id"], common["outcome"])
            found[(*key, "count")] += sums.count
            found[(*key, "tokens")] += sums.tokens
            found[(*key, "us")] += sums.microseconds
            assert sum(sums.histogram.values()) == sums.timed
        return +found


class TestRandomStories(TestCase):
    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(0, 7), st.integers(-2000, 2000)), min_size=5, max_size=40),
        st.integers(0, 2**32),
    )
    def test_it_equals_a_recount_of_the_rows(self, happenings, seed):
        story, chance = Story(), random.Random(seed)
        for what, minutes in [(0, 0), (0, 1), *happenings]:
            story.happen(what, minutes, chance)
        assert story.figures() == story.recount()
        folding.fold_all()
        assert story.figures() == story.recount()
        apart = Counter()
        for user in story.users:
            apart += story.figures(Whose(story.workspace.pk, user.pk), AROUND.in_whole_days)
        assert apart == story.recount()
