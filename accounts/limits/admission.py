"""Whether a caller is let in: one round trip to the cache for its own rates, one more where its workspace is limited.

Everything that a user does counts for the user, whatever credential it comes with, so that more API keys bring
nothing; what comes with a key counts for the key too, and all of it for the workspace.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

from django.conf import settings
from django.http import HttpRequest

from accounts.actor import Actor, OwnLimits
from accounts.limits import open_requests
from accounts.limits.open_requests import OpenPolicy, OpenUse, opened
from accounts.limits.rates import Policy, Rate, Use, rate_of, refuse_beyond, used
from agentplatform.lib.addresses import source_of
from agentplatform.lib.request_end import Scope, end_of

# The names of the limit that all members of a workspace share, and of the one that belongs to a credential.
SHARED, KEY = "workspace", "key"


class Limited(NamedTuple):
    """What the limits have counted of a request, for its answer's header fields."""

    uses: list[Use]
    open_uses: list[OpenUse]


def admit(request: HttpRequest, actor: Actor, scope: str = "") -> None:
    """Counts a request, besides under `scope` by its address. Raises RateLimited."""
    counted = Limited([], [])
    request.limited = counted  # type: ignore[attr-defined]
    _count(policies_of(actor, scope), counted)
    _hold(actor, getattr(request, "scope", None), counted)


def admit_socket(scope: Scope, actor: Actor) -> None:
    """The same of a socket, which is one request, open for as long as it lives. Raises RateLimited."""
    counted = Limited([], [])
    _count(policies_of(actor), counted)
    _hold(actor, scope, counted)


def _count(policies: list[Policy], counted: Limited) -> None:
    """Counts what is one's own first: what that refuses does not use up what is shared. Raises RateLimited."""
    for is_shared in (False, True):
        counted.uses.extend(used([one for one in policies if (one.name == SHARED) is is_shared]))
        refuse_beyond(counted.uses)


def policies_of(actor: Actor, scope: str = "") -> list[Policy]:
    """The rates that hold for an actor, and for its address under `scope`."""
    found = [
        Policy(name, rate, key)
        for name, key, own in _subjects(actor)
        if (rate := _rate(name, own)) is not None
    ]
    if scope and (rate := rate_of(scope)):
        found.append(Policy(scope, rate, source_of(actor.address)))
    return found


def open_policies_of(actor: Actor) -> list[OpenPolicy]:
    """How many requests of an actor may be open at once."""
    defaults = settings.OPEN_REQUESTS
    found = []
    for name, key, own in _subjects(actor):
        maximum = defaults[name] if own.open_requests is None else own.open_requests
        if name == KEY and defaults[name]:
            maximum = min(maximum or defaults[name], defaults[name])
        if maximum:
            found.append(OpenPolicy(f"{name}-open", maximum, f"{name}:{key}"))
    return found


def _subjects(actor: Actor) -> list[tuple[str, str, OwnLimits]]:
    """Who is limited: name of the limit, id, and the limits of its own."""
    found = [
        ("user", str(actor.user_id), actor.limits.user),
        (SHARED, str(actor.workspace_id), actor.limits.workspace),
    ]
    if actor.api_key_id:
        found.append((KEY, str(actor.api_key_id), actor.limits.key))
    return found


def _rate(name: str, own: OwnLimits) -> Rate | None:
    """One's own rate instead of the platform's. Who has a key sets its limits: they only narrow the platform's."""
    platform = rate_of(name)
    if own.requests_per_minute is None:
        return platform
    wanted = Rate(own.requests_per_minute, 60) if own.requests_per_minute else None
    if name == KEY and platform and (wanted is None or _per_second(wanted) > _per_second(platform)):
        return platform
    return wanted


def _per_second(rate: Rate) -> Fraction:
    return Fraction(rate.uses, rate.seconds)


def _hold(actor: Actor, scope: Any, counted: Limited) -> None:
    """Keeps the request counted as open until it ends."""
    end = end_of(scope)
    policies = open_policies_of(actor) if end else []
    if end is None or not policies:
        return
    uses, close = opened(policies)
    counted.open_uses.extend(uses)
    end.call(close)
    open_requests.refuse_beyond(uses)
