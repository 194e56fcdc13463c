"""The JSON of runs, steps, sessions and messages, written out: a list of them is asked for all the time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from runs.models import Message, Run, RunStep, Session

Json = dict[str, Any]


def run_json(run: Run, steps: Sequence[RunStep] = ()) -> Json:
    """The whole run. Needs `agent_version` loaded."""
    return _head(run) | {
        "agent_version": run.agent_version.number if run.agent_version else None,
        "input_query": run.input_query,
        "input": run.input,
        "response_content": run.response_content,
        "steps": [step_json(step) for step in steps],
        "config": run.config,
        "limits": run.limits,
        "metadata": run.metadata,
    }


def run_item_json(run: Run) -> Json:
    """A run in a list. Needs `query_start` annotated."""
    return _head(run) | {"input_query": run.query_start}  # type: ignore[attr-defined]


def _head(run: Run) -> Json:
    return {
        "id": str(run.pk),
        "agent_id": _id(run.agent_id),
        "agent": run.agent_name,
        "user_id": run.end_user,
        "session_id": _id(run.session_id),
        "parent_id": _id(run.parent_id),
        "status": run.status,
        "attempt": run.attempt,
        "error": run.error,
        "metrics": metrics_json(run),
        "tags": run.tags,
        "priority": run.priority,
        "started_by": run.username,
        "api_key": run.api_key_name,
        "created_at": run.created_at,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "updated_at": run.updated_at,
    }


def metrics_json(run: Run) -> Json:
    """`duration` in seconds; `cost` a plain decimal, null while one of the run's calls has no price."""
    return {
        "total_tokens": run.total_tokens,
        "input_tokens": run.input_tokens,
        "output_tokens": run.output_tokens,
        "total_steps": run.total_steps,
        "duration": run.duration,
        "cost": None if run.unpriced_calls else f"{Decimal(run.cost).normalize():f}",
        "currency": run.currency,
    }


def step_json(step: RunStep) -> Json:
    return {
        "step_num": step.step_num,
        "type": step.type,
        "node": step.node,
        "attempt": step.attempt,
        "messages": step.messages,
        "model_response": step.model_response,
        "metrics": step.metrics,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
    }


def session_json(session: Session) -> Json:
    """Needs `agent` loaded; without `agent_state` annotated the session has none yet."""
    return {
        "id": str(session.pk),
        "name": session.title,
        "agent": session.agent.name if session.agent else None,
        "user_id": session.end_user,
        "agent_state": getattr(session, "agent_state", None) or {},
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }


def message_json(message: Message) -> Json:
    return {
        "id": str(message.pk),
        "session_id": str(message.session_id),
        "run_id": _id(message.run_id),
        "source": message.source,
        "content": message.content,
        "type": message.type,
        "thought": message.thought,
        "models_usage": message.models_usage,
        "metadata": message.metadata,
        "created_at": message.created_at,
    }


def _id(key: object) -> str | None:
    return None if key is None else str(key)
