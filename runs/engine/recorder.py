"""What an attempt tells the journal: events as they happen, and each step whole.

Graphs, middleware and the checkpoint saver report here; nobody else writes to the journal. What ends an agent's step
(its usage, row, events) is held back until the step's checkpoint comes, so that they commit together: a crash between
them would count a step that is then done again. A workflow's nodes that go side by side share the number of their
step; each commits with what it has written, so that a crash repeats only those that had not ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from agentplatform.lib import bulk
from agentplatform.lib.decimals import plain
from agents.compiler import CompiledAgent
from agents.specification import ModelSpecification
from billing.ledger import CallContext
from billing.models import UsageRecord
from runs.engine.entries import LONGEST_DELTA, Attempt
from runs.engine.faults import NoRoom
from runs.engine.journal import HandedBack, Journal
from runs.engine.recall import Recollection
from runs.events import Event, EventType, StoredEvent
from runs.lifecycle import Transition
from runs.models import Run, RunStep
from runs.paying import call_context

# Nodes of one run that ask models, tools or other runs at once, however many branches go side by side: each holds
# connections and memory, and providers limit how many calls an account may make. Those beyond it wait for a place.
# LangGraph's `max_concurrency` is not used: it has the writes of ended nodes wait behind all nodes that have not begun.
MOST_AT_ONCE = 32


@dataclass(slots=True)
class Step:
    """A step under way."""

    number: int
    type: RunStep.StepType
    node: str
    started_at: datetime
    messages: list[dict[str, Any]] = field(default_factory=list)
    response: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    has_effects: bool = False
    """Something of it has begun, so that it is no safe point any more."""
    delta_seen_at: float = field(default_factory=time.monotonic)
    delta_characters: int = 0
    first_token_at: float | None = None
    """When the first token of the model call under way came (`time.monotonic`)."""
    waits_for_journal: bool = False

    def begin_call(self) -> None:
        """A model is about to be called: nothing of its answer has come."""
        self.first_token_at = None


current_step: ContextVar[Step | None] = ContextVar("current_step", default=None)
"""The step of the node that this task executes. A workflow's nodes go side by side; an agent has one step at a time."""


class Recorder:
    """One attempt's voice. `step` is the number of the step under way, or of the last one.

    `execute_child` executes a run beside this one; `is_draining` says that the worker is about to stop.
    """

    agent: CompiledAgent
    """Set by the executor once it is built; a workflow's run has none."""

    def __init__(
        self,
        journal: Journal,
        run: Run,
        attempt: Attempt,
        execute_child: Callable[[UUID], Coroutine[Any, Any, None]],
        is_draining: Callable[[], bool],
    ) -> None:
        self.run = run
        self.step = run.total_steps
        self.model_steps = 0
        self.past = Recollection()
        self.places = asyncio.Semaphore(MOST_AT_ONCE)
        """One for each node that asks somebody: a model, a tool, another run."""
        self.execute_child = execute_child
        self.is_draining = is_draining
        self.starts_empty_thread = run.session_id is None and not run.is_branch and attempt.number == 1
        self.tokens = run.input_tokens + run.output_tokens
        self._began_at = time.monotonic()
        self.thought = ""
        self.memories: str | None = None
        """What the model is told of what was remembered; None: not read yet."""
        self.files: dict[str, bytes | None] = {}
        """Of messages, read in this attempt, by their key; None: it is gone."""
        self._journal = journal
        self._attempt = attempt
        self._open: dict[str, Step] = {}
        self._ended: set[str] = set()
        """Nodes of the step under way that have committed by themselves."""
        self._events: list[Event] = []
        self._usage: list[UsageRecord] = []
        self._writes: list[bulk.Row] = []
        self._delta: asyncio.Future[Any] | None = None

    @property
    def attempt(self) -> int:
        return self._attempt.number

    def remember(self, past: Recollection) -> None:
        """Goes on with what earlier attempts have left: a step of which calls or nodes have ended is still open."""
        self.past = past
        self.model_steps = past.model_steps
        if past.ended_nodes:
            self.step += 1
            self._ended.update(past.ended_nodes)
        elif not self.run.is_workflow and (messages := past.messages):
            self.enter_step(RunStep.StepType.TOOL, "tools").messages.extend(messages)

    @property
    def seconds_left(self) -> float | None:
        """Until the run's own `timeout`, counted while workers have it in hand; None: it has no such limit."""
        if not (limit := self.run.limits.get("timeout")):
            return None
        return limit - self.run.active_seconds - (time.monotonic() - self._began_at)

    # --- steps ---

    def enter_step(self, kind: RunStep.StepType, node: str) -> Step:
        """Begins a node's step, or goes on with it where it is under way (parallel tool calls)."""
        if step := self._open.get(node):
            return step
        if not self._open and not self._ended:
            self.step += 1
        step = self._open[node] = Step(self.step, kind, node, timezone.now())
        # With what the step begins with, which may turn out not to happen.
        self.hold(EventType.STEP_STARTED, {"step": step.number, "type": kind.value}, step)
        return step

    def step_under_way(self, node: str) -> Step | None:
        """The step of a node that has begun and not ended."""
        return self._open.get(node)

    def end_task(self, node: str, writes: Sequence[bulk.Row]) -> None:
        """A task of the graph has ended and written something.

        A workflow's node commits with it. An agent's writes wait for the checkpoint that its step ends with: ahead of
        it they would make the next attempt leave the task out, and with it the step's row and usage. Nothing is lost
        with them: tool calls that have ended are in their own ledger.
        """
        step = self._open.get(node) if self.run.is_workflow else None
        if step is None:
            self._writes.extend(writes)
            return
        row = self._end_step(step)
        self._ended.add(node)
        self._journal.append(
            self._attempt, events=self._take_events(), rows=[row, *writes], usage=self._take_usage()
        )

    def hold_writes(self, writes: Iterable[bulk.Row]) -> None:
        """What a task has written that has not ended: it waits for somebody, or has failed."""
        self._writes.extend(writes)

    def take_writes(self) -> list[bulk.Row]:
        writes, self._writes = self._writes, []
        return writes

    def save_checkpoint(self, checkpoint: bulk.Row, blobs: Sequence[bulk.Row], *, ends_step: bool) -> None:
        """Hands in a checkpoint, and with it the step that it ends. Does not wait: effects do."""
        self.starts_empty_thread = False
        rows = [checkpoint, *blobs, *self.take_writes()]
        steps = 0
        if ends_step and (self._open or self._ended):
            node = "" if self.run.is_workflow else next(iter(self._open))
            rows += [self._end_step(step) for step in list(self._open.values())]
            steps = 1
            data = {"checkpoint_id": str(checkpoint.values["id"]), "step": self.step}
            self._events.append(Event(EventType.CHECKPOINT_CREATED, data, timezone.now(), self.step, node))
            self._ended.clear()
            self.past.calls.clear()
        self._journal.append(
            self._attempt, events=self._take_events(), rows=rows, usage=self._take_usage(), steps=steps
        )

    def _end_step(self, step: Step) -> bulk.Row:
        finished_at = timezone.now()
        duration = round((finished_at - step.started_at).total_seconds(), 3)
        self.hold(
            EventType.STEP_COMPLETED,
            {"step": step.number, "type": step.type.value, "duration": duration},
            step,
        )
        del self._open[step.node]
        return bulk.row(
            RunStep,
            run_id=self.run.id,
            step_num=step.number,
            node=step.node,
            attempt=self._attempt.number,
            type=step.type.value,
            messages=step.messages,
            model_response=step.response,
            metrics={"duration": duration, **step.metrics},
            started_at=step.started_at,
            finished_at=finished_at,
        )

    # --- events ---

    def emit(
        self, kind: EventType, data: dict[str, Any], rows: Iterable[bulk.Row] = (), step: Step | None = None
    ) -> None:
        """Writes an event, and rows that belong to it, with the next flush; does not wait."""
        self.hold(kind, data, step)
        self._journal.append(self._attempt, events=self._take_events(), usage=self._take_usage(), rows=rows)

    def token(self) -> None:
        """A token of a model's answer has come in, of whatever kind."""
        if (step := self._step_of_task()) and step.first_token_at is None:
            step.first_token_at = time.monotonic()

    async def delta(self, kind: EventType, text: str) -> None:
        """A piece of the model's answer or thought has come in.

        Waits while the piece before it is being committed. Meanwhile the stream's reader gathers what comes, and
        the next piece holds all of it: the busier the journal is, the fewer and larger the events.
        """
        if (step := self._step_of_task()) is None:
            return
        step.delta_seen_at = time.monotonic()
        step.delta_characters += len(text)
        if step.type is RunStep.StepType.SUMMARY:
            # It is written for the model, and no part of the answer.
            return
        if kind is EventType.THOUGHT_DELTA:
            self.thought += text
        if self._delta and not self._delta.done():
            step.waits_for_journal = True
            try:
                with suppress(Exception):  # Whatever it is, what ends the step will meet it too.
                    await self._delta
            finally:
                step.waits_for_journal = False
            step.delta_seen_at = time.monotonic()
        for start in range(0, len(text), LONGEST_DELTA):
            self.hold(kind, {"content": text[start : start + LONGEST_DELTA]}, step)
        self._delta = self._journal.submit(
            self._attempt, events=self._take_events(), usage=self._take_usage()
        )
        self._delta.add_done_callback(_look_at)

    def hold(self, kind: EventType, data: dict[str, Any], step: Step | None = None) -> None:
        """An event that commits with whatever is written next; of the step, else of the task's own."""
        step = step or self._step_of_task()
        node, number = (step.node, step.number) if step else ("", 0)
        self._events.append(Event(kind, data, timezone.now(), number, node))

    def _step_of_task(self) -> Step | None:
        return current_step.get() or next(iter(self._open.values()), None)

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # --- money ---

    def call_context(self, model: ModelSpecification) -> CallContext:
        """Who pays for a call of this model, and for what."""
        return call_context(
            self.run, model.provider, model.model, attempt=self._attempt.number, step=self.step
        )

    async def open_usage(self, step: Step, record: UsageRecord) -> None:
        """Commits that a model is about to be called, and everything before.

        At a safe point it raises Paused or HandedBack instead, where the run is to pause or the worker to stop. Raises
        NoRoom where a budget has none: one that blocks, or one that pauses while neighbours are at work.
        """
        if is_safe := self.is_safe(step):
            self._go_no_further_than_here()
        had_effects, step.has_effects = step.has_effects, True
        result = await self._journal.committed(
            self._attempt,
            events=self._take_events(),
            # What a call before it has used, that broke off: it counts for the limits already.
            usage=[*self._take_usage(), record],
            at_safe_point=is_safe,
        )
        if shortfall := result.refused.get(record.call_id):
            step.has_effects = had_effects
            raise NoRoom(shortfall)

    async def announce(self, step: Step, kind: EventType, data: dict[str, Any], claim: bulk.Row) -> None:
        """Commits that something with an effect is about to happen, `claim` says what, and everything before it.

        At a safe point, where nothing of the step has happened yet, it raises Paused instead if the run is to
        pause, or HandedBack if the worker is to stop.
        """
        if is_first := self.is_safe(step) and not step.has_effects:
            self._go_no_further_than_here()
        # Its neighbours may be at work from now on; pausing would break them off.
        step.has_effects = True
        self.hold(kind, data, step)
        await self._journal.write(
            self._attempt, events=self._take_events(), claims=[claim], at_safe_point=is_first
        )

    def is_safe(self, step: Step) -> bool:
        """Whether no other node of the step is at work: pausing would break it off."""
        return not any(other.has_effects for other in self._open.values() if other is not step)

    def _go_no_further_than_here(self) -> None:
        if self.is_draining():
            raise HandedBack

    def settle_usage(self, step: Step, record: UsageRecord) -> None:
        """Holds what a model call has used, to commit with its step."""
        self._usage.append(record)
        self.tokens += record.input_tokens + record.output_tokens
        self.hold(
            EventType.USAGE_RECORDED,
            {
                "usage_id": str(record.id),
                "provider": record.provider,
                "model": record.model,
                "status": str(record.status),
                "input_tokens": record.input_tokens,
                "output_tokens": record.output_tokens,
                "total_tokens": record.input_tokens + record.output_tokens,
                "cost": None if record.cost is None else plain(record.cost),
                "currency": record.currency,
            },
            step,
        )

    def _take_usage(self) -> list[UsageRecord]:
        usage, self._usage = self._usage, []
        return usage

    # --- the end ---

    async def end(
        self, transition: Transition, rows: Sequence[bulk.Row] = (), *, badly: bool = False
    ) -> list[StoredEvent]:
        """Commits the run's last words together with its new status. Raises what the database said of earlier ones,
        unless it ends `badly`.
        """
        return await self._journal.write(
            self._attempt,
            events=self._take_events(),
            usage=self._take_usage(),
            rows=rows,
            transition=transition,
            ends_badly=badly,
        )

    def abandon(self, transition: Transition | None = None) -> None:
        """The attempt is given up: leaves what is held to the journal without waiting for it."""
        self._journal.append(
            self._attempt,
            events=self._take_events(),
            usage=self._take_usage(),
            transition=transition,
            ends_badly=True,
            is_last=True,
        )


def _look_at(future: asyncio.Future[Any]) -> None:
    """Asyncio complains of failures that nobody has looked at."""
    if not future.cancelled():
        future.exception()
