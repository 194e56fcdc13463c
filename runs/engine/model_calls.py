"""One model call of a run: metered, limited in time, retried and replaced by a fallback, whoever asks for it.

An agent's middleware asks with its request, a node of a workflow with its prompt; both give the `Question` that says
how the call is made, and get the answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.utils import timezone
from langchain_core.messages import AIMessage, BaseMessage

from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from agents.compiler import CompiledModel
from agents.providers.faults import ProviderFault, classify
from agents.tools.base import MOST_LEVELS, is_too_deep
from billing import ledger
from billing.models import Outcome, UsageRecord
from runs.engine import observed
from runs.engine.answer_cache import AnswerCache
from runs.engine.faults import NoRoom, RunFault, TimeIsUp
from runs.engine.journal import Fenced, HandedBack, Paused
from runs.engine.messages import as_json, finish_reason
from runs.engine.recorder import Recorder, Step
from runs.events import EventType
from runs.models import ErrorClass

BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 30.0
LONGEST_WAIT_FOR_NEIGHBOURS_SECONDS = 120.0
Settle = Callable[[Outcome, ledger.Tokens], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Question(Generic[Answer]):
    """What is asked. `ask` calls one model, `said` reads the messages of its answer."""

    messages: Sequence[BaseMessage]
    retries: int
    """Further attempts of one model after a fault that may pass."""
    ask: Callable[[CompiledModel], Awaitable[Answer]]
    said: Callable[[Answer], Sequence[BaseMessage]]
    cache: AnswerCache[Answer] | None = None
    """None: each question is asked anew."""


async def ask(
    recorder: Recorder, step: Step, models: Sequence[CompiledModel], question: Question[Answer]
) -> Answer:
    """The answer of the first model that gives one. Raises RunFault where none does."""
    fault: ProviderFault | None = None
    for model in models:
        for retry in range(question.retries + 1):
            if fault:
                await _wait_before_repeat(recorder, step, model, fault, retry)
            try:
                return await _call(recorder, step, model, question)
            except ProviderFault as error:
                fault = error
            if not fault.retryable:
                break
    assert fault is not None
    raise RunFault(ErrorClass(fault.error_class), fault.message)


async def _call(recorder: Recorder, step: Step, model: CompiledModel, question: Question[Answer]) -> Answer:
    """One model call, opened in the ledger before it is made and settled however it ends."""
    context = recorder.call_context(model.specification)
    call_id = uuid7()
    await ledger.prefetch(context.workspace_id, context.provider, context.model)
    if question.cache and (kept := await question.cache.find(model)):
        return await _give_again(
            recorder, step, question, kept, ledger.answered_from_cache(context, call_id, timezone.now())
        )
    estimate = ledger.Tokens(input=ledger.estimate_tokens(sum(len(item.text) for item in question.messages)))
    step.delta_characters = 0

    def settle(outcome: Outcome, tokens: ledger.Tokens) -> None:
        recorder.settle_usage(step, ledger.settled(context, call_id, tokens, outcome, timezone.now()))

    def partial() -> ledger.Tokens:
        """What a broken call has used, estimated: nothing where nothing had come back."""
        written = ledger.estimate_tokens(step.delta_characters)
        return ledger.Tokens(input=estimate.input, output=written) if written else ledger.Tokens()

    most = model.specification.parameters.get("max_tokens")
    record = ledger.opened(context, call_id, estimate, timezone.now(), most)
    while not await _open(recorder, step, record, settle):
        await _wait_for_neighbours(recorder, step)
    with observed.chat_call(model.specification) as call:
        try:
            with _first_token_timed(step, call):
                async with _within_run(recorder), _within(step, model.specification.timeout):
                    answer = await question.ask(model)
        except (asyncio.CancelledError, TimeIsUp):
            settle(Outcome.CANCELLED, partial())
            raise
        except (Fenced, Paused, HandedBack, RunFault):
            raise
        except Exception as error:
            fault = classify(error)
            settle(Outcome.FAILED, partial())
            raise fault from error
        estimate = ledger.Tokens(input=estimate.input, output=ledger.estimate_tokens(step.delta_characters))
        # Where a node asks twice, that of its first call.
        first_token = step.metrics.get("time_to_first_token", call.first_token)
        tokens = _report(step, question.said(answer), estimate, settle)
        if first_token is not None:
            step.metrics["time_to_first_token"] = first_token
        call.answered(tokens, step.metrics["finish_reason"])
    if question.cache:
        await question.cache.keep(model, answer)
    return answer


@contextmanager
def _first_token_timed(step: Step, call: observed.ChatCall) -> Iterator[None]:
    """Tells when the first token came, also of an answer that breaks off later."""
    step.begin_call()
    began = time.monotonic()
    try:
        yield
    finally:
        if step.first_token_at is not None:
            call.began_to_answer(round(step.first_token_at - began, 3))


async def _open(recorder: Recorder, step: Step, record: UsageRecord, settle: Settle) -> bool:
    """Opens the call. False where a budget has no room for it and the run is to rest once its neighbours have ended.

    Raises RunFault where the budget blocks.
    """
    is_safe = recorder.is_safe(step)
    try:
        await recorder.open_usage(step, record)
    except (Paused, HandedBack):
        raise
    except Fenced:
        # Of a fenced attempt openings are written, but at a safe point.
        if not is_safe:
            settle(Outcome.CANCELLED, ledger.Tokens())
        raise
    except NoRoom as refused:
        if not refused.shortfall.pauses:
            raise RunFault(ErrorClass.BUDGET_EXCEEDED, refused.shortfall.message) from refused
        return False
    except (Exception, asyncio.CancelledError):
        # It may have been written, and nobody else would settle it.
        settle(Outcome.CANCELLED, ledger.Tokens())
        raise
    return True


async def _wait_for_neighbours(recorder: Recorder, step: Step) -> None:
    """Until the run can rest: pausing it now would break off what the other nodes of the step are doing."""
    try:
        async with asyncio.timeout(LONGEST_WAIT_FOR_NEIGHBOURS_SECONDS):
            while not recorder.is_safe(step):
                await asyncio.sleep(0.1)
    except TimeoutError as error:
        message = "A budget has no room for a model call, and the nodes beside it do not come to their end."
        raise RunFault(ErrorClass.BUDGET_EXCEEDED, message) from error


async def _give_again(
    recorder: Recorder, step: Step, question: Question[Answer], kept: Answer, record: UsageRecord
) -> Answer:
    """An answer that the model has given before, told as a whole."""
    said = _answer_in(question.said(kept))
    await recorder.delta(EventType.CONTENT_DELTA, said.text)
    recorder.settle_usage(step, record)
    step.messages.append(as_json(said))
    step.response = said.text
    step.metrics = {
        "input_tokens": 0,
        "output_tokens": 0,
        "total_tokens": 0,
        "cached": True,
        "finish_reason": finish_reason(said),
    }
    return kept


def _answer_in(messages: Sequence[BaseMessage]) -> AIMessage:
    return next(message for message in messages if isinstance(message, AIMessage))


def _report(
    step: Step,
    messages: Sequence[BaseMessage],
    estimate: ledger.Tokens,
    settle: Settle,
) -> ledger.Tokens:
    """Writes down what the model has said; answers what that has used."""
    answer = _answer_in(messages)
    usage = answer.usage_metadata
    # Where the endpoint does not say, an estimate is better than a free call.
    tokens = ledger.Tokens.from_usage_metadata(dict(usage) if usage else None) or estimate
    settle(Outcome.OK, tokens)
    _clean_calls(answer)
    step.messages.append(as_json(answer))
    step.response = answer.text
    # A node may ask twice.
    read, written = (
        step.metrics.get(f"{way}_tokens", 0) + count
        for way, count in (("input", tokens.input), ("output", tokens.output))
    )
    step.metrics = {
        "input_tokens": read,
        "output_tokens": written,
        "total_tokens": read + written,
        "finish_reason": finish_reason(answer),
    }
    return tokens


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
async def _within(step: Step, seconds: float) -> Any:
    """Limits the time without any progress: a model may write for long, but not be silent for long."""
    loop = asyncio.get_running_loop()
    step.delta_seen_at = time.monotonic()
    async with asyncio.timeout(seconds) as limit:

        def look() -> asyncio.TimerHandle:
            """Moves the limit on when there was progress, and looks again shortly before it."""
            if step.waits_for_journal:
                # The silence is ours, not the model's.
                step.delta_seen_at = time.monotonic()
            left = seconds - (time.monotonic() - step.delta_seen_at)
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
    recorder: Recorder, step: Step, model: CompiledModel, fault: ProviderFault, retry: int
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
        step=step,
    )
    await asyncio.sleep(delay)
