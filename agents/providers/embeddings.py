"""The one verb of embedding models: embed. Texts become vectors, near one another where texts mean the same."""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentplatform.lib.errors import InvalidConfig
from agents.providers.base import find
from agents.specification import ModelSpecification

MOST_DIMENSIONS = 4_000
_SPACES = uuid.UUID("7c4c1a52-8f0e-5d6b-9d1c-0c1e5e2f7a10")

Vector = Sequence[float]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector for each text, in order, all of one length; `usage` as in `agents.metering.Spent`."""

    vectors: list[Vector]
    usage: Mapping[str, Any] = field(default_factory=dict)


async def embed(spec: ModelSpecification, api_key: str, texts: Sequence[str]) -> Embedded:
    """Asks the model once for all of `texts`, a batch. Raises InvalidConfig, ProviderFault, or what the client raises
    (`agents.providers.faults.classify` reads it).
    """
    provider = find(spec.provider)
    if not provider.embeddings:
        raise InvalidConfig({"provider": f"{provider.label} has no embedding models."})
    key = api_key or provider.own_key(spec.base_url)
    if provider.needs_key and not key and not spec.base_url:
        remedy = f"Set it, or {provider.key_setting} in the environment."
        raise InvalidConfig({"api_key": f"The model {spec.name!r} has no API key. {remedy}"})
    module = importlib.import_module(provider.embeddings)
    embedded: Embedded = await module.embed(spec, key, texts)
    return embedded


def space_of(spec: ModelSpecification) -> uuid.UUID:
    """What vectors of this model can be compared with: those that the same model has made at the same endpoint."""
    said = [spec.provider, spec.model, spec.base_url.rstrip("/"), spec.parameters.get("dimensions", "")]
    return uuid.uuid5(_SPACES, "\n".join(map(str, said)))
