"""The tools of kind `function`: the registry, and those that the platform ships.

A function takes its arguments by name, as its JSON Schema describes them, and returns text or a JSON value;
it raises ToolFault for the model to read. It may be `async`; a plain one runs in a thread. To add one,
decorate it with `@function(…)` in a module that an application imports when Django starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from agents.tools.base import ToolFault
from agents.tools.calculator import calculate
from agents.tools.queries import query_json
from agents.tools.units import convert, units_by_kind

Schema = dict[str, Any]
Body = TypeVar("Body", bound=Callable[..., Any])
WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
SENTENCE_END = re.compile(r"[.!?。！？]+(?=\s|$)|[。！？]+")


@dataclass(frozen=True, slots=True)
class Function:
    """A function that agents may call."""

    name: str
    description: str
    schema: Schema
    body: Callable[..., Any]
    idempotent: bool = False
    """May be called again when nobody knows whether it has been: it changes nothing."""


registry: dict[str, Function] = {}


def function(
    name: str,
    description: str,
    required: tuple[str, ...] = (),
    *,
    idempotent: bool = False,
    **properties: Schema,
) -> Callable[[Body], Body]:
    """Registers the decorated function under `name`. `properties` are the arguments' JSON Schemas."""

    def register(body: Body) -> Body:
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(required),
            "additionalProperties": False,
        }
        registry[name] = Function(name, description, schema, body, idempotent)
        return body

    return register


TEXT: Schema = {"type": "string"}
DATE: Schema = {"type": "string", "description": "A date, YYYY-MM-DD."}


@function(
    "calculator",
    "Calculates an arithmetic expression exactly, for example (17 * 23 + sqrt(16)) / 4.",
    idempotent=True,
    required=("expression",),
    expression={
        "type": "string",
        "maxLength": 500,
        "description": "Numbers, + - * / // % ^, functions such as sqrt.",
    },
)
def calculator(expression: str) -> str:
    return str(calculate(expression))


@function(
    "current_time",
    "Tells the current date and time.",
    idempotent=True,
    timezone={
        "type": "string",
        "maxLength": 64,
        "description": "IANA name such as Asia/Shanghai. Default: UTC.",
    },
)
def current_time(timezone: str = "UTC") -> dict[str, Any]:
    now = datetime.now(_zone(timezone))
    return {
        "iso": now.isoformat(timespec="seconds"),
        "date": now.date().isoformat(),
        "time": now.strftime("%H:%M:%S"),
        "weekday": now.strftime("%A"),
        "timezone": timezone,
        "unix": int(now.timestamp()),
    }


@function(
    "json_query",
    "Extracts values from JSON with a JMESPath expression, for example items[?price > `10`].name.",
    idempotent=True,
    required=("data", "query"),
    data={"description": "The JSON value, or its text."},
    query={"type": "string", "minLength": 1, "maxLength": 1000, "description": "A JMESPath expression."},
)
def json_query(data: Any, query: str) -> Any:
    return query_json(data, query)


@function(
    "text_statistics",
    "Counts the characters, words, sentences and lines of a text.",
    idempotent=True,
    required=("text",),
    text={"type": "string", "maxLength": 200_000},
)
def text_statistics(text: str) -> dict[str, Any]:
    words = WORD.findall(text)
    sentences = len(SENTENCE_END.findall(text)) or (1 if words else 0)
    return {
        "characters": len(text),
        "characters_without_spaces": sum(not character.isspace() for character in text),
        "words": len(words),
        "distinct_words": len({word.lower() for word in words}),
        "sentences": sentences,
        "lines": len(text.splitlines()),
    }


@function(
    "unit_convert",
    f"Converts a value between units of {', '.join(units_by_kind)}.",
    idempotent=True,
    required=("value", "from_unit", "to_unit"),
    value={"type": "number"},
    from_unit={"type": "string", "description": "For example km, miles, kg, lb, °C, GB, hours."},
    to_unit=TEXT,
)
def unit_convert(value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
    return {"value": convert(value, from_unit, to_unit), "unit": to_unit}


@function(
    "date_difference",
    "Counts the days, weeks and working days (Monday to Friday) from one date to another.",
    idempotent=True,
    required=("start", "end"),
    start=DATE,
    end=DATE,
)
def date_difference(start: str, end: str) -> dict[str, Any]:
    first, last = _date(start), _date(end)
    days = (last - first).days
    return {"days": days, "weeks": round(days / 7, 2), "working_days": _working_days(first, last)}


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ToolFault(f"There is no time zone {name!r}. Use an IANA name such as Europe/Berlin.") from error


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ToolFault(f"{text!r} is not a date of the form YYYY-MM-DD.") from error


def _working_days(first: date, last: date) -> int:
    """Monday to Friday from `first` (counted) to `last` (not counted); negative backwards."""
    if last < first:
        return -_working_days(last, first)
    weeks, rest = divmod((last - first).days, 7)
    return weeks * 5 + sum((first.weekday() + day) % 7 < 5 for day in range(rest))
