"""Who acts and from where, as long as a request, a socket's command or a management command is at work."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from accounts.actor import Actor
from accounts.audit.models import Via

PARAMETER = re.compile(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)|<(?:\w+:)?(\w+)>")
ANCHORS = re.compile(r"\\Z|[\^$\\]")


@dataclass(slots=True)
class Trail:
    """What every entry of one request has in common. `told` says of what there are any, by type and id."""

    via: Via = Via.SYSTEM
    address: str = ""
    request_id: str = ""
    method: str = ""
    path: str = ""
    request: Any = None
    actor: Actor | None = None
    told: set[tuple[str, str]] = field(default_factory=set)
    is_refused: bool = False
    """Whether the answer says that nothing was done: a page's refusal, a trial, a repeat."""

    @property
    def user(self) -> Any:
        """Whoever is signed in without being an actor: on pages, and members of no workspace."""
        user = getattr(self.request, "user", None)
        return user if user is not None and user.is_authenticated else None

    @property
    def template(self) -> str:
        """The route's pattern, `/api/v1/agents/{pk}`: paths themselves may name people."""
        match = getattr(self.request, "resolver_match", None)
        return template_of(match.route) if match else self.path


_current: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


def current() -> Trail:
    """The trail of what is at work; of nothing in particular, the platform's own."""
    return _current.get() or Trail()


@contextmanager
def following(trail: Trail) -> Iterator[Trail]:
    """Makes `trail` the current one."""
    token = _current.set(trail)
    try:
        yield trail
    finally:
        _current.reset(token)


@functools.lru_cache(maxsize=2048)
def template_of(route: str) -> str:
    """A pattern of the URL map as people write it."""
    return "/" + ANCHORS.sub("", PARAMETER.sub(r"{\1\2}", route)).lstrip("/")
