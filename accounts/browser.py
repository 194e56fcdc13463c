"""Pages of ours that call the API from a browser: the session cookie in place of a token.

A browser sends its cookies with every request, whoever has caused it. So what changes something needs the token
against request forgery in a header, and its Origin has to be ours; no other site may read the answer of what does not,
because the API allows no credentials across origins.
"""

from __future__ import annotations

from copy import copy
from types import SimpleNamespace
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware

from agentplatform.lib.errors import PermissionDenied

FORGED = (
    "A request that is signed in by a cookie needs the header X-CSRFToken, with the value of the cookie {cookie},"
    " from a page of this site. Programs send a token or an API key instead."
)


def _nothing(request: HttpRequest) -> HttpResponse:
    """The view that the check believes to stand before."""
    return HttpResponse()


class _ForgeryCheck(CsrfViewMiddleware):
    """Django's check, which answers why it refuses."""

    def __init__(self) -> None:
        super().__init__(_nothing)

    def _reject(self, request: HttpRequest, reason: str) -> Any:
        return reason


def has_session(request: HttpRequest) -> bool:
    return settings.SESSION_COOKIE_NAME in request.COOKIES


def session_of(key: str | None) -> tuple[Any, SessionStore]:
    """The user that a session belongs to, anonymous where there is none, and the session."""
    session = SessionStore(session_key=key)
    return get_user(SimpleNamespace(session=session)), session  # type: ignore[arg-type]


def refuse_forged(request: HttpRequest) -> None:
    """Raises PermissionDenied unless a page of ours has sent this request, whatever its method is."""
    if not request.headers.get("X-CSRFToken"):
        raise PermissionDenied(FORGED.format(cookie=settings.CSRF_COOKIE_NAME))
    # A copy, as one of a method that sends no form: the token stands in the header, and the body stays unread.
    probe = copy(request)
    probe.method = "PUT"
    probe.META = dict(request.META)
    check = _ForgeryCheck()
    check.process_request(probe)
    if check.process_view(probe, _nothing, (), {}) is not None:
        raise PermissionDenied(FORGED.format(cookie=settings.CSRF_COOKIE_NAME))
