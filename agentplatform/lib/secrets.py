"""Secrets at rest and secrets by hash."""

from __future__ import annotations

import functools
import hashlib
import secrets
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


class WrongKey(Exception):
    """None of FIELD_ENCRYPTION_KEYS opens a stored secret; put the key it was written with back in the list."""


@functools.cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError as error:
        raise ImproperlyConfigured(
            "FIELD_ENCRYPTION_KEYS must be comma-separated Fernet keys: 32 bytes in URL-safe base64 each."
        ) from error


def encrypt(text: str) -> str:
    """`text` as a Fernet token under the first key."""
    return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """The text of a Fernet token. Raises WrongKey, never answers ciphertext."""
    try:
        return _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise WrongKey("No key of FIELD_ENCRYPTION_KEYS opens this secret.") from error


def is_current(token: str) -> bool:
    """Whether a Fernet token was written under the first key."""
    try:
        _fernet(tuple(settings.FIELD_ENCRYPTION_KEYS[:1])).decrypt(token.encode())
    except InvalidToken:
        return False
    return True


class EncryptedTextField(models.TextField):
    """Text that is encrypted in the database and plain in Python; never usable in a filter."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else encrypt(str(value))

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        return None if value is None else decrypt(value)

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None


def hint(secret: str) -> str:
    """The last four characters, or none of a secret too short to give any away."""
    return secret[-4:] if len(secret) >= 12 else ""


def new_token(prefix: str = "") -> str:
    """A random URL-safe token with 256 bits of entropy."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """SHA-256 in hexadecimal. Enough for random tokens: there is nothing to guess."""
    return hashlib.sha256(token.encode()).hexdigest()
