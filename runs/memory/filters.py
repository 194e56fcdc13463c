"""LangGraph's filters of a store as conditions in SQL.

`{"city": "Berlin"}` asks for equality, `{"age": {"$gt": 30}}` compares, and an object without operators goes into the
value: `{"home": {"city": "Berlin"}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

Condition = tuple[str, list[Any]]

COMPARED = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_FOUND = "COALESCE(runs_memory.value #> %s, 'null'::jsonb)"


def conditions(wanted: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[Condition]:
    """What a row's value has to fulfil. Raises ValueError for operators that there are not."""
    for name, value in wanted.items():
        yield from _condition((*path, name), value)


def _condition(path: tuple[str, ...], wanted: Any) -> Iterator[Condition]:
    place = list(path)
    if not isinstance(wanted, Mapping):
        yield f"{_FOUND} = %s::jsonb", [place, json.dumps(wanted)]
    elif any(name.startswith("$") for name in wanted):
        for operator, value in wanted.items():
            yield _compared(place, operator, value)
    else:
        yield f"jsonb_typeof({_FOUND}) = 'object'", [place]
        yield from conditions(wanted, path)


def _compared(place: list[str], operator: str, value: Any) -> Condition:
    if operator in ("$eq", "$ne"):
        sign = "=" if operator == "$eq" else "<>"
        return f"{_FOUND} {sign} %s::jsonb", [place, json.dumps(value)]
    if operator not in COMPARED:
        raise ValueError(f"Unsupported operator: {operator}")
    number = f"CASE WHEN jsonb_typeof({_FOUND}) = 'number' THEN ({_FOUND})::text::numeric END"
    return f"{number} {COMPARED[operator]} %s::numeric", [place, place, str(float(value))]
