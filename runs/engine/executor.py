"""Executes one attempt of one run: takes it, builds its graph, drives it, and ends it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError
from psycopg_pool import PoolTimeout

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import BudgetExceeded, PlatformError
from agentplatform.lib.telemetry.tracing import Span
from agents.compiler import CompiledAgent
from agents.specification import AgentSpecification
from agents.workflows.effects import NodeFault
from runs import lifecycle
from runs.engine import ends, observed, tool_calls
from runs.engine.checkpointer import RECORDER, CheckpointSaver
from runs.engine.entries import Attempt
from runs.engine.faults import RunFault, TimeIsUp
from runs.engine.graphs import Compiled, Graphs
from runs.engine.journal import Fenced, HandedBack, Journal, Paused
from runs.engine.middleware import DeltaHandler
from runs.engine.recall import recall
from runs.engine.recorder import Recorder
from runs.memory.owners import owner_of
from runs.memory.store import MemoryStore
from runs.models import ErrorClass, Run

logger = structlog.get_logger(__name__)

# Supersteps of the graph. An agent's own limit of model calls (`max_steps`) comes long before; the loops of a workflow
# are bounded by their `max`, and two of them, one in the other, must fit.
RECURSION_LIMIT = 10_000
WORKFLOW_RECURSION_LIMIT = 2_000_000
RUN_TIMEOUT_SECONDS = 600.0


class Executor:
    """Shared by all runs of a worker."""

    def __init__(self, journal: Journal, worker_id: uuid.UUID) -> None:
        self.journal = journal
        self.worker_id = worker_id
        self.draining = False
        """Set when the worker is about to stop: runs are handed back at their next safe point."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._saver = CheckpointSaver(journal)
        self._graphs = Graphs()

    async def execute(self, run_id: uuid.UUID) -> None:
        """Runs until the run ends, is taken away, or this task is cancelled. Raises nothing but cancellation."""
        taking = asyncio.ensure_future(self.journal.begin(run_id, self.worker_id))
        try:
            run, attempt = await asyncio.shield(taking)
        except Fenced:
            return
        except asyncio.CancelledError:
            # The commit may still come, and nobody would execute what it has begun.
            taking.add_done_callback(self._give_back)
            raise
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with observed.attempt(run) as span:
            recorder = Recorder(self.journal, run, attempt, self.execute, lambda: self.draining)
            await self._attempt(recorder, span)

    def _give_back(self, taking: asyncio.Future[tuple[Run, Attempt]]) -> None:
        if not taking.cancelled() and taking.exception() is None:
            attempt = taking.result()[1]
            self.journal.append(attempt, transition=lifecycle.hand_back("worker_stopped"), is_last=True)

    @property
    def running(self) -> int:
        """How many runs are in hand."""
        return len(self._tasks)

    def give_up_all(self) -> None:
        """Cancels every run in hand: others may have taken them over."""
        for task in self._tasks:
            task.cancel()

    async def _attempt(self, recorder: Recorder, span: Span) -> None:
        try:
            compiled = await self._graphs.of(recorder.run)
            if isinstance(compiled, CompiledAgent):
                recorder.agent = compiled
            async with asyncio.timeout(_longest_attempt(recorder.run, compiled)):
                state = await self._drive(recorder, compiled)
            if interrupts := state.get("__interrupt__"):
                await tool_calls.park(recorder, [one.value for one in interrupts])
            else:
                await recorder.end(*ends.outcome(recorder, state))
        except (Fenced, Paused):
            recorder.abandon()
        except HandedBack:
            recorder.abandon(lifecycle.hand_back("worker_stopped"))
        except asyncio.CancelledError:
            # By a person, whose `cancel` has ended the run already and fences this; or by the worker's stop.
            recorder.abandon(lifecycle.hand_back("worker_stopped"))
            raise
        except Exception as error:
            span.fail(getattr(error, "error_class", type(error).__name__))
            await self._end_badly(recorder, error)

    async def _end_badly(self, recorder: Recorder, error: Exception) -> None:
        try:
            await recorder.end(_failure(recorder.run, error), badly=True)
        except (Fenced, Paused):
            recorder.abandon()

    async def _drive(self, recorder: Recorder, compiled: Compiled) -> dict[str, Any]:
        """The graph's last state. It gets the input, or goes on from what an earlier attempt or its source has left."""
        run = recorder.run
        config: RunnableConfig = {
            "configurable": {"thread_id": run.thread_id, RECORDER: recorder},
            "metadata": {"run_id": str(run.id)},
            "callbacks": [DeltaHandler(recorder)],
            "recursion_limit": WORKFLOW_RECURSION_LIMIT if run.is_workflow else RECURSION_LIMIT,
        }
        graph = compiled.graph.copy(update={"checkpointer": self._saver, "store": _store_of(run, compiled)})
        if run.attempt > 1 or run.is_branch:
            recorder.remember(await in_thread(recall, run))
        feed = None if recorder.past.has_checkpoint else await ends.feed(run, compiled, self._saver)
        state: dict[str, Any] = await graph.ainvoke(feed, config, context=recorder, durability="sync")
        return state


def _store_of(run: Run, compiled: Compiled) -> MemoryStore | None:
    """The run's own view of what is remembered; None where it remembers nothing."""
    specification = compiled.specification
    if not isinstance(specification, AgentSpecification) or not specification.long_term:
        return None
    owner = owner_of(run, specification.long_term)
    return MemoryStore(owner, run.id) if owner else None


def _longest_attempt(run: Run, compiled: Compiled) -> float | None:
    """Seconds; None where the run has a limit of its own, or waits for other runs, which have theirs."""
    waits = compiled.specification.asks_others
    return None if waits or run.limits.get("timeout") else RUN_TIMEOUT_SECONDS


def _failure(run: Run, error: Exception) -> lifecycle.Transition:
    match error:
        case BudgetExceeded():
            return lifecycle.fail(ErrorClass.BUDGET_EXCEEDED, error.message)
        case PlatformError():
            return lifecycle.fail(ErrorClass.INVALID_CONFIGURATION, error.message)
        case OperationalError() | InterfaceError() | PoolTimeout():
            # Not the run's fault: it goes on as soon as the database is back.
            return lifecycle.hand_back("database_unavailable")
        case RunFault() | NodeFault():
            return lifecycle.fail(ErrorClass(error.error_class), error.message)
        case TimeIsUp():
            return lifecycle.time_is_up()
        case TimeoutError():
            message = f"The run has not ended within its {RUN_TIMEOUT_SECONDS:g} seconds."
            return lifecycle.fail(ErrorClass.TIMEOUT, message)
        case GraphRecursionError():
            return lifecycle.fail(
                ErrorClass.MAX_STEPS,
                f"The {'workflow' if run.is_workflow else 'agent'} has not come to an end.",
            )
    logger.error("run_failed_unexpectedly", exc_info=error)
    return lifecycle.fail(
        ErrorClass.INTERNAL, "Something went wrong on our side. The run id finds it in the log."
    )
