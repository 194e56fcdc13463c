"""JSON Web Tokens: short access tokens, and refresh tokens that work once.

Signed with the first of JWT_SECRET_KEYS, accepted under any of them, so that keys can be rotated.
Every token carries a fingerprint of the user's password hash: changing the password ends them all.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any, Self, TypedDict, TypeVar

from django.conf import settings
from django.db import transaction
from rest_framework_simplejwt import tokens as simplejwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenBackendExpiredToken, TokenError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from accounts import audit
from accounts.audit import Action
from accounts.models import Ticket, User
from agentplatform.lib.errors import NotAuthenticated
from agentplatform.lib.ids import as_uuid

EXPIRED_OR_FALSE = (
    "The token is not valid or has expired. Sign in again, or send the refresh token to /auth/refresh."
)
REFRESH_REFUSED = "The refresh token is not valid, has expired or was used before. Sign in again."

Kind = TypeVar("Kind", bound=simplejwt.Token)
fingerprint_of = get_md5_hash_password


class RotatingBackend(TokenBackend):
    """Signs with the first key and accepts all."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__("HS256", keys[0])
        self.older = [TokenBackend("HS256", key) for key in keys[1:]]

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        try:
            return super().decode(token, verify)
        except TokenBackendExpiredToken:
            raise
        except TokenBackendError:
            for backend in self.older:
                try:
                    return backend.decode(token, verify)
                except TokenBackendExpiredToken:
                    raise
                except TokenBackendError:
                    continue
            raise


@functools.cache
def _backend(keys: tuple[str, ...]) -> RotatingBackend:
    return RotatingBackend(keys)


class _Rotating:
    """Mixin: a token under the rotating keys."""

    @property
    def token_backend(self) -> RotatingBackend:
        return _backend(tuple(settings.JWT_SECRET_KEYS))


class AccessToken(_Rotating, simplejwt.AccessToken):
    """Says who calls, for ACCESS_TOKEN_EXPIRE_MINUTES."""


class RefreshToken(_Rotating, simplejwt.RefreshToken):
    """Is exchanged, once, for a new pair."""

    access_token_class = AccessToken

    @classmethod
    def for_user(cls, user: Any) -> Self:
        """A new token, remembered by its id alone: stored whole it would be a secret at rest."""
        token: Self = super(simplejwt.BlacklistMixin, cls).for_user(user)
        OutstandingToken.objects.create(
            user=user,
            jti=token["jti"],
            created_at=token.current_time,
            expires_at=datetime_from_epoch(token["exp"]),
        )
        return token

    def end(self) -> bool:
        """Makes the token useless; False where that had been done before."""
        ended: Any = self.blacklist()
        return bool(ended[1])


class TokenPair(TypedDict):
    """What signing in and refreshing answer. `expires_in` is the access token's life in seconds."""

    access: str
    refresh: str
    token_type: str
    expires_in: int


def issue(user: User) -> TokenPair:
    """A new pair for `user`, who has proved to be it."""
    refresh = RefreshToken.for_user(user)
    lifetime = settings.SIMPLE_JWT["ACCESS_TOKEN_LIFETIME"]
    return TokenPair(
        access=str(refresh.access_token),
        refresh=str(refresh),
        token_type="Bearer",  # noqa: S106 (the name of a scheme)
        expires_in=int(lifetime.total_seconds()),
    )


def rotate(text: str) -> TokenPair:
    """A new pair for a refresh token, which ends. Of two attempts at once one is refused."""
    token = read_refresh(text)
    with transaction.atomic():
        is_first = token.end()
        if not is_first:
            raise NotAuthenticated(REFRESH_REFUSED)
        user = user_of(token)
        audit.record_of_account(Action.TOKEN_REFRESHED, user)
        return issue(user)


def revoke(text: str) -> None:
    """Ends a refresh token; one that has ended already stays so."""
    try:
        token = _read(RefreshToken, text)
    except TokenError:
        return
    with transaction.atomic():
        token.end()
        user = User.objects.filter(pk__in=[as_uuid(token.get("user_id"))]).first()
        audit.record_of_account(Action.SIGNED_OUT, user)


def read_access(text: str) -> AccessToken:
    """A valid access token. Raises NotAuthenticated."""
    try:
        return _read(AccessToken, text)
    except TokenError as error:
        raise NotAuthenticated(EXPIRED_OR_FALSE) from error


def read_refresh(text: str) -> RefreshToken:
    """A valid, unused refresh token. Raises NotAuthenticated."""
    try:
        return _read(RefreshToken, text)
    except TokenError as error:
        raise NotAuthenticated(REFRESH_REFUSED) from error


def read_any(text: str) -> simplejwt.Token:
    """A valid token of either kind. Raises NotAuthenticated."""
    kinds: tuple[type[simplejwt.Token], ...] = (AccessToken, RefreshToken)
    for kind in kinds:
        try:
            return _read(kind, text)
        except TokenError:
            continue
    raise NotAuthenticated(EXPIRED_OR_FALSE)


def _read(kind: type[Kind], text: Any) -> Kind:
    return kind(text)


def user_of(token: simplejwt.Token) -> User:
    """The active user of a valid token, with the password it was issued under. Raises NotAuthenticated."""
    user_id = as_uuid(token.get("user_id"))
    user = User.objects.filter(pk=user_id).first() if user_id else None
    if user is None or not user.is_active or token.get("hash_password") != fingerprint_of(user.password):
        raise NotAuthenticated(EXPIRED_OR_FALSE)
    return user


def end_of(token: simplejwt.Token) -> datetime:
    """When a token ends by itself."""
    return datetime.fromtimestamp(token["exp"], UTC)


def change_password(user: User, password: str) -> TokenPair:
    """Sets the password, which ends all tokens and tickets of `user`, and gives a new pair."""
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        Ticket.objects.filter(membership__user=user).delete()
        audit.record_of_account(Action.PASSWORD_CHANGED, user)
        return issue(user)
