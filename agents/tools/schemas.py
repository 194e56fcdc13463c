"""The JSON Schemas (Draft 2020-12) of tools' arguments: which may be stored, and what fits them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from agents.tools.base import MOST_LEVELS, ToolFault, is_too_deep
from agents.tools.patterns import pattern_fault

SCHEMA_LIMIT = 64_000
"""Characters that a schema may have."""
MESSAGE_LIMIT = 300
MESSAGE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {
            "type": "string",
            "description": "What the agent is to do, with everything that it has to know.",
        }
    },
    "required": ["message"],
    "additionalProperties": False,
}
"""The arguments of every tool of kind `agent`."""
QUERY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "description": "What to find, as a question or as words, in the language of the documents.",
        }
    },
    "required": ["query"],
    "additionalProperties": False,
}
"""The arguments of every tool of kind `knowledge`."""


def check_arguments(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    """Raises ToolFault that says which argument is wrong and why."""
    if is_too_deep(arguments):
        raise ToolFault(f"The arguments are nested more than {MOST_LEVELS} levels deep.")
    try:
        error = best_match(validator_of(json.dumps(schema, sort_keys=True)).iter_errors(arguments))
    except (RecursionError, Unresolvable) as fault:
        raise ToolFault(
            "The tool's schema refers to itself without end, or to something that is not in it."
        ) from fault
    if error:
        raise ToolFault(f"The arguments do not fit the tool's schema: {describe(error)}")


def schema_fault(schema: Any) -> str | None:
    """Why `schema` cannot be a tool's, in words for its author, or None."""
    if not isinstance(schema, dict):
        return "Give a JSON object that is a JSON Schema (Draft 2020-12)."
    if is_too_deep(schema):
        return f"The schema is nested more than {MOST_LEVELS} levels deep."
    if len(json.dumps(schema)) > SCHEMA_LIMIT:
        return f"The schema is longer than {SCHEMA_LIMIT:,} characters."
    if schema and schema.get("type") != "object":
        return 'Arguments are an object: the schema needs "type": "object" at its top.'
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"This is not a valid JSON Schema (Draft 2020-12): {describe(error)}"
    return next(_unusable(schema), None)


def describe(error: ValidationError | SchemaError) -> str:
    """One line: where, and what."""
    place = ".".join(str(part) for part in error.absolute_path)
    message = (
        error.message if len(error.message) <= MESSAGE_LIMIT else f"{error.message[: MESSAGE_LIMIT - 1]}…"
    )
    return f"{place}: {message}" if place else message


@functools.lru_cache(maxsize=4096)
def validator_of(schema: str) -> Draft202012Validator:
    """A validator of the schema with this JSON."""
    # An empty registry of its own: without one, references to URLs would be fetched.
    validator: Draft202012Validator = _Validator(json.loads(schema), registry=Registry())
    return validator


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """In one walk: the library compares each item with each other."""
    is_list = wanted and isinstance(instance, list)
    if is_list and len({json.dumps(item, sort_keys=True) for item in instance}) < len(instance):
        yield ValidationError("The items are not unique.")


_Validator = validators.extend(Draft202012Validator, {"uniqueItems": _unique_items})


def _unusable(schema: Any) -> Iterator[str]:
    """Valid parts that are refused all the same: references that lead out, patterns without an end."""
    pending = [schema]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(item)
        if not isinstance(item, dict):
            continue
        pending.extend(item.values())
        reference = item.get("$ref") or item.get("$dynamicRef")
        if isinstance(reference, str) and not reference.startswith("#"):
            yield f"The schema refers to {reference!r}; only references inside of it (#/…) can be followed."
        patterns = [item.get("pattern"), *_keys(item.get("patternProperties"))]
        for pattern in patterns:
            if isinstance(pattern, str) and (fault := pattern_fault(pattern)):
                yield f"The schema cannot be used: {fault}."


def _keys(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []
