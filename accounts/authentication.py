"""Who calls: from a token, an API key, a ticket or a session to an `Actor`.

    Authorization: Bearer <JWT or API key>      X-API-Key: <key>      X-Workspace: <slug>

Without either, a page of ours is known by its session cookie (`accounts.browser`). Everything but that is free of any
framework, so that REST, server-sent events and sockets decide alike. The functions are sync (they query the database);
async code calls them in one `sync_to_async`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts import api_keys, audit, browser, limits, tickets, tokens
from accounts.actor import Actor
from accounts.actors import (
    actor_in,
    bind_to_logs,
    first_member,
    key_actor,
    member_actor,
    members,
    user_of_row,
)
from accounts.models import User
from accounts.permissions import NO_WORKSPACE
from accounts.security import Kind, note
from accounts.throttling import client_address
from agentplatform.lib.errors import NotAuthenticated, NotFound, PermissionDenied
from agentplatform.lib.ids import as_uuid

BAD_KEY = "The API key is not valid, has expired or was revoked."
BAD_TICKET = "The ticket is not valid, has expired or was used before. Ask /auth/ticket for another."
IN_URL = "A credential in the URL is refused, as URLs are logged. Send it in a header, or use a ticket."
NAMES_OF_CREDENTIALS = frozenset({"token", "access_token", "jwt", "authorization"})
FORMS_OF_CREDENTIALS = (api_keys.PREFIX, "eyJ")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class Identity(NamedTuple):
    """Who is signed in; without an actor, if that user is a member of no workspace."""

    user: User
    actor: Actor | None


def actor_from_request(request: HttpRequest, *, has_effect: bool = False, rate: str = "") -> Actor:
    """Who sends a request, counted for its limits, and for those of `rate` by address.

    Raises NotAuthenticated, PermissionDenied, NotFound for the workspace, or RateLimited. `has_effect` says so of a GET
    that changes something: links of other sites must not cause it.
    """
    actor = uncounted_actor(request, has_effect=has_effect)
    limits.admit(request, actor, rate)
    return actor


def uncounted_actor(request: HttpRequest, *, has_effect: bool = False) -> Actor:
    """The same for who counts the request as soon as it knows what is asked (`limits.admit`)."""
    actor = _acting(identify_request(request, has_effect=has_effect))
    request.actor = actor  # type: ignore[attr-defined]
    return actor


def identify_request(
    request: HttpRequest, workspace: str = "", *, has_effect: bool = False
) -> Identity | None:
    """Who sends a request, by its headers or by the session cookie; None without credentials."""
    address = client_address(request)
    refuse_credentials_in_url(request.GET, address)
    if request.headers.keys() & {"Authorization", "X-Api-Key"} or not browser.has_session(request):
        return identify(request.headers, address, workspace)
    identity = _from_cookie(request, workspace or request.headers.get("x-workspace", ""), address)
    if identity is None:
        return None
    if has_effect or request.method not in SAFE_METHODS:
        try:
            browser.refuse_forged(request)
        except PermissionDenied:
            note(Kind.FORGED_REQUEST, address, f"user:{identity.user.pk}")
            raise
    audit.current().via = audit.Via.BROWSER
    if identity.actor is not None:
        bind_to_logs(identity.actor)
    return identity


def actor_from_headers(headers: Mapping[str, str], address: str) -> Actor:
    """The actor of a request's headers (lower-case names), as `actor_from_request`."""
    return _acting(identify(headers, address))


def _acting(identity: Identity | None) -> Actor:
    if identity is None:
        raise NotAuthenticated()
    if identity.actor is None:
        raise PermissionDenied(NO_WORKSPACE)
    return identity.actor


def identify(headers: Mapping[str, str], address: str, workspace: str = "") -> Identity | None:
    """Who sends these headers, acting in `workspace` or X-Workspace; None without credentials."""
    slug = workspace or headers.get("x-workspace", "")
    scheme, _, token = headers.get("authorization", "").partition(" ")
    credential = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    if not credential:
        return None
    is_token = scheme.lower() == "bearer" and not credential.startswith(api_keys.PREFIX)
    identity = _from_token(credential, slug, address) if is_token else _from_key(credential, slug, address)
    if identity.actor is not None:
        bind_to_logs(identity.actor)
    return identity


def actor_from_ticket(text: str, address: str = "") -> Actor:
    """The actor that a ticket was issued to; the ticket is used up. Raises NotAuthenticated."""
    taken = tickets.take_ticket(text)
    if taken is None:
        raise NotAuthenticated(BAD_TICKET)
    if taken.api_key_id:
        key = api_keys.find_key_by_id(taken.api_key_id, timezone.now())
        actor = key_actor(key, address) if key else None
    else:
        found = members().filter(pk=taken.membership_id, user__is_active=True).first()
        actor = member_actor(found, address, taken.credential_expires_at) if found else None
    if actor is None:
        raise NotAuthenticated(BAD_TICKET)
    return bind_to_logs(actor)


def actor_from_session(user: Any, workspace_id: UUID, address: str = "") -> Actor:
    """The actor of somebody signed in to the admin. Superusers act as admins everywhere.

    Raises NotAuthenticated, or NotFound for a workspace that is not the user's.
    """
    if not user.is_authenticated:
        raise NotAuthenticated()
    actor = actor_in(user.pk, workspace_id, address, may_be_superuser=True)
    if actor is None:
        raise NotFound("Workspace", workspace_id)
    return bind_to_logs(actor)


def refresh(actor: Actor) -> Actor | None:
    """The actor as it may act now; None once its membership, key, user or password is gone. For sockets."""
    now = timezone.now()
    if actor.expires_at and actor.expires_at <= now:
        return None
    if actor.api_key_id:
        key = api_keys.find_key_by_id(actor.api_key_id, now)
        return key_actor(key, actor.address) if key else None
    fresh = actor_in(
        actor.user_id, actor.workspace_id, actor.address, may_be_superuser=actor.membership_id is None
    )
    if fresh is None or actor.fingerprint not in ("", fresh.fingerprint):
        return None
    return replace(fresh, expires_at=actor.expires_at)


def refuse_credentials_in_url(query: Mapping[str, Any], address: str = "") -> None:
    """Raises NotAuthenticated where a query string holds a token or key, told by its name or its form."""
    for name, value in query.items():
        if name.lower() in NAMES_OF_CREDENTIALS or str(value).startswith(FORMS_OF_CREDENTIALS):
            note(Kind.CREDENTIAL_IN_URL, address)
            raise NotAuthenticated(IN_URL)


def _from_key(text: str, slug: str, address: str) -> Identity:
    now = timezone.now()
    found, fault = api_keys.examine(text, now)
    if found is None or fault:
        note(fault or Kind.KEY_UNKNOWN, address, f"key:{found['id']}" if found else "")
        raise NotAuthenticated(BAD_KEY)
    if slug and slug != found["workspace__slug"]:
        raise _foreign(slug, address, f"key:{found['id']}")
    api_keys.note_use(found, now)
    return Identity(user_of_row(found), key_actor(found, address))


def _from_token(text: str, slug: str, address: str) -> Identity:
    token = tokens.read_access(text)
    found = first_member(as_uuid(token.get("user_id")), slug)
    if found is None:
        user = tokens.user_of(token)
        if slug:
            raise _foreign(slug, address, f"user:{user.pk}")
        return Identity(user, None)
    is_current = token.get("hash_password") == tokens.fingerprint_of(found["user__password"])
    if not is_current or not found["user__is_active"]:
        raise NotAuthenticated(tokens.EXPIRED_OR_FALSE)
    return Identity(user_of_row(found), member_actor(found, address, tokens.end_of(token)))


def _foreign(slug: str, address: str, subject: str) -> NotFound:
    """The error for a workspace that is not the caller's, wherever it is."""
    note(Kind.FOREIGN_WORKSPACE, address, subject)
    return NotFound("Workspace", slug)


def _from_cookie(request: HttpRequest, slug: str, address: str) -> Identity | None:
    """The member whose session this is; None where it has ended, as without a cookie."""
    user, session = browser.session_of(request.COOKIES[settings.SESSION_COOKIE_NAME])
    if not user.is_authenticated:
        return None
    found = first_member(user.pk, slug)
    if found is None:
        if slug:
            raise _foreign(slug, address, f"user:{user.pk}")
        return Identity(user, None)
    return Identity(user, member_actor(found, address, session.get_expiry_date()))


class ActorAuthentication(BaseAuthentication):
    """Django REST framework's way in: `request.user` is the user, `request.auth` the actor (or None).

    In a route with `<workspace>` in its path, that workspace is the one acted in.
    """

    def authenticate(self, request: Request) -> Identity | None:
        sent = request._request
        workspace = request.parser_context.get("kwargs", {}).get("workspace", "")
        identity = identify_request(sent, workspace)
        if identity is not None:
            sent.actor = identity.actor  # type: ignore[attr-defined]
            if identity.actor is not None:
                limits.admit(sent, identity.actor)
        return identity

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'
