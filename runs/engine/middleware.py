"""Where a run's graph is watched: around every model call and every tool call.

One instance serves all runs; the run's `Recorder` is the graph's runtime context.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

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
from agents.tools.base import MOST_LEVELS, is_too_deep
from billing import ledger
from billing.models import Outcome
from runs.engine import tool_calls
from runs.engine.faults import RunFault, TimeIsUp
from runs.engine.journal import Fenced, HandedBack, Paused
from runs.engine.messages import as_json, text_of, thought_of
from runs.engine.recorder import Recorder
from runs.events import EventType
from runs.models import ErrorClass, RunStep

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
    """Meters, times out, retries and falls back around model calls; `tool_calls` looks after those of tools."""

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
        return await _ask(recorder, request, handler)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Any]]
    ) -> ToolMessage | Any:
        return await tool_calls.make(cast(Recorder, request.runtime.context), request, handler)


async def _ask(
    recorder: Recorder,
    request: ModelRequest[Any],
    handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse]],
) -> ModelResponse:
    """The answer of the agent's model or of the first of its fallbacks that gives one."""
    fault: ProviderFault | None = None
    for model in recorder.agent.models:
        for retry in range(recorder.agent.specification.config.retries + 1):
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
    recorder.delta_characters = 0

    def settle(outcome: Outcome, tokens: ledger.Tokens) -> None:
        recorder.settle_usage(ledger.settled(context, call_id, tokens, outcome, timezone.now()))

    def partial() -> ledger.Tokens:
        """What a broken call has used, estimated: nothing where nothing had come back."""
        written = ledger.estimate_tokens(recorder.delta_characters)
        return ledger.Tokens(input=estimate.input, output=written) if written else ledger.Tokens()

    try:
        await recorder.open_usage(ledger.opened(context, call_id, estimate, timezone.now()))
    except asyncio.CancelledError:
        # It may have been written, and nobody else would settle it.
        settle(Outcome.CANCELLED, ledger.Tokens())
        raise
    try:
        async with _within_run(recorder), _within(recorder, model.specification.timeout):
            response = await handler(request.override(model=model.chat))
    except (asyncio.CancelledError, TimeIsUp):
        settle(Outcome.CANCELLED, partial())
        raise
    except (Fenced, Paused, HandedBack, RunFault):
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
    """Rids tool calls of what neither a checkpoint nor the next request can hold, and gives each an id of its own.

    By its id a call is approved, claimed and answered: two with one id would share a person's decision.
    """
    taken: set[str] = set()
    for call in answer.tool_calls:
        if is_too_deep(call["args"]):
            levels = f"nested more than {MOST_LEVELS} levels deep"
            raise RunFault(
                ErrorClass.PROVIDER_UNAVAILABLE, f"The model calls a tool with arguments that are {levels}."
            )
        call["args"] = storable(call["args"])
        call_id = call["id"]
        if not call_id or call_id in taken:
            call_id = call["id"] = f"call_{uuid7().hex}"
        taken.add(call_id)


@asynccontextmanager
async def _within_run(recorder: Recorder) -> AsyncIterator[None]:
    """Limits the time to what is left of the run's own."""
    limit = asyncio.timeout(recorder.seconds_left)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if limit.expired():
            raise TimeIsUp from error
        raise


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
