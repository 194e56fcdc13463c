"""Paid calls for embeddings: settled however their task ends."""

from __future__ import annotations

import asyncio
import threading
import uuid
from types import SimpleNamespace

import pytest

from agentplatform.lib.telemetry import metrics
from agents.knowledge import embedding
from agents.metering import Payer, Spent
from agents.providers.embeddings import Embedded
from agents.providers.faults import ProviderFault


def embedder_of(model: str) -> embedding.Embedder:
    spec = SimpleNamespace(provider="openai", model=model, timeout=1)
    return embedding.Embedder(uuid.uuid4(), spec, "", Payer())


def measured(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"agentplatform_{name}", labels)


async def test_measures_calls_by_how_they_end(monkeypatch):
    answers = [Embedded([], {"input_tokens": 7}), ProviderFault("provider_rejected", "No.")]

    async def answer(*_):
        match answers.pop(0):
            case ProviderFault() as fault:
                raise fault
            case embedded:
                return embedded

    monkeypatch.setattr(embedding, "embed", answer)
    monkeypatch.setattr(embedding, "open_call", lambda _: lambda _: None)
    # Whatever models tests before it have named.
    monkeypatch.setattr(metrics, "_models", metrics.Names(1))
    model = {"provider": "openai", "model": "embedder-that-is-measured"}
    await embedding.embedded(embedder_of(model["model"]), ["text"])
    with pytest.raises(ProviderFault):
        await embedding.embedded(embedder_of(model["model"]), ["text"])

    assert measured("model_call_seconds_count", outcome="ok", **model) == 1
    assert measured("model_call_seconds_count", outcome="provider_rejected", **model) == 1
    assert measured("model_tokens_total", direction="input", **model) == 7


async def test_settles_a_call_that_is_cancelled_while_it_is_opened(monkeypatch):
    settled, is_opening, may_open = [], threading.Event(), threading.Event()

    def open_slowly(call):
        is_opening.set()
        may_open.wait(5)
        return settled.append

    monkeypatch.setattr(embedding, "open_call", open_slowly)
    task = asyncio.create_task(embedding.embedded(embedder_of("slow"), ["text"]))
    await asyncio.to_thread(is_opening.wait, 5)
    task.cancel()
    await asyncio.sleep(0)
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert settled == [Spent(ok=False)]
