"""What earlier attempts of a run, or the run that it was forked from, have left for this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from django.db.models import F
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages import ToolCall as ToolCallOfModel

from runs.engine.messages import as_json, key_of, tool_message
from runs.models import Approval, Checkpoint, Run, RunStep, ToolCall


@dataclass(frozen=True, slots=True)
class Recollection:
    """`calls` are those of the step under way by the model's id, `approvals` by their key.

    `has_checkpoint` says that the run's input is in its thread already, so that its graph just goes on.
    """

    has_checkpoint: bool = False
    model_steps: int = 0
    calls: dict[str, ToolCall] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    ended_nodes: frozenset[str] = frozenset()
    """A workflow's nodes of the step under way that have committed already."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What the calls of the step under way that have ended have answered."""
        done = (call for call in self.calls.values() if call.message is not None)
        return [as_json(tool_message(call, call.call_id)) for call in done]


def recall(run: Run) -> Recollection:
    """Four small queries; a run's first attempt needs none of them."""
    step = run.total_steps + 1
    return Recollection(
        has_checkpoint=_has_checkpoint(run),
        model_steps=RunStep.objects.filter(run_id=run.id, type=RunStep.StepType.MODEL).count(),
        calls={call.call_id: call for call in ToolCall.objects.filter(run_id=run.id, step_num=step)},
        approvals={one.key: one for one in Approval.objects.filter(run_id=run.id, step=step)},
        ended_nodes=_ended_nodes(run, step) if run.is_workflow else frozenset(),
    )


def _ended_nodes(run: Run, step: int) -> frozenset[str]:
    return frozenset(RunStep.objects.filter(run_id=run.id, step_num=step).values_list("node", flat=True))


def _has_checkpoint(run: Run) -> bool:
    """A branch's thread begins as a copy, whose metadata name its source: its own head names the run itself."""
    saved = Checkpoint.objects.automatic().filter(run_id=run.id, namespace="").order_by("-checkpoint_id")
    head = saved.values_list("metadata__run_id", flat=True)[:1]
    is_changed = "replaces" in run.input or "state" in run.input
    return bool(head) and (not is_changed or head[0] == str(run.id))


def answers_to_open_calls(past: list[BaseMessage], run_id: Any) -> list[ToolMessage]:
    """Answers for tool calls that a thread's last run has left open when it was cancelled; providers refuse gaps.

    A call that was made has its answer in the ledger, and the model must not be told otherwise: it would make it
    again.
    """
    last = max((place for place, message in enumerate(past) if isinstance(message, AIMessage)), default=None)
    if last is None:
        return []
    answered = {message.tool_call_id for message in past[last:] if isinstance(message, ToolMessage)}
    open_calls = [call for call in cast(AIMessage, past[last]).tool_calls if call["id"] not in answered]
    made = _made_calls(run_id) if open_calls else {}
    return [_answer_to(call, made.get(key_of(call["id"] or ""))) for call in open_calls]


def _made_calls(run_id: Any) -> dict[str, ToolCall]:
    """The calls of the step that a run had not come to the end of, by their key."""
    calls = ToolCall.objects.filter(run_id=run_id, step_num=F("run__total_steps") + 1)
    return {call.call_id: call for call in calls}


def _answer_to(call: ToolCallOfModel, made: ToolCall | None) -> ToolMessage:
    call_id = call["id"] or ""
    if made and made.message is not None:
        return tool_message(made, call_id)
    text = "The call was cancelled before it was made."
    if made:
        text = "The call was broken off. Nobody knows whether it has had its effect."
    return ToolMessage(text, tool_call_id=call_id, name=call["name"], status="error")
