"""An attempt to sign in at a provider, from its beginning to its return: in a signed cookie of the browser that began.

So an answer that somebody else has begun is refused, and nobody fills a table by beginning. What it holds is no secret
from that browser: PKCE's verifier protects a code that somebody else has got hold of.
"""

from __future__ import annotations

import hmac
import secrets
from typing import NamedTuple

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from accounts.limits import counting
from agentplatform.lib.counters import count_one

COOKIE = "oauth_attempt"
SALT = "accounts.oauth.attempt"
LIFETIME_SECONDS = 600
PATH = "/sign-in/"


class Attempt(NamedTuple):
    """Who was asked, and what the answer has to match."""

    provider: str
    state: str
    nonce: str
    verifier: str
    next: str
    linking: str = ""
    """The id of the user who, being signed in, links the account; empty: somebody signs in."""


class AttemptRefused(Exception):
    """The answer is not one to an attempt of this browser. The text is for the log."""


def new_attempt(provider: str, next: str, linking: str = "") -> Attempt:
    return Attempt(
        provider,
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(32),
        secrets.token_urlsafe(48),
        next,
        linking,
    )


def keep(attempt: Attempt, response: HttpResponse) -> None:
    """Lax, because the browser comes back from another site."""
    response.set_cookie(
        COOKIE,
        signing.dumps(attempt, salt=SALT),
        max_age=LIFETIME_SECONDS,
        path=PATH,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def drop(response: HttpResponse) -> None:
    response.delete_cookie(COOKIE, path=PATH, samesite="Lax")


def taken_up(request: HttpRequest, provider: str, issuer: str) -> Attempt:
    """The attempt that a request answers, which is used up by that. Raises AttemptRefused.

    One that was begun at another provider is refused, and an answer that names another issuer than it was asked
    (RFC 9207): else a dishonest provider could have the code of an honest one sent to itself.
    """
    try:
        attempt = Attempt(
            *signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=LIFETIME_SECONDS)
        )
    except (signing.BadSignature, TypeError) as error:
        raise AttemptRefused("no attempt") from error
    if not hmac.compare_digest(attempt.state.encode(), request.GET.get("state", "").encode()):
        raise AttemptRefused("wrong state")
    if attempt.provider != provider:
        raise AttemptRefused("another provider")
    if issuer and request.GET.get("iss", issuer) != issuer:
        raise AttemptRefused("another issuer")
    if counting(lambda cache: count_one(cache, f"oauth:{attempt.state}", LIFETIME_SECONDS)) > 1:
        raise AttemptRefused("used before")
    return attempt
