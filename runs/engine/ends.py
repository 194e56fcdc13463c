"""The two ends of a run's graph: what it is fed with, and what its last state has come to."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.utils import timezone
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command

from agentplatform.lib import bulk
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.specification import MODEL
from agents.workflows import state as workflow_state
from agents.workflows.document import Document
from runs import lifecycle
from runs.conversations.naming import name_later
from runs.engine.checkpointer import CheckpointSaver
from runs.engine.graphs import Compiled, CompiledWorkflow
from runs.engine.messages import from_json, text_of, thought_of
from runs.engine.recall import left_open, texts_of_branch
from runs.engine.recorder import Recorder
from runs.lifecycle import RunState, Transition
from runs.models import Message, Run

Outcome = tuple[Transition, list[bulk.Row]]


async def feed(run: Run, compiled: Compiled, saver: CheckpointSaver) -> Any:
    """What a graph begins with: an agent's with messages, a workflow's with its input and the state's first values."""
    if isinstance(compiled, CompiledWorkflow):
        return _first_state(run, compiled.specification.document)
    return {"messages": await _messages(run, saver)}


def outcome(recorder: Recorder, state: dict[str, Any]) -> Outcome:
    """How the run ends, and the answer as its session's next message."""
    if recorder.run.is_workflow:
        return _result(recorder, storable(state.get(workflow_state.OUTPUT)))
    answer = next(message for message in reversed(state["messages"]) if isinstance(message, AIMessage))
    said = {
        "content": text_of(answer),
        "thought": recorder.thought or thought_of(answer),
        "models_usage": dict(answer.usage_metadata) if answer.usage_metadata else None,
    }
    return _finish(recorder, text_of(answer)), _message_rows(recorder.run, said)


def _finish(recorder: Recorder, text: str) -> Transition:
    """The end of an agent's run; of the first of a conversation that its model names, also the job that does it."""
    finish, run = lifecycle.finish(text), recorder.run
    is_named = recorder.agent.specification.config.naming == MODEL
    if not is_named or run.session_id is None or run.previous_id is not None:
        return finish

    def apply(state: RunState, now: datetime) -> None:
        finish(state, now)
        name_later(run.id)

    return apply


# --- workflows ---


def _first_state(run: Run, document: Document) -> Any:
    """Of a fork the changes alone, which go over the state that it begins at."""
    if changes := run.input.get("state"):
        return Command(
            update={
                workflow_state.field(name): _over(document, name, value) for name, value in changes.items()
            }
        )
    return workflow_state.first(document, run.input["values"])


def _over(document: Document, name: str, value: Any) -> Any:
    """A value that takes the place of the old one, whatever the field's reducer."""
    return value if document.state[name].reducer == "replace" else {"__overwrite__": value}


def _result(recorder: Recorder, output: Any) -> Outcome:
    is_text = isinstance(output, str)
    text = output if is_text else json.dumps(output, ensure_ascii=False)
    rows = _message_rows(recorder.run, {"content": text, "thought": "", "models_usage": None})
    return lifecycle.finish(text, None if is_text else output), rows


# --- agents ---


async def _messages(run: Run, saver: CheckpointSaver) -> list[BaseMessage]:
    messages = [from_json(message) for message in run.input["messages"]]
    if run.session_id is None and not run.is_branch:
        return messages
    head = await saver.aget_tuple({"configurable": {"thread_id": run.thread_id}})
    if head is None:
        return messages
    past = head.checkpoint["channel_values"].get("messages", [])
    head_run = head.metadata.get("run_id")
    if run.session_id and head_run != str(run.previous_id):
        texts = await in_thread(texts_of_branch, run, head_run)
        if texts is not None:
            return [RemoveMessage(REMOVE_ALL_MESSAGES), *texts, *messages]
    match run.input.get("replaces"):
        case "all":
            return [RemoveMessage(REMOVE_ALL_MESSAGES), *messages]
        case "last_query":
            return [RemoveMessage(REMOVE_ALL_MESSAGES), *_before_last_query(past), *messages]
    return [*await in_thread(left_open, run.session_id, past, head_run), *messages]


def _before_last_query(past: list[BaseMessage]) -> list[BaseMessage]:
    """The conversation up to the last message of its user, which is left out."""
    queries = [place for place, message in enumerate(past) if isinstance(message, HumanMessage)]
    return past[: queries[-1]] if queries else []


def _message_rows(run: Run, said: dict[str, Any]) -> list[bulk.Row]:
    """The answer as the session's next message; none without a session."""
    if run.session_id is None:
        return []
    return [
        bulk.row(
            Message,
            id=uuid7(),
            session_id=run.session_id,
            run_id=run.id,
            source=run.executes,
            created_at=timezone.now(),
            **said,
        )
    ]
