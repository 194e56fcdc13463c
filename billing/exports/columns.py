"""The columns of an export by their names, and how PostgreSQL writes them into CSV and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.db.models import CharField, F, Func, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast

from agentplatform.lib.csv_stream import LocalTimestamp, PlainDecimal, SafeText, UtcTimestamp
from agentplatform.lib.errors import Invalid

UTC = "UTC"


class Kind(Enum):
    """What a column holds: this decides how each format writes it."""

    CODE = "code"
    """An id or a word of ours."""
    TEXT = "text"
    """What people have written."""
    COUNT = "count"
    MONEY = "money"
    TIME = "time"
    FLAG = "flag"
    LIST = "list"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    kind: Kind
    source: str
    """The field, seen from an entry of the ledger; empty: the workspace's slug."""


def _column(kind: Kind, name: str) -> tuple[str, Column]:
    return name, Column(kind, name)


# Those that an export has without further ado, in their order.
DEFAULT: dict[str, Column] = dict(
    [
        _column(Kind.CODE, "id"),
        _column(Kind.TIME, "timestamp"),
        ("workspace", Column(Kind.CODE, "")),
        _column(Kind.CODE, "run_id"),
        _column(Kind.CODE, "session_id"),
        _column(Kind.TEXT, "agent"),
        _column(Kind.TEXT, "workflow"),
        ("user", Column(Kind.TEXT, "user_name__name")),
        ("end_user", Column(Kind.TEXT, "end_user_name__name")),
        ("api_key", Column(Kind.TEXT, "api_key_name__name")),
        _column(Kind.TEXT, "provider"),
        _column(Kind.TEXT, "model"),
        _column(Kind.CODE, "status"),
        _column(Kind.COUNT, "input_tokens"),
        _column(Kind.COUNT, "cached_tokens"),
        _column(Kind.COUNT, "cache_write_tokens"),
        _column(Kind.COUNT, "output_tokens"),
        _column(Kind.COUNT, "reasoning_tokens"),
        _column(Kind.COUNT, "requests"),
        _column(Kind.MONEY, "input_price"),
        _column(Kind.MONEY, "output_price"),
        _column(Kind.MONEY, "cost"),
        _column(Kind.TEXT, "currency"),
        _column(Kind.CODE, "price_version"),
        _column(Kind.CODE, "correction_of"),
    ]
)
BY_NAME: dict[str, Column] = DEFAULT | dict(
    [
        _column(Kind.TIME, "recorded_at"),
        _column(Kind.COUNT, "revision"),
        _column(Kind.FLAG, "is_reversal"),
        _column(Kind.LIST, "tags"),
        _column(Kind.COUNT, "input_audio_tokens"),
        _column(Kind.COUNT, "output_audio_tokens"),
        _column(Kind.COUNT, "input_image_tokens"),
        _column(Kind.COUNT, "output_image_tokens"),
        _column(Kind.JSON, "prices"),
        _column(Kind.CODE, "call_id"),
        _column(Kind.COUNT, "attempt"),
        _column(Kind.COUNT, "step"),
        _column(Kind.CODE, "agent_id"),
        _column(Kind.CODE, "workflow_id"),
        _column(Kind.CODE, "user_id"),
        _column(Kind.CODE, "api_key_id"),
    ]
)

EXAMPLE = """\
id,timestamp,workspace,run_id,session_id,agent,workflow,user,end_user,api_key,provider,model,status,input_tokens,\
cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens,requests,input_price,output_price,cost,currency,\
price_version,correction_of
01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e,2026-11-21T08:30:00.125Z,acme,01934d6e-6b0a-7d41-8c4d-1e7f0a2b3c4d,,\
trade-assistant,,bob,customer 7,,openai,gpt-4o-mini,ok,1000,0,0,100,0,1,0.00000015,0.0000006,0.00021,USD,\
genai-prices:0.2.3,
"""
JSON_EXAMPLE = (
    '{"timestamp":"2026-11-21T08:30:00.125Z","agent":"trade-assistant","workflow":null,"input_tokens":1000,'
    '"cost":"0.00021","currency":"USD"}\n'
)


def chosen(names: Sequence[str], field: str = "columns") -> dict[str, Column]:
    """The columns with these names, in this order; all default ones without names. Raises Invalid."""
    if not names:
        return DEFAULT
    known = ", ".join(BY_NAME)
    if unknown := [name for name in names if name not in BY_NAME]:
        raise Invalid({field: f"There is no column {', '.join(unknown)}; the columns are: {known}."})
    if len(set(names)) < len(names):
        raise Invalid({field: "Name each column once."})
    return {name: BY_NAME[name] for name in names}


class _Words(Func):
    """A list as text."""

    template = "array_to_string(%(expressions)s, ', ')"
    output_field = CharField()


class _Flag(Func):
    template = "CASE WHEN %(expressions)s THEN 'true' ELSE 'false' END"
    output_field = CharField()


class _Unless(Func):
    """As text, and NULL where it is empty."""

    template = "NULLIF(%(expressions)s::text, '%(nothing)s')"
    output_field = CharField()


class _DecimalComma(Func):
    template = "replace(trim_scale(%(expressions)s)::text, '.', ',')"
    output_field = CharField()


def raw(columns: Mapping[str, Column], slug: str) -> list[str | Combinable]:
    """What a query set selects to have the values as they are."""
    return [column.source or _slug(slug) for column in columns.values()]


def as_csv(columns: Mapping[str, Column], slug: str, tz: str, decimal_comma: bool) -> list[str | Combinable]:
    """What a query set selects to have them as CSV has them."""
    written: dict[Kind, Any] = {
        Kind.TEXT: SafeText,
        Kind.MONEY: _DecimalComma if decimal_comma else PlainDecimal,
        Kind.TIME: UtcTimestamp if tz == UTC else LocalTimestamp,
        Kind.FLAG: _Flag,
        Kind.LIST: lambda source: SafeText(_Words(source)),
        Kind.JSON: lambda source: _Unless(source, nothing="{}"),
    }
    return _written(columns, slug, written)


def as_json(columns: Mapping[str, Column], slug: str, tz: str) -> list[str | Combinable]:
    """What a query set selects to have them as JSON has them: counts are numbers, amounts text, nothing is null."""
    written: dict[Kind, Any] = {
        Kind.TEXT: lambda source: _Unless(source, nothing=""),
        Kind.MONEY: lambda source: Cast(PlainDecimal(source), CharField()),
        Kind.TIME: UtcTimestamp if tz == UTC else LocalTimestamp,
        Kind.LIST: F,
        Kind.JSON: F,
    }
    return _written(columns, slug, written)


def _written(columns: Mapping[str, Column], slug: str, written: Mapping[Kind, Any]) -> list[str | Combinable]:
    return [
        written.get(column.kind, str)(column.source) if column.source else _slug(slug)
        for column in columns.values()
    ]


def _slug(slug: str) -> Value:
    return Value(slug, output_field=CharField())
