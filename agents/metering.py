"""Who accounts for calls of models that no run's engine makes: tests, and embeddings.

Such a call costs money, and this room knows no ledger: the room that does registers a `Meter`, and no call is made
without one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.specification import ModelSpecification


@dataclass(frozen=True, slots=True)
class Payer:
    """In whose name a call is made; an API key is named where one was used."""

    user_id: uuid.UUID | None = None
    username: str = ""
    api_key_id: uuid.UUID | None = None
    api_key_name: str = ""


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that is about to be made. `characters` are those that are sent."""

    workspace_id: uuid.UUID
    payer: Payer
    model: ModelSpecification
    characters: int


@dataclass(frozen=True, slots=True)
class Spent:
    """How it went: whether it was answered, what the endpoint says of its use, and how many characters came back.

    `usage` is as LangChain has it, `{"input_tokens", "output_tokens", …}`; empty where the endpoint says nothing.
    """

    ok: bool
    usage: Mapping[str, Any] = field(default_factory=dict)
    characters: int = 0


class Meter(Protocol):
    """Is called before the call is made; what it answers is called with how it went. Both use the database."""

    def __call__(self, call: PaidCall) -> Callable[[Spent], None]: ...


class _Unmetered:
    def __call__(self, call: PaidCall) -> Callable[[Spent], None]:
        raise RuntimeError("Nobody accounts for calls: register a meter with metering.account_with(meter).")


_meter: Meter = _Unmetered()


def account_with(meter: Meter) -> None:
    """Registers what accounts for all of these calls."""
    global _meter
    _meter = meter


def open_call(call: PaidCall) -> Callable[[Spent], None]:
    """Opens the call in the ledger; what it answers settles it."""
    return _meter(call)
