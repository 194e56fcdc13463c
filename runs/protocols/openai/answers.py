"""The documents that clients get: completions, their pieces, models."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.json import dumps
from agents.models import Agent
from runs.approvals import pending_of
from runs.events import EventType, StoredEvent
from runs.models import Run, RunStep
from runs.outcomes import RESTS, data_of, failure
from runs.protocols.openai.earlier import call_id
from runs.protocols.openai.errors import Unfinished

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """What a completion and all its pieces have in common. `created` in seconds since 1970."""

    run_id: uuid.UUID
    model: str
    created: int

    def document(self, kind: str, choices: Sequence[Json]) -> Json:
        return {
            "id": f"chatcmpl-{self.run_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
        }

    def piece(self, delta: Json, finish_reason: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self.document("chat.completion.chunk", [choice])


@dataclass(frozen=True, slots=True)
class Answer:
    """How a run has ended well."""

    content: str
    thought: str
    calls: list[Json]
    """Calls of the client's tools, in OpenAI's shape."""
    finish_reason: str
    usage: Json


async def answer_at(last: StoredEvent) -> Answer:
    """The answer of a run that has come to its end with `last`. Raises what anything else is to a client."""
    if last.type == EventType.RUN_COMPLETED:
        return await in_thread(_answer_of, last.run_id)
    data = await data_of(last)
    raise await in_thread(_rest, last, data) if last.type in RESTS else failure(last, data)


def _answer_of(run_id: uuid.UUID) -> Answer:
    """In one query."""
    steps = RunStep.objects.filter(run_id=run_id, type=RunStep.StepType.MODEL).select_related("run")
    step = steps.order_by("-step_num").first()
    assert step
    said = step.messages[-1]
    return Answer(
        content=step.run.response_content,
        thought=said.get("thought", ""),
        calls=[
            _call_json(call_id(run_id, index), call) for index, call in enumerate(said.get("tool_calls", ()))
        ],
        finish_reason=step.metrics["finish_reason"],
        usage=usage_json(step.run),
    )


def _rest(last: StoredEvent, data: Json) -> Unfinished:
    run_id = str(last.run_id)
    later = f"The run goes on then; wait for it at /api/v1/runs/{run_id}/wait."
    if last.type == EventType.RUN_PAUSED:
        code = data.get("reason", "run_paused")
        return Unfinished(f"The run is paused until somebody resumes it. {later}", code, run_id=run_id)
    waiting = [str(key) for key in pending_of(Run.objects.get(pk=run_id))]
    message = f"The run waits until a person has decided (/api/v1/approvals). {later}"
    return Unfinished(message, "run_waiting", run_id=run_id, approval_ids=waiting)


def _call_json(key: str, call: Json) -> Json:
    function = {"name": call["name"], "arguments": dumps(call["args"]).decode()}
    return {"id": key, "type": "function", "function": function}


def usage_json(run: Run) -> Json:
    """Of all model calls of the run, and of the runs that its tools have started."""
    read, written = run.input_tokens + run.child_input_tokens, run.output_tokens + run.child_output_tokens
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def completion_json(head: Head, answer: Answer) -> Json:
    message: Json = {"role": "assistant", "content": answer.content, "refusal": None}
    if answer.calls:
        message |= {"content": answer.content or None, "tool_calls": answer.calls}
    if answer.thought:
        message["reasoning_content"] = answer.thought
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
    return head.document("chat.completion", [choice]) | {"usage": answer.usage}


def model_json(agent: Agent, owner: str) -> Json:
    created = int(agent.created_at.timestamp())
    return {"id": agent.name, "object": "model", "created": created, "owned_by": owner}
