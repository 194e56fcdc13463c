"""Executes one attempt of one run: takes it, builds its graph, drives it, and ends it."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphRecursionError
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from psycopg_pool import PoolTimeout

from agentplatform.lib import bulk
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.ids import uuid7
from agents.compiler import CompiledAgent, compile_agent
from agents.models import Tool
from agents.specification import AgentSpecification, load, secret_values
from runs import lifecycle
from runs.engine import tool_calls
from runs.engine.checkpointer import RECORDER, CheckpointSaver
from runs.engine.faults import RunFault, TimeIsUp
from runs.engine.flush import Attempt
from runs.engine.journal import Fenced, HandedBack, Journal, Paused
from runs.engine.messages import from_json, text_of, thought_of
from runs.engine.middleware import DeltaHandler, RunMiddleware
from runs.engine.recall import answers_to_open_calls, recall
from runs.engine.recorder import Recorder
from runs.models import ErrorClass, Message, Run

logger = structlog.get_logger(__name__)

# Supersteps of the graph; the agent's own limit of model calls (`max_steps`) comes long before.
RECURSION_LIMIT = 10_000
RUN_TIMEOUT_SECONDS = 600.0


class Executor:
    """Shared by all runs of a worker. Compiled graphs are kept, the least recently used go first."""

    def __init__(self, journal: Journal, worker_id: uuid.UUID) -> None:
        self.journal = journal
        self.worker_id = worker_id
        self.draining = False
        """Set when the worker is about to stop: runs are handed back at their next safe point."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._saver = CheckpointSaver(journal)
        self._middleware = RunMiddleware()
        self._agents: OrderedDict[tuple[Any, ...], CompiledAgent] = OrderedDict()

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
        with structlog.contextvars.bound_contextvars(run_id=str(run_id), workspace=str(run.workspace_id)):
            recorder = Recorder(self.journal, run, attempt, self.execute, lambda: self.draining)
            await self._attempt(recorder)

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

    async def _attempt(self, recorder: Recorder) -> None:
        try:
            recorder.agent = await self._agent(recorder.run)
            async with asyncio.timeout(_longest_attempt(recorder)):
                state = await self._drive(recorder)
            if interrupts := state.get("__interrupt__"):
                await tool_calls.park(recorder, [one.value for one in interrupts])
            else:
                answer = _answer(state["messages"])
                await recorder.end(lifecycle.finish(text_of(answer)), _message_rows(recorder, answer))
        except (Fenced, Paused):
            recorder.abandon()
        except HandedBack:
            recorder.abandon(lifecycle.hand_back("worker_stopped"))
        except asyncio.CancelledError:
            # By a person, whose `cancel` has ended the run already and fences this; or by the worker's stop.
            recorder.abandon(lifecycle.hand_back("worker_stopped"))
            raise
        except Exception as error:
            await self._end_badly(recorder, error)

    async def _end_badly(self, recorder: Recorder, error: Exception) -> None:
        try:
            await recorder.end(_failure(recorder.run, error), badly=True)
        except (Fenced, Paused):
            recorder.abandon()

    async def _drive(self, recorder: Recorder) -> dict[str, Any]:
        """The graph's last state. It gets the input, or goes on from what an earlier attempt or its source has left."""
        run = recorder.run
        config: RunnableConfig = {
            "configurable": {"thread_id": run.thread_id, RECORDER: recorder},
            "metadata": {"run_id": str(run.id)},
            "callbacks": [DeltaHandler(recorder)],
            "recursion_limit": RECURSION_LIMIT,
        }
        graph = recorder.agent.graph.copy(update={"checkpointer": self._saver})
        if run.attempt > 1 or run.is_branch:
            recorder.remember(await in_thread(recall, run))
        feed = None if recorder.past.has_checkpoint else {"messages": await self._input(run)}
        state: dict[str, Any] = await graph.ainvoke(feed, config, context=recorder, durability="sync")
        return state

    async def _input(self, run: Run) -> list[BaseMessage]:
        messages = [from_json(message) for message in run.input["messages"]]
        if run.session_id is None and not run.is_branch:
            return messages
        head = await self._saver.aget_tuple({"configurable": {"thread_id": run.thread_id}})
        if head is None:
            return messages
        past = head.checkpoint["channel_values"].get("messages", [])
        match run.input.get("replaces"):
            case "all":
                return [RemoveMessage(REMOVE_ALL_MESSAGES), *messages]
            case "last_query":
                return [RemoveMessage(REMOVE_ALL_MESSAGES), *_before_last_query(past), *messages]
        return [*await in_thread(answers_to_open_calls, past, head.metadata.get("run_id")), *messages]

    async def _agent(self, run: Run) -> CompiledAgent:
        """The run's compiled agent. Versions are immutable, so what is kept is never stale."""
        changes = orjson.dumps([run.config, run.overrides], option=orjson.OPT_SORT_KEYS)
        key = (run.agent_version_id, tuple(run.pins), changes)
        if agent := self._agents.get(key):
            self._agents.move_to_end(key)
            return agent
        specification, secrets = await in_thread(_load, run)
        agent = compile_agent(specification, secrets, middleware=[self._middleware], context_schema=Recorder)
        self._agents[key] = agent
        if len(self._agents) > settings.AGENT_RUNNER_POOL_SIZE:
            self._agents.popitem(last=False)
        return agent


def _load(run: Run) -> tuple[AgentSpecification, Mapping[uuid.UUID, str]]:
    assert run.agent_version_id is not None
    specification = load(run.agent_version_id, run.pins, run.config, run.overrides)
    return specification, secret_values(run.workspace_id, specification.secret_ids)


def _longest_attempt(recorder: Recorder) -> float | None:
    """Seconds; None where the run has a limit of its own, or waits for other agents, whose runs have theirs."""
    asks_agents = any(tool.kind == Tool.ToolKind.AGENT for tool in recorder.agent.specification.tools)
    return None if asks_agents or recorder.run.limits.get("timeout") else RUN_TIMEOUT_SECONDS


def _before_last_query(past: list[BaseMessage]) -> list[BaseMessage]:
    """The conversation up to the last message of its user, which is left out."""
    queries = [place for place, message in enumerate(past) if isinstance(message, HumanMessage)]
    return past[: queries[-1]] if queries else []


def _answer(messages: list[BaseMessage]) -> AIMessage:
    return next(message for message in reversed(messages) if isinstance(message, AIMessage))


def _message_rows(recorder: Recorder, answer: AIMessage) -> list[bulk.Row]:
    """The answer as the session's next message; none without a session."""
    run, usage = recorder.run, answer.usage_metadata
    if run.session_id is None:
        return []
    return [
        bulk.row(
            Message,
            id=uuid7(),
            session_id=run.session_id,
            run_id=run.id,
            source=run.agent_name,
            content=text_of(answer),
            thought=recorder.thought or thought_of(answer),
            models_usage=dict(usage) if usage else None,
            created_at=timezone.now(),
        )
    ]


def _failure(run: Run, error: Exception) -> lifecycle.Transition:
    match error:
        case PlatformError():
            return lifecycle.fail(ErrorClass.INVALID_CONFIGURATION, error.message)
        case OperationalError() | InterfaceError() | PoolTimeout():
            # Not the run's fault: it goes on as soon as the database is back.
            return lifecycle.hand_back("database_unavailable")
        case RunFault():
            return lifecycle.fail(error.error_class, error.message)
        case TimeIsUp():
            return lifecycle.time_is_up()
        case TimeoutError():
            message = f"The run has not ended within its {RUN_TIMEOUT_SECONDS:g} seconds."
            return lifecycle.fail(ErrorClass.TIMEOUT, message)
        case GraphRecursionError():
            return lifecycle.fail(ErrorClass.MAX_STEPS, "The agent has not come to an end.")
    logger.error("run_failed_unexpectedly", exc_info=error)
    return lifecycle.fail(
        ErrorClass.INTERNAL, "Something went wrong on our side. The run id finds it in the log."
    )
