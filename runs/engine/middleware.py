"""Where a run's graph is watched: around every model call and every tool call.

One instance serves all runs; the run's `Recorder` is the graph's runtime context.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import structlog
from django.utils import timezone
from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langgraph.prebuilt.tool_node import ToolCallRequest

from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.compiler import CompiledModel
from agents.providers.faults import ProviderFault, classify
from agents.tools.base import MOST_LEVELS, ToolFault, is_too_deep
from billing import ledger
from billing.models import Outcome
from runs.engine.faults import RunFault
from runs.engine.journal import Fenced, Paused
from runs.engine.messages import as_json, content_of, text_of, thought_of
from runs.engine.recorder import Recorder
from runs.events import EventType
from runs.models import ErrorClass, RunStep

logger = structlog.get_logger(__name__)

BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0


class DeltaHandler(AsyncCallbackHandler, _StreamingCallbackHandler):
    """Hands each piece of a model's stream to the recorder, at once and in order.

    Its second base makes chat models stream. LangGraph's own "messages" stream would put a queue between the
    pieces and the events of their step, which could then overtake them.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(chunk, ChatGenerationChunk):
            return
        message = chunk.message
        if thought := thought_of(message):
            await self.recorder.delta(EventType.THOUGHT_DELTA, thought)
        if text := text_of(message):
            await self.recorder.delta(EventType.CONTENT_DELTA, text)

    def tap_output_aiter(self, run_id: UUID, output: Any) -> Any:
        return output

    def tap_output_iter(self, run_id: UUID, output: Any) -> Any:
        return output


class RunMiddleware(AgentMiddleware[Any, Any]):
    """Meters, times out, retries and falls back around model calls; reports and contains tool calls."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        recorder = cast(Recorder, request.runtime.context)
        config = recorder.agent.specification.config
        limit = min(config.max_steps, recorder.run.limits.get("max_steps") or config.max_steps)
        if recorder.model_steps >= limit:
            message = f"The agent has made {limit} model calls without coming to an end (max_steps)."
            raise RunFault(ErrorClass.MAX_STEPS, message)
        recorder.model_steps += 1
        recorder.enter_step(RunStep.StepType.MODEL, "model")
        fault: ProviderFault | None = None
        for model in recorder.agent.models:
            for retry in range(config.retries + 1):
                if fault:
                    await _wait_before_repeat(recorder, model, fault, retry)
                try:
                    return await _call(recorder, model, request, handler)
                except ProviderFault as error:
                    fault = error
                if not fault.retryable:
                    break
        assert fault is not None
        raise RunFault(ErrorClass(fault.error_class), fault.message)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Any]]
    ) -> ToolMessage | Any:
        recorder = cast(Recorder, request.runtime.context)
        call = request.tool_call
        # Its neighbours may be at work already; pausing would break them off.
        is_first = not recorder.is_in_step(RunStep.StepType.TOOL)
        step = recorder.enter_step(RunStep.StepType.TOOL, "tools")
        head = {"tool": call["name"], "call_id": call["id"]}
        await recorder.announce(
            EventType.TOOL_CALL_STARTED, {"args": call["args"], **head}, at_safe_point=is_first
        )
        started = time.monotonic()
        message = await _contain(handler, request)
        duration = round(time.monotonic() - started, 3)
        step.messages.append(as_json(message))
        if message.status == "error":
            recorder.emit(EventType.TOOL_CALL_FAILED, {**head, "error": message.text, "duration": duration})
        else:
            recorder.emit(
                EventType.TOOL_CALL_COMPLETED, {**head, "result": content_of(message), "duration": duration}
            )
        return message


async def _call(
    recorder: Recorder,
    model: CompiledModel,
    request: ModelRequest[Any],
    handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse]],
) -> ModelResponse:
    """One model call, opened in the ledger before it is made and settled however it ends."""
    context = recorder.call_context(model.specification)
    call_id = uuid7()
    await ledger.prefetch(context.workspace_id, context.provider, context.model)
    estimate = ledger.Tokens(input=ledger.estimate_tokens(sum(len(item.text) for item in request.messages)))
    await recorder.open_usage(ledger.opened(context, call_id, estimate, timezone.now()))
    recorder.delta_characters = 0

    def settle(outcome: Outcome, tokens: ledger.Tokens) -> None:
        recorder.settle_usage(ledger.settled(context, call_id, tokens, outcome, timezone.now()))

    def partial() -> ledger.Tokens:
        """What a broken call has used, estimated: nothing where nothing had come back."""
        written = ledger.estimate_tokens(recorder.delta_characters)
        return ledger.Tokens(input=estimate.input, output=written) if written else ledger.Tokens()

    try:
        async with _within(recorder, model.specification.timeout):
            response = await handler(request.override(model=model.chat))
    except asyncio.CancelledError:
        settle(Outcome.CANCELLED, partial())
        raise
    except (Fenced, Paused, RunFault):
        raise
    except Exception as error:
        fault = classify(error)
        settle(Outcome.FAILED, partial())
        raise fault from error
    estimate = ledger.Tokens(input=estimate.input, output=ledger.estimate_tokens(recorder.delta_characters))
    _report(recorder, response.result, estimate, settle)
    return response


def _report(
    recorder: Recorder,
    messages: list[BaseMessage],
    estimate: ledger.Tokens,
    settle: Callable[[Outcome, ledger.Tokens], None],
) -> None:
    answer = next(message for message in messages if isinstance(message, AIMessage))
    usage = answer.usage_metadata
    # Where the endpoint does not say, an estimate is better than a free call.
    tokens = ledger.Tokens.from_usage_metadata(dict(usage) if usage else None) or estimate
    settle(Outcome.OK, tokens)
    _clean_calls(answer)
    step = recorder.enter_step(RunStep.StepType.MODEL, "model")
    step.messages.append(as_json(answer))
    step.response = answer.text
    step.metrics = {
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
    }


def _clean_calls(answer: AIMessage) -> None:
    """Rids the arguments of tool calls of what neither a checkpoint nor the next request can hold."""
    for call in answer.tool_calls:
        if is_too_deep(call["args"]):
            levels = f"nested more than {MOST_LEVELS} levels deep"
            raise RunFault(
                ErrorClass.PROVIDER_UNAVAILABLE, f"The model calls a tool with arguments that are {levels}."
            )
        call["args"] = storable(call["args"])


@asynccontextmanager
async def _within(recorder: Recorder, seconds: float) -> Any:
    """Limits the time without any progress: a model may write for long, but not be silent for long."""
    loop = asyncio.get_running_loop()
    recorder.delta_seen_at = time.monotonic()
    async with asyncio.timeout(seconds) as limit:

        def look() -> asyncio.TimerHandle:
            """Moves the limit on when there was progress, and looks again shortly before it."""
            if recorder.waits_for_journal:
                # The silence is ours, not the model's.
                recorder.delta_seen_at = time.monotonic()
            left = seconds - (time.monotonic() - recorder.delta_seen_at)
            if left > 0:
                limit.reschedule(loop.time() + left)
            watch[0] = loop.call_later(max(0.05, left * 0.9), look)
            return watch[0]

        watch: list[asyncio.TimerHandle] = [loop.call_later(seconds * 0.9, look)]
        try:
            yield
        finally:
            watch[0].cancel()


async def _wait_before_repeat(
    recorder: Recorder, model: CompiledModel, fault: ProviderFault, retry: int
) -> None:
    """Says that the call is made again, and waits: as long as the provider asks, else longer each time."""
    backoff = BACKOFF_SECONDS * 2 ** max(0, retry - 1) * random.uniform(0.8, 1.2)  # noqa: S311
    delay = 0.0 if retry == 0 else min(fault.retry_after or backoff, LONGEST_WAIT_SECONDS)
    recorder.emit(
        EventType.RETRYING,
        {
            "reason": fault.error_class,
            "message": fault.message,
            "retry": retry,
            "delay": round(delay, 3),
            "model": model.specification.name,
        },
    )
    await asyncio.sleep(delay)


async def _contain(
    handler: Callable[[ToolCallRequest], Awaitable[Any]], request: ToolCallRequest
) -> ToolMessage:
    """A tool's failure is the model's to deal with, never the run's end."""
    try:
        message = await handler(request)
        if isinstance(message, ToolMessage):
            return message
        text = f"The tool {request.tool_call['name']!r} answered in a form that is not supported."
    except (Fenced, Paused, RunFault):
        raise
    except ToolFault as fault:
        text = fault.message
    except Exception as error:
        logger.warning("tool_call_failed", tool=request.tool_call["name"], error=repr(error)[:500])
        text = f"The tool {request.tool_call['name']!r} failed: {type(error).__name__}."
    return ToolMessage(
        content=text, tool_call_id=request.tool_call["id"], name=request.tool_call["name"], status="error"
    )
