"""What earlier attempts of a run, or the run that it was forked from, have left for this one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from django.db.models import F, Q
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages import ToolCall as ToolCallOfModel

from agentplatform.lib.ids import as_uuid
from runs.engine.messages import as_json, key_of, tool_message
from runs.lifecycle.said import STOPPED
from runs.models import Approval, Checkpoint, Message, Run, RunStep, ToolCall

MOST_TEXTS = 1_000


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


def left_open(session_id: Any, past: list[BaseMessage], run_id: Any) -> list[BaseMessage]:
    """What a thread's last run has left open when it was cancelled: answers of tools, and what it was about to say."""
    said = past[-1] if past else None
    if said is None or (isinstance(said, AIMessage) and not said.tool_calls):
        return []
    answers = answers_to_open_calls(past, run_id)
    if answers or session_id is None:
        return [*answers]
    text = _stopped_text(session_id, run_id)
    return [AIMessage(text)] if text else []


def _stopped_text(session_id: Any, run_id: Any) -> str:
    """What was streamed of the run's answer until it was stopped, as the conversation has it; of a copied one, too."""
    of_run = Q(run_id=as_uuid(run_id)) | Q(run_id__isnull=True)
    said = Message.objects.filter(of_run, session_id=session_id).order_by("-created_at", "-id")
    content, metadata = said.values_list("content", "metadata").first() or ("", {})
    return content if metadata.get(STOPPED) else ""


def texts_of_branch(run: Run, head_run: Any) -> list[BaseMessage] | None:
    """What was said before a run on its own branch, as texts; None where its thread stands on that branch.

    The thread is set to a branch when that is chosen. Where the branch's own state was not kept, nothing was set.
    """
    key = as_uuid(head_run)
    said = Message.objects.filter(session__runs=run)
    if key is None or not said.filter(run_id=key, active=False).exists():
        return None
    before = said.filter(active=True, created_at__lt=run.created_at).exclude(run_id=run.pk)
    newest = before.order_by("-created_at", "-id").values_list("run_id", "source", "content")[:MOST_TEXTS]
    asked: set[Any] = set()
    texts: list[BaseMessage] = []
    for turn, source, content in reversed(newest):
        is_question = turn not in asked if turn else source == "user"
        asked.add(turn)
        texts.append(HumanMessage(content) if is_question else AIMessage(content))
    return texts


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
