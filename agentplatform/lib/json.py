"""JSON over HTTP on orjson: strict where the standard library is lax, lenient nowhere.

`dumps` and `loads` are for any code that speaks to a client; `JSONRenderer` and `JSONParser` put them
under Django REST framework.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import IO, Any
from uuid import UUID

import orjson
from django.conf import settings
from django.utils.functional import Promise
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from agentplatform.lib.errors import Invalid, MalformedRequest, PayloadTooLarge

# Dataclasses are refused rather than written field by field: one may hold what nobody should read.
OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_PASSTHROUGH_DATACLASS
NEVER_NAN = frozenset({str, int, bool, type(None)})
ARRAYS = (list, tuple)
NUL_ESCAPE = b"\\u0000"
DEEPEST = 100
"""Levels of a body. What walks it recursively, ours and the libraries', is safe well beyond that."""


class Indented(json.JSONEncoder):
    """Writes what a form has to edit as people read it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})


def dumps(value: Any) -> bytes:
    """`value` as UTF-8 JSON. Raises TypeError for unknown types and ValueError for NaN and infinities."""
    try:
        body = orjson.dumps(value, default=_encode, option=OPTIONS)
    except TypeError:
        # Lone surrogates, keys that are not strings and integers beyond 64 bits: rare, valid, slower.
        return json.dumps(value, default=_encode, allow_nan=False, separators=(",", ":")).encode()
    if b"null" in body and _holds_unwritable_number(value):
        raise ValueError("NaN and infinite numbers have no JSON form; answer None where there is no number.")
    return body


def loads(body: bytes) -> Any:
    """The value of a JSON document.

    Raises MalformedRequest, for one that is nested too deep as well, or Invalid for characters no database takes.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedRequest(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    if body.count(b"[") + body.count(b"{") > DEEPEST and is_deeper(value, DEEPEST):
        raise MalformedRequest(f"The body is nested more than {DEEPEST} levels deep.")
    if NUL_ESCAPE in body and (found := dict.fromkeys(_paths_with_nul(value, ""))):
        raise Invalid(dict.fromkeys(found, "Remove the NUL character (\\u0000); it cannot be stored."))
    return value


def is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects in `value` are nested in more than `levels` levels. A loop, as it meets any depth."""
    level = [value]
    for _ in range(levels):
        inner = [item for item in level if isinstance(item, dict | list)]
        if not inner:
            return False
        level = [part for item in inner for part in (item.values() if isinstance(item, dict) else item)]
    return any(isinstance(item, dict | list) for item in level)


def _encode(value: object) -> str:
    if isinstance(value, Decimal | UUID | Promise):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} has no JSON form.")


def _holds_unwritable_number(value: object) -> bool:
    """Whether `value` holds NaN or an infinity, which orjson writes as null. A loop, as it runs often."""
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        kind = type(item)
        if kind in NEVER_NAN:
            continue
        if kind is float:
            if not isfinite(item):
                return True
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, ARRAYS):
            pending.extend(item)
    return False


def _paths_with_nul(value: object, path: str) -> Iterator[str]:
    """The dotted paths of the strings and keys in `value` that hold a NUL character."""
    if isinstance(value, str):
        if "\0" in value:
            yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            if "\0" in key:
                yield path
            yield from _paths_with_nul(item, f"{path}.{key}".strip(".").replace("\0", ""))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths_with_nul(item, f"{path}.{index}".strip("."))


def read_limited(stream: IO[bytes], maximum: int) -> bytes:
    """All of `stream`. Raises PayloadTooLarge as soon as it is longer than `maximum` bytes."""
    body = stream.read(maximum + 1)
    if len(body) > maximum:
        raise too_large(maximum)
    return body


def too_large(maximum: int, setting: str = "MAX_REQUEST_BYTES") -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {maximum} bytes; send less, or raise {setting}.")


class JSONRenderer(BaseRenderer):
    """Answers JSON."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return b"" if data is None else dumps(data)


class JSONParser(BaseParser):
    """Reads a JSON body of at most `MAX_REQUEST_BYTES`; other content types are refused with 415."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        return loads(read_limited(stream, settings.MAX_REQUEST_BYTES))
