"""What has to be true of every run in the end, whatever has happened to the processes that had it in hand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from billing.models import BudgetPeriod, BudgetReservation, UsageRecord
from runs import event_log
from runs.events import StoredEvent, rebuild_text
from runs.models import IN_FLIGHT, TERMINAL, Relation, Run, RunStep, Status
from tests.agents.http_endpoint import Asked, HttpEndpoint
from tests.billing.budgets import differences
from tests.model_endpoint import ModelEndpoint
from tests.model_endpoint.replies import last_user_text

STEPS = list(enumerate(["model", "tool", "model"], start=1))


def query(name: str) -> str:
    """What a run of the notifying agent is asked: to call its tool once, under this name."""
    return f"call notify {json.dumps({'number': name})}"


def delegated_query(name: str) -> str:
    """The same of an agent that has the notifying one for its tool."""
    return f"call helper {json.dumps({'message': query(name)})}"


@dataclass(frozen=True, slots=True)
class Witnesses:
    """The endpoints outside of the platform, which know what they were really asked, and how often."""

    model: ModelEndpoint
    effects: HttpEndpoint

    def model_calls(self, run: Run) -> int:
        return sum(last_user_text(request.body) == run.input_query for request in self.model.requests)

    def effects_of(self, run: Run) -> list[Asked]:
        return [asked for asked in self.effects.asked if query(asked.path[1:]) == run.input_query]


def all_faults(witnesses: Witnesses) -> dict[str, list[str]]:
    """What is wrong with each run there is, by its query; those with which nothing is are left out."""
    found = {run.input_query: faults(run, witnesses) for run in Run.objects.all()}
    found["budgets"] = list(faults_of_budgets())
    return {name: wrong for name, wrong in found.items() if wrong}


def faults_of_budgets() -> Iterator[str]:
    """What was spent is what the ledger says, and nothing is set aside when all calls have ended."""
    for difference in differences():
        yield f"a budget has counted something else than the ledger: {difference}"
    for reservation in BudgetReservation.objects.all():
        yield f"a call that has ended has set something aside: {reservation}"
    if not BudgetPeriod.objects.filter(spent_tokens__gt=0, reserved_tokens=0, reserved_amount=0).exists():
        yield "nothing was counted"


def faults(run: Run, witnesses: Witnesses) -> list[str]:
    """What is wrong with a run of the notifying agent, or of one that asks it, in words."""
    return [
        *of_state(run),
        *faults_of_events(run),
        *of_usage(run, witnesses.model_calls(run)),
        *of_children(run),
        *_of_steps(run),
        *of_effects(witnesses.effects_of(run)),
    ]


def of_state(run: Run) -> Iterator[str]:
    if run.status in IN_FLIGHT or run.worker_id:
        yield f"it is still {run.status} in the hands of {run.worker_id}"
    if run.status == Status.FAILED:
        yield f"it has failed: {run.error}"


def faults_of_events(run: Run) -> Iterator[str]:
    """What is wrong with the events of any run, and with the end that they tell of."""
    events: Sequence[StoredEvent] = event_log.read(run.pk, 0, limit=100_000)
    numbers = [event.seq for event in events]
    if numbers != list(range(1, run.last_seq + 1)):
        yield f"its events have a hole or a repeat: {numbers}"
    # A workflow's response is what its end makes of the state, whatever its models have said.
    is_told = run.is_workflow or rebuild_text(events) == run.response_content
    if run.status == Status.COMPLETED and not is_told:
        yield f"its events tell {rebuild_text(events)!r}, its response is {run.response_content!r}"
    if sum(event.is_terminal for event in events) != (run.status in TERMINAL):
        yield "it has not ended exactly once"


def of_usage(run: Run, calls: int, at_once: int = 1) -> Iterator[str]:
    """An entry is opened before each call; a worker that died in between has opened as many more as go at once."""
    records = UsageRecord.objects.filter(run_id=run.pk)
    settlements = [record for record in records if record.entry == "settled"]
    opened = Counter(record.call_id for record in records if record.entry == "opened")
    settled = Counter(record.call_id for record in settlements)
    if not calls <= opened.total() <= calls + at_once:
        yield f"the model was called {calls} times, and the ledger has opened {opened.total()} calls"
    if opened != settled or opened.total() != len(opened):
        yield f"of {opened.total()} opened calls {settled.total()} are settled"
    tokens = [
        sum(record.input_tokens for record in settlements),
        sum(record.output_tokens for record in settlements),
    ]
    if tokens != [run.input_tokens, run.output_tokens]:
        yield f"the ledger has {tokens} tokens, the run {[run.input_tokens, run.output_tokens]}"


def of_children(run: Run, most: int = 1) -> Iterator[str]:
    """A run of an agent asks its one tool once, so it has started one run; what that has used is told of both."""
    children = list(Run.objects.filter(parent=run, relation=Relation.CHILD))
    if len(children) > most:
        yield f"it has started {len(children)} runs"
    used = [
        sum(child.input_tokens for child in children),
        sum(child.output_tokens for child in children),
    ]
    if used != [run.child_input_tokens, run.child_output_tokens]:
        yield f"below it {used} tokens were used, it tells of {run.child_input_tokens}, {run.child_output_tokens}"


def _of_steps(run: Run) -> Iterator[str]:
    steps = list(RunStep.objects.filter(run=run).values_list("step_num", "type"))
    is_whole = steps == (STEPS if run.status == Status.COMPLETED else STEPS[: len(steps)])
    if not is_whole or len(steps) != run.total_steps:
        yield f"its steps are {steps}, counted as {run.total_steps}"


def of_effects(effects: Sequence[Asked]) -> Iterator[str]:
    """A repeat with the same key is no second effect."""
    keys = {effect.headers["Idempotency-Key"] for effect in effects}
    if len(keys) > 1:
        yield f"its effect has happened {len(keys)} times"
