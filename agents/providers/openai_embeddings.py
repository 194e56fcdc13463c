"""Embedding models at OpenAI and every endpoint that speaks its protocol: `POST {base_url}/embeddings`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import orjson

from agentplatform.lib.outbound import ResponseTooLarge, read_limited, timeouts
from agents.providers import clients
from agents.providers.base import registry
from agents.providers.embeddings import MOST_DIMENSIONS, Embedded
from agents.providers.faults import ProviderFault
from agents.specification import ModelSpecification

OWN_URL = "https://api.openai.com/v1"
BYTES_A_NUMBER = 32
AROUND = 1_000_000


class EndpointError(Exception):
    """An answer that is an error, in the shape that `faults.classify` reads."""

    def __init__(self, response: Any, body: Any) -> None:
        super().__init__("The endpoint has answered an error.")
        self.response = response
        self.status_code = response.status_code
        self.body = body


async def embed(spec: ModelSpecification, api_key: str, texts: Sequence[str]) -> Embedded:
    base_url = spec.base_url or registry["openai"].own_url() or OWN_URL
    body = {"model": spec.model, "input": list(texts), "encoding_format": "float", **spec.parameters}
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    most = len(texts) * MOST_DIMENSIONS * BYTES_A_NUMBER + AROUND
    request = clients.async_client().stream(
        "POST",
        f"{base_url.rstrip('/')}/embeddings",
        json=body,
        headers=headers,
        timeout=timeouts(spec.timeout),
    )
    async with request as response:
        try:
            data = await read_limited(response, most)
        except ResponseTooLarge as error:
            raise _nonsense() from error
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if response.status_code >= 300:
            raise EndpointError(response, None) from error
        raise _nonsense() from error
    if response.status_code >= 300:
        raise EndpointError(response, answer)
    return Embedded(_vectors(answer, len(texts)), _usage(answer))


def _vectors(answer: Any, count: int) -> list[Sequence[float]]:
    """In the order of the texts, which the answer's own need not be."""
    try:
        found = {entry["index"]: [float(number) for number in entry["embedding"]] for entry in answer["data"]}
        vectors = [found[place] for place in range(count)]
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense() from error
    lengths = {len(vector) for vector in vectors}
    if len(lengths) != 1 or not 0 < lengths.pop() <= MOST_DIMENSIONS:
        raise _nonsense()
    if not all(math.isfinite(sum(vector)) for vector in vectors):
        raise _nonsense()
    return vectors  # type: ignore[return-value]


def _usage(answer: Any) -> dict[str, int]:
    said = answer.get("usage") if isinstance(answer, dict) else None
    tokens = said.get("prompt_tokens") if isinstance(said, dict) else None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens < 1_000_000_000:
        return {}
    return {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}


def _nonsense() -> ProviderFault:
    message = "The endpoint's answer could not be understood. Does it serve embeddings, and of this model?"
    return ProviderFault("provider_unavailable", message, retryable=True)
