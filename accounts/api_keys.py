"""API keys: made once, shown once, stored hashed, never wider than whoever made them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor, OwnLimits
from accounts.audit import Action
from accounts.hot_query import first_row
from accounts.models import ApiKey
from accounts.security import Kind
from agentplatform.lib.errors import Invalid, PermissionDenied
from agentplatform.lib.secrets import new_token, token_hash

PREFIX = "ap_"
VISIBLE_CHARACTERS = 11
USE_IS_NOTED_EVERY = timedelta(minutes=1)
FOUND_FIELDS = (
    "id",
    "name",
    "prefix",
    "hash",
    "scopes",
    "expires_at",
    "revoked_at",
    "last_used_at",
    "user_id",
    "user__username",
    "user__is_active",
    "user__is_superuser",
    "workspace_id",
    "workspace__slug",
    "workspace__audits_reads",
    "workspace__memberships__id",
    "workspace__memberships__role",
    "requests_per_minute",
    "open_requests",
    "user__requests_per_minute",
    "user__open_requests",
    "workspace__requests_per_minute",
    "workspace__open_requests",
)


def create_key(
    actor: Actor,
    name: str,
    scopes: Sequence[str] = (),
    expires_at: datetime | None = None,
    *,
    limits: OwnLimits = OwnLimits(),  # noqa: B008 (a constant)
) -> tuple[ApiKey, str]:
    """A key of the actor in its workspace, and the key's text, which is known only now.

    Raises Invalid for scopes that the actor itself lacks. A key made with a key inherits what limits
    that one: its scopes, where none are given, its end, and its limits.
    """
    missing = sorted(set(scopes) - actor.permissions)
    if missing:
        raise Invalid({"scopes": f"You do not have {', '.join(missing)} yourself; leave it out."})
    if actor.api_key_id:
        scopes = scopes or sorted(actor.permissions)
        expires_at = min(filter(None, [expires_at, actor.expires_at]), default=None)
        limits = narrower(limits, actor.limits.key)
    return store_key(
        user_id=actor.user_id,
        workspace_id=actor.workspace_id,
        name=name,
        scopes=list(scopes),
        expires_at=expires_at,
        **limits._asdict(),
    )


def narrower(wanted: OwnLimits, held: OwnLimits) -> OwnLimits:
    """What is wanted, but nowhere more than is held; 0 is no limit, None nothing of one's own."""
    return OwnLimits(
        *(min(want or most, most) if most else want for want, most in zip(wanted, held, strict=True))
    )


def change_limits(actor: Actor, key: ApiKey, limits: dict[str, int | None]) -> None:
    """Gives a key other limits of its own. A key gives none wider than it has: who holds it could raise its own."""
    wanted = OwnLimits(key.requests_per_minute, key.open_requests)._replace(**limits)
    if actor.api_key_id and narrower(wanted, actor.limits.key) != wanted:
        raise PermissionDenied("An API key cannot give a key wider limits than its own; sign in to do so.")
    with audit.updating(key, audit.key(key)):
        for name, value in limits.items():
            setattr(key, name, value)
        key.save(update_fields=list(limits))


def store_key(**fields: Any) -> tuple[ApiKey, str]:
    """A new key with these fields, and its text."""
    text = new_token(PREFIX)
    with transaction.atomic():
        key = ApiKey.objects.create(prefix=text[:VISIBLE_CHARACTERS], hash=token_hash(text), **fields)
        audit.created(key, audit.key(key))
    return key, text


def revoke_keys(keys: Any) -> int:
    """Ends the keys of a query set; says how many were not ended before."""
    with transaction.atomic():
        ended = list(keys.filter(revoked_at=None).select_for_update(of=("self",)))
        ApiKey.objects.filter(pk__in=[key.pk for key in ended]).update(revoked_at=timezone.now())
        for key in ended:
            audit.record(Action.REVOKED, audit.key(key))
    return len(ended)


def find_key(text: str, now: datetime) -> dict[str, Any] | None:
    """The key that `text` spells, with its user, workspace and role; None where it may not be used."""
    found, fault = examine(text, now)
    return None if fault else found


def examine(text: str, now: datetime) -> tuple[dict[str, Any] | None, Kind | None]:
    """The key that `text` spells, and why it may not be used, if so: for security events, not for the caller."""
    if not (text.startswith(PREFIX) and text.isprintable()):
        return None, Kind.KEY_UNKNOWN
    found = first_row(_rows, "AND accounts_apikey.prefix = %s", [text[:VISIBLE_CHARACTERS]])
    if found is None or not hmac.compare_digest(found["hash"], token_hash(text)):
        return None, Kind.KEY_UNKNOWN
    if is_usable(found, now):
        return found, None
    is_expired = found["expires_at"] is not None and found["expires_at"] <= now
    return found, Kind.KEY_EXPIRED if is_expired and found["revoked_at"] is None else Kind.KEY_REVOKED


def find_key_by_id(key_id: Any, now: datetime) -> dict[str, Any] | None:
    """As `find_key`, for a key that was proved before."""
    found = _rows().filter(pk=key_id).first()
    return found if found and is_usable(found, now) else None


def is_usable(found: dict[str, Any], now: datetime) -> bool:
    is_current = found["expires_at"] is None or found["expires_at"] > now
    return is_current and found["revoked_at"] is None and found["user__is_active"]


def note_use(found: dict[str, Any], now: datetime) -> None:
    """Keeps `last_used_at` to the minute, so that a busy key is not one more write per request."""
    if found["last_used_at"] is None or now - found["last_used_at"] >= USE_IS_NOTED_EVERY:
        ApiKey.objects.filter(pk=found["id"]).update(last_used_at=now)


def _rows() -> Any:
    """Keys with the membership of their user in their workspace; without one there is no row."""
    return ApiKey.objects.filter(workspace__memberships__user=F("user")).order_by().values(*FOUND_FIELDS)
