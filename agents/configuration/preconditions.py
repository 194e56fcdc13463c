"""Optimistic locking: which state of a component somebody has read, by its entity tag (RFC 9110, section 13.1)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.http import parse_etags

from agentplatform.lib.errors import PreconditionFailed, PreconditionRequired
from agents.configuration.sections import Json, StoredSecret

ANY = "*"


def etag_of(document: Json, number: int | None) -> str:
    """A strong tag: another one as soon as anything is different, a secret or a reference's name among it."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), default=_secret)
    fingerprint = hashlib.sha256(canonical.encode()).hexdigest()[:32]
    return f'"{number}-{fingerprint}"' if number else f'"{fingerprint}"'


def _secret(value: Any) -> str:
    assert isinstance(value, StoredSecret)
    return value.id


@dataclass(frozen=True, slots=True)
class Precondition:
    """What a request says of the state that it is meant for. None: nothing."""

    match: tuple[str, ...] | None = None
    none_match: tuple[str, ...] | None = None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Precondition:
        return cls(*(_tags(headers.get(name)) for name in ("If-Match", "If-None-Match")))

    def check(self, etag: str | None, *, required: bool = True) -> None:
        """`etag` is that of what exists, None of nothing. Raises PreconditionFailed and PreconditionRequired."""
        if etag is None:
            if self.match is not None:
                raise PreconditionFailed(
                    "There is nothing that If-Match could name: leave it out to create it."
                )
            return
        if self.none_match is not None and (ANY in self.none_match or etag in self.none_match):
            raise PreconditionFailed("It exists already, which If-None-Match rules out.", etag=etag)
        if self.match is None:
            if required:
                raise PreconditionRequired(
                    f"It exists, so say which state you change: If-Match: {etag}, or * for any.", etag=etag
                )
            return
        if ANY not in self.match and etag not in self.match:
            raise PreconditionFailed(
                f"Somebody has changed it since you have read it: it is {etag} now. Read it again.", etag=etag
            )


def _tags(header: str | None) -> tuple[str, ...] | None:
    """Weak tags never match, nor does what is no tag."""
    return None if header is None else tuple(parse_etags(header))
