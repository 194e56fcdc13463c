"""The JSON of runs, steps, approvals, sessions and messages, written out: a list of them is asked for all the time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from agentplatform.lib.decimals import plain
from runs.history.checkpoints import State
from runs.models import Approval, Attachment, Checkpoint, Message, Run, RunStep, Session

Json = dict[str, Any]


def run_json(run: Run, steps: Sequence[RunStep] = ()) -> Json:
    """The whole run. Needs `agent_version` and `workflow_version` loaded."""
    return _head(run) | {
        "agent_version": run.agent_version.number if run.agent_version else None,
        "workflow_version": run.workflow_version.number if run.workflow_version else None,
        "input_query": run.input_query,
        "input": run.input,
        "response_content": run.response_content,
        "output": run.output,
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
        "workflow_id": _id(run.workflow_id),
        "workflow": run.workflow_name,
        "user_id": run.end_user,
        "session_id": _id(run.session_id),
        "parent_id": _id(run.parent_id),
        "relation": run.relation,
        "source_checkpoint_id": _id(run.source_checkpoint_id),
        "description": run.description,
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
    """`duration` in seconds; `cost` a plain decimal, null while one of the run's calls has no price.

    Tokens and cost are those of the run and of the runs that its tools have started; `children` is the part of
    the latter, null where there are none.
    """
    return {
        "total_tokens": run.total_tokens,
        "input_tokens": run.input_tokens + run.child_input_tokens,
        "output_tokens": run.output_tokens + run.child_output_tokens,
        "total_steps": run.total_steps,
        "duration": run.duration,
        "cost": _cost(run.total_cost, run.has_unpriced_calls),
        "currency": run.currency,
        "children": _children_json(run) if run.has_children else None,
    }


def _children_json(run: Run) -> Json:
    return {
        "input_tokens": run.child_input_tokens,
        "output_tokens": run.child_output_tokens,
        "cost": _cost(run.child_cost, bool(run.child_unpriced_calls)),
    }


def _cost(amount: Decimal, is_unknown: bool) -> str | None:
    return None if is_unknown else plain(Decimal(amount))


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


def checkpoint_json(checkpoint: Checkpoint) -> Json:
    """A checkpoint in a list."""
    return {
        "id": str(checkpoint.pk),
        "step_num": checkpoint.step_num,
        "description": checkpoint.description,
        "tags": checkpoint.tags,
        "manual": checkpoint.manual,
        "created_at": checkpoint.created_at,
        "message_count": checkpoint.message_count,
        "total_tokens": checkpoint.total_tokens,
    }


def state_json(state: State) -> Json:
    return checkpoint_json(state.checkpoint) | {
        "run_id": _id(state.checkpoint.run_id),
        "parent_id": _id(state.parent_id),
        "status": state.status,
        "messages": state.messages,
        "state": state.fields,
        "output": state.output,
        "metrics": state.metrics,
        "agent_config": state.agent_config,
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
    """`variants` and `attachments` are those that `shown.complete` has found: without, only itself, and none."""
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
        "variants": [str(key) for key in getattr(message, "variants", [message.pk])],
        "attachments": [attachment_json(one) for one in getattr(message, "sent_attachments", ())],
        "created_at": message.created_at,
    }


def attachment_json(attachment: Attachment) -> Json:
    return {
        "id": str(attachment.pk),
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size": attachment.size,
        "created_at": attachment.created_at,
    }


def approval_json(approval: Approval) -> Json:
    """Needs `run` loaded, as far as `agent_name` and `workflow_name`."""
    return {
        "id": str(approval.pk),
        "run_id": str(approval.run_id),
        "agent": approval.run.agent_name,
        "workflow": approval.run.workflow_name,
        "kind": approval.kind,
        "status": approval.status,
        "tool": approval.tool,
        "call_id": approval.call_id,
        "step": approval.step,
        "message": approval.message,
        "arguments": approval.arguments,
        "edited_arguments": approval.edited,
        "reason": approval.reason,
        "deadline": approval.deadline,
        "default": approval.default,
        "decided_by": approval.decided_by,
        "created_at": approval.created_at,
        "decided_at": approval.decided_at,
    }


def _id(key: object) -> str | None:
    return None if key is None else str(key)
