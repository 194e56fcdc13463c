"""Has texts embedded by a model of the workspace: metered, limited in time, asked again after faults that may pass."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import BudgetExceeded
from agents.metering import PaidCall, Payer, Spent, open_call
from agents.models import KnowledgeBase
from agents.pinned import parse_config, parse_model, secret_values
from agents.providers.base import find
from agents.providers.embeddings import Embedded, Vector, embed, space_of
from agents.providers.faults import ProviderFault, classify, redact
from agents.providers.observed import embeddings_call
from agents.specification import ModelSpecification

RETRIES = 2
BACKOFF_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 20.0
Settle = Callable[[Spent], None]


@dataclass(frozen=True, slots=True)
class Embedder:
    """An embedding model as it is now, with its key, and in whose name it is asked."""

    workspace_id: uuid.UUID
    spec: ModelSpecification
    key: str
    payer: Payer

    @property
    def space(self) -> uuid.UUID:
        """Vectors of one space can be compared with one another."""
        return space_of(self.spec)


def embedder_of(base: KnowledgeBase, payer: Payer) -> Embedder | None:
    """That of a knowledge base; None: it has none, or it is disabled."""
    model = base.embedding_model
    if model is None or not model.enabled or model.version is None:
        return None
    spec = parse_model(model.version, parse_config({}))
    secrets = secret_values(base.workspace_id, [spec.secret] if spec.secret else [])
    key = secrets.get(spec.secret, "") if spec.secret else find(spec.provider).own_key(spec.base_url)
    return Embedder(base.workspace_id, spec, key, payer)


async def embedded(embedder: Embedder, texts: Sequence[str], *, retries: int = RETRIES) -> list[Vector]:
    """A vector for each text. Raises ProviderFault."""
    for attempt in range(retries + 1):
        try:
            return await _once(embedder, texts)
        except ProviderFault as fault:
            if attempt == retries or not fault.retryable:
                raise
            wait = fault.retry_after or BACKOFF_SECONDS * 2**attempt
        await asyncio.sleep(min(wait, LONGEST_WAIT_SECONDS))
    raise AssertionError("unreachable")


async def _once(embedder: Embedder, texts: Sequence[str]) -> list[Vector]:
    characters = sum(map(len, texts))
    call = PaidCall(embedder.workspace_id, embedder.payer, embedder.spec, characters)
    try:
        settle = await _open(call)
    except BudgetExceeded as error:
        raise ProviderFault("budget_exceeded", error.message) from error
    spent = Spent(ok=False)
    try:
        with embeddings_call(embedder.spec) as observed:
            answer = await _answer(embedder, texts)
            observed.answered(answer.usage)
        spent = Spent(True, answer.usage)
        return answer.vectors
    finally:
        # Money is not lost where the task is cancelled meanwhile.
        await asyncio.shield(in_thread(settle, spent))


async def _answer(embedder: Embedder, texts: Sequence[str]) -> Embedded:
    """What the model says. Raises ProviderFault, without the key in its message."""
    try:
        async with asyncio.timeout(embedder.spec.timeout):
            return await embed(embedder.spec, embedder.key, texts)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        fault = classify(error)
        raise ProviderFault(
            fault.error_class,
            redact(fault.message, embedder.key),
            retryable=fault.retryable,
            retry_after=fault.retry_after,
        ) from error


async def _open(call: PaidCall) -> Settle:
    """Opens the call, which nobody else would settle where the task is cancelled meanwhile."""
    opening = asyncio.ensure_future(in_thread(open_call, call))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.shield(_settle_unmade(opening))
        raise


async def _settle_unmade(opening: asyncio.Future[Settle]) -> None:
    with suppress(Exception):  # It was not opened then.
        settle = await opening
        await in_thread(settle, Spent(ok=False))
