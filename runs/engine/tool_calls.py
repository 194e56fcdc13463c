"""One tool call of a run: asked for, claimed, made and recorded, once.

A call is claimed in the ledger of side effects before it is made, and done with what it said. So an attempt that
begins a step again makes no call that has ended. One that a lost worker has left under way is made again, with
the same key, where its tool is idempotent; otherwise nobody knows whether it has had its effect, and a person
decides. What a person has to decide is asked by `interrupt`: the graph stops at this call while its neighbours
go on, and the next attempt finds the decision in the table.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.utils import timezone
from langchain_core.messages import ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import interrupt

from agentplatform.lib import bulk
from agentplatform.lib.ids import as_uuid, uuid7
from agents.specification import ModelSpecification, ToolSpecification
from agents.tools.base import ToolFault, result_of
from agents.tools.call import call_key
from billing.ledger import CallContext
from billing.models import UsageRecord
from runs import lifecycle
from runs.engine import children, observed
from runs.engine.children import Asked
from runs.engine.faults import RunFault
from runs.engine.journal import Fenced, HandedBack, Paused
from runs.engine.messages import as_json, content_of, key_of, tool_message
from runs.engine.recorder import Recorder, Step
from runs.events import EventType
from runs.metering import on_behalf_of
from runs.models import Approval, ToolCall

logger = structlog.get_logger(__name__)

LONGEST_NAME = 100

Call = dict[str, Any]
"""`{"name", "args", "id"}` as LangChain has it."""


@dataclass(frozen=True, slots=True)
class Deed:
    """What is to be done: the tool (None: there is none of that name), the call, and how it is carried out.

    `asked` says which agent or workflow answers, as a run of its own; then `carry_out` is not needed.
    """

    tool: ToolSpecification | None
    call: Call
    carry_out: Callable[[Call], Awaitable[Any]] | None = None
    asked: Asked | None = None


async def make(recorder: Recorder, step: Step, deed: Deed) -> ToolMessage:
    """The call's answer. Raises GraphInterrupt where the run has to wait for a person, or for a run that rests."""
    call: Call = {**deed.call}
    past = recorder.past.calls.get(key_of(call["id"]))
    if past and past.status == ToolCall.Status.DONE:
        return tool_message(past, call["id"])
    answer = _decided(recorder, step, deed, call, past)
    started = time.monotonic()
    if answer is None:
        claim = await _claim(recorder, step, deed, call, past)
        on_behalf_of.set(_Paying(recorder, step))
        with observed.tool_call(deed.tool, call) as execution:
            answer = await _carry_out(recorder, deed, call, claim)
            execution.answered(answer.status)
    _record(recorder, step, call, answer, time.monotonic() - started)
    return answer


class _Paying:
    """A `runs.metering.Run`: models that the tool asks are paid by the run, and count in this step."""

    def __init__(self, recorder: Recorder, step: Step) -> None:
        self._recorder = recorder
        self._step = step
        self._loop = asyncio.get_running_loop()

    def call_context(self, model: ModelSpecification) -> CallContext:
        return self._recorder.call_context(model)

    def settle(self, record: UsageRecord) -> None:
        self._loop.call_soon_threadsafe(self._recorder.settle_usage, self._step, record)


# --- what a person has to decide ---


def _decided(
    recorder: Recorder, step: Step, deed: Deed, call: Call, past: ToolCall | None
) -> ToolMessage | None:
    """What stands in the place of the call; None: it is to be made, with the arguments that `call` has now."""
    for question in _questions(step, deed, call, past):
        approval = recorder.past.approvals.get(question["key"])
        if approval is None or approval.status not in Approval.DECIDED:
            interrupt(question)
        assert approval
        if approval.status == Approval.Status.REJECTED:
            return _answer(call, _refusal(approval), status="error")
        if approval.result is not None:
            result = result_of(approval.result["value"])
            return _answer(call, result.text, artifact=result.content)
        if approval.edited is not None:
            call["args"] = approval.edited
    return None


def _refusal(approval: Approval) -> str:
    """What the model is told in the place of an answer."""
    said = "A person has decided that this call is not made"
    if approval.kind == Approval.Kind.UNKNOWN_EFFECT:
        said = "Nobody knows whether this call has had its effect. A person has decided that it is not made again"
    return f"{said}: {approval.reason}" if approval.reason else f"{said}."


def _questions(step: Step, deed: Deed, call: Call, past: ToolCall | None) -> Iterator[dict[str, Any]]:
    """What has to be asked before the call, in the same order in every attempt."""
    if (tool := deed.tool) is None:
        return
    if tool.requires_approval:
        yield _question(Approval.Kind.TOOL_CALL, step, tool, call) | {
            "timeout": tool.approval_timeout_seconds,
            "default": str(tool.approval_default),
        }
    is_repeatable = tool.idempotent or deed.asked is not None
    if past and past.status != ToolCall.Status.DONE and not is_repeatable:
        # Whatever the tool says of approvals: the clock makes no call twice.
        yield _question(Approval.Kind.UNKNOWN_EFFECT, step, tool, call, f":{past.attempt}")


def _question(
    kind: Approval.Kind, step: Step, tool: ToolSpecification, call: Call, suffix: str = ""
) -> dict[str, Any]:
    return {
        "key": f"{kind.value}:{step.number}:{key_of(call['id'])}{suffix}",
        "kind": kind.value,
        "step": step.number,
        "node": step.node,
        "call_id": call["id"],
        "tool": tool.name,
        "args": call["args"],
        "timeout": None,
        "default": Approval.Default.REJECT.value,
    }


async def park(recorder: Recorder, asked: list[dict[str, Any]]) -> None:
    """Ends the attempt: the run waits for what its calls have asked for, as `interrupt` was given it."""
    questions = [value for value in asked if "key" in value]
    resting = [child for value in asked if (child := as_uuid(value.get("child"))) is not None]
    asking = [row for question in questions for row in _rows(recorder, question)]
    keys = tuple(question["key"] for question in questions)
    await recorder.end(
        lifecycle.park(lifecycle.Waits(keys, tuple(resting))), [*asking, *recorder.take_writes()]
    )


def _rows(recorder: Recorder, question: dict[str, Any]) -> list[bulk.Row]:
    """The approval, unless an earlier attempt has asked for it, and the call whose effect is unknown."""
    if question["key"] in recorder.past.approvals:
        return []
    now, seconds = timezone.now(), question["timeout"]
    deadline = now + timedelta(seconds=seconds) if seconds else None
    approval = bulk.row(
        Approval,
        workspace_id=recorder.run.workspace_id,
        run_id=recorder.run.id,
        **{name: question[name] for name in ("key", "kind", "step", "tool", "default")},
        call_id=key_of(question["call_id"]),
        message=question.get("message", ""),
        arguments=question["args"],
        deadline=deadline,
        created_at=now,
    )
    recorder.hold(
        EventType.APPROVAL_REQUIRED,
        {
            "approval_id": str(approval.values["id"]),
            **{
                name: question[name]
                for name in ("kind", "tool", "args", "call_id", "message")
                if name in question
            },
            "deadline": deadline.isoformat() if deadline else None,
        },
        recorder.step_under_way(question["node"]),
    )
    if question["kind"] == Approval.Kind.UNKNOWN_EFFECT:
        unknown = recorder.past.calls[key_of(question["call_id"])]
        unknown.status = ToolCall.Status.UNKNOWN
        return [approval, bulk.from_instance(unknown)]
    return [approval]


# --- the call itself ---


async def _claim(recorder: Recorder, step: Step, deed: Deed, call: Call, past: ToolCall | None) -> ToolCall:
    """Commits that the call is about to be made, before it is."""
    claim = past or _new_row(recorder, step, call)
    claim.attempt, claim.status, claim.claimed_at = recorder.attempt, ToolCall.Status.CLAIMED, timezone.now()
    head: dict[str, Any] = {"args": call["args"], "tool": call["name"], "call_id": call["id"]}
    if deed.asked:
        claim.child_run_id = claim.child_run_id or uuid7()
        head["child_run_id"] = str(claim.child_run_id)
    await recorder.announce(step, EventType.TOOL_CALL_STARTED, head, bulk.from_instance(claim))
    recorder.past.calls[claim.call_id] = claim
    return claim


def _new_row(recorder: Recorder, step: Step, call: Call) -> ToolCall:
    return ToolCall(
        run_id=recorder.run.id,
        step_num=step.number,
        call_id=key_of(call["id"]),
        tool=call["name"][:LONGEST_NAME],
        claimed_at=timezone.now(),
    )


async def _carry_out(recorder: Recorder, deed: Deed, call: Call, claim: ToolCall) -> ToolMessage:
    """A tool's failure is the model's to deal with, never the run's end."""
    try:
        if deed.asked:
            answer = await children.ask(recorder, deed.asked, call, claim)
            return _answer(call, answer.text, artifact=answer.content)
    except ToolFault as fault:
        # Whatever else goes wrong while a run is followed is the platform's own fault, and no answer.
        return _answer(call, fault.message, status="error")
    try:
        assert deed.carry_out
        call_key.set(str(claim.id))
        message = await deed.carry_out(call)
        if isinstance(message, ToolMessage):
            return message
        text = f"The tool {call['name']!r} answered in a form that is not supported."
    except (Fenced, Paused, HandedBack, RunFault, GraphBubbleUp):
        raise
    except ToolFault as fault:
        text = fault.message
    except Exception as error:
        logger.warning("tool_call_failed", tool=call["name"], error=repr(error)[:500])
        text = f"The tool {call['name']!r} failed: {type(error).__name__}."
    return _answer(call, text, status="error")


def _record(recorder: Recorder, step: Step, call: Call, answer: ToolMessage, seconds: float) -> None:
    """The call is done: what it said commits with the event that tells it."""
    claim = recorder.past.calls.get(key_of(call["id"])) or _new_row(recorder, step, call)
    claim.status, claim.attempt, claim.finished_at = ToolCall.Status.DONE, recorder.attempt, timezone.now()
    claim.message = {"content": answer.content, "artifact": answer.artifact, "status": answer.status}
    step.messages.append(as_json(answer))
    head = {"tool": call["name"], "call_id": call["id"], "duration": round(seconds, 3)}
    if answer.status == "error":
        kind, said = EventType.TOOL_CALL_FAILED, {"error": answer.text}
    else:
        kind, said = EventType.TOOL_CALL_COMPLETED, {"result": content_of(answer)}
    recorder.emit(kind, {**head, **said}, [bulk.from_instance(claim)], step)


def _answer(call: Call, text: str, *, artifact: Any = None, status: str = "success") -> ToolMessage:
    return ToolMessage(
        content=text, artifact=artifact, tool_call_id=call["id"], name=call["name"], status=status
    )
