"""Whether a document has the shape of one: the JSON Schema, kind by kind, so that each fault names its node."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing.exceptions import Unresolvable

from agentplatform.lib.json import is_deeper
from agentplatform.lib.text import storable
from agents.tools.base import MOST_LEVELS
from agents.tools.schemas import schema_fault, validator_of
from agents.workflows.document import DEFAULT_INPUT, StateField
from agents.workflows.faults import Fault, Place
from agents.workflows.schema import FRAME, KINDS, NODE_SCHEMAS

LONGEST_DOCUMENT = 2_000_000
"""Characters of a document's JSON."""
LEAST_INTEGER = -(2**63)
_MESSAGE = 300
_ENDLESS = "Its schema refers to itself without end, or to something that is not in it."
Json = Mapping[str, Any]


def structural_faults(data: Any) -> list[Fault]:
    """All faults of shape. Only a document without any can be parsed."""
    if whole := list(_whole_faults(data)):
        return whole
    frame = [_fault(error, ()) for error in _validator("").iter_errors(data)]
    if frame:
        return frame
    faults = [fault for index, node in enumerate(data["nodes"]) for fault in _node_faults(index, node)]
    return [*faults, *_identity_faults(data["nodes"]), *_schema_faults(data)]


def _whole_faults(data: Any) -> Iterator[Fault]:
    """Why it could not even be stored as JSON."""
    if not isinstance(data, Mapping):
        yield Fault((), "A workflow is an object with nodes and edges.")
        return
    if is_deeper(data, MOST_LEVELS):
        yield Fault((), f"The document is nested more than {MOST_LEVELS} levels deep.")
        return
    found = list(formless((), data))
    yield from found
    if not found and len(json.dumps(data)) > LONGEST_DOCUMENT:
        yield Fault((), f"The document is longer than {LONGEST_DOCUMENT:,} characters.")


def number_fault(value: Any) -> str | None:
    """Why a value's numbers cannot be stored, or None."""
    pending = [value]
    while pending:
        match pending.pop():
            case int() | float() as number:
                if fault := next(formless((), number), None):
                    return fault.message
            case Mapping() as mapping:
                pending.extend(mapping.values())
            case list() as items:
                pending.extend(items)
    return None


def formless(place: Place, value: Any) -> Iterator[Fault]:
    """What JSON, or the database, has no form for."""
    match value:
        case str():
            if storable(value) != value:
                yield Fault(place, "Remove the NUL characters and broken surrogates.")
        case float() if not isfinite(value):
            yield Fault(place, f"JSON has no form for the number {value}.")
        case int() if not LEAST_INTEGER <= value <= -LEAST_INTEGER - 1:
            yield Fault(place, "This is beyond the integers of 64 bits.")
        case None | bool() | int() | float():
            return
        case Mapping():
            for name, item in value.items():
                if isinstance(name, str) and storable(name) == name:
                    yield from formless((*place, name), item)
                else:
                    yield Fault(place, "Names are texts, without NUL characters and broken surrogates.")
        case list():
            for index, item in enumerate(value):
                yield from formless((*place, index), item)
        case _:
            yield Fault(place, f"JSON has no form for a {type(value).__name__}.")


def _node_faults(index: int, node: Mapping[str, Any]) -> Iterator[Fault]:
    place, name = ("nodes", index), _id_of(node)
    kind = node["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        yield Fault((*place, "kind"), f"There is no kind {kind!r}. Use one of: {', '.join(KINDS)}.", name)
        return
    for error in _validator(kind).iter_errors(node):
        yield _fault(error, place, name)


def _identity_faults(nodes: list[Mapping[str, Any]]) -> Iterator[Fault]:
    seen: set[str] = set()
    for index, node in enumerate(nodes):
        if (name := _id_of(node)) in seen:
            yield Fault(
                ("nodes", index, "id"), f"Another node is called {name!r}; each id stands once.", name
            )
        seen.add(name)
    starts = [index for index, node in enumerate(nodes) if node["kind"] == "start"]
    if not starts:
        yield Fault(("nodes",), "There is no node of kind start.")
    for index in starts[1:]:
        yield Fault(
            ("nodes", index, "kind"), "There is a start already; a workflow has one.", _id_of(nodes[index])
        )
    if not any(node["kind"] == "end" for node in nodes):
        yield Fault(("nodes",), "There is no node of kind end.")


def _schema_faults(data: Mapping[str, Any]) -> Iterator[Fault]:
    """Of the schemas that stand in the document: the input's, the fields', and those of structured answers."""
    given = data.get("input", DEFAULT_INPUT)
    if fault := schema_fault({**given, "type": "object"}):
        yield Fault(("input",), fault)
    for name in given.get("required", ()):
        if name not in given.get("properties", {}):
            yield Fault(("input", "required"), f"{name!r} is required, but not described under properties.")
    for name, schema in data.get("state", {}).items():
        yield from _field_faults(("state", name), StateField(name, schema))
    for index, node in enumerate(data["nodes"]):
        if (
            node["kind"] == "llm"
            and isinstance(node.get("schema"), Mapping)
            and (fault := schema_fault(node["schema"]))
        ):
            yield Fault(("nodes", index, "schema"), fault, _id_of(node))


def _field_faults(place: Place, one: StateField) -> Iterator[Fault]:
    wrapped = {"type": "object", "properties": {"value": one.json_schema}}
    if fault := schema_fault(wrapped):
        yield Fault(place, fault)
        return
    if loose := next(_loose_references(one.json_schema), None):
        yield Fault(place, f"It refers to {loose!r}, which is not in the schema of this field.")
        return
    fault = value_fault(one, one.initial())
    if fault == _ENDLESS:
        yield Fault(place, fault)
    elif fault and "default" in one.schema:
        yield Fault((*place, "default"), fault)
    needed = {"append": ("array",), "add": ("integer", "number"), "merge": ("object",)}.get(one.reducer)
    if needed and one.type not in needed:
        message = f"The reducer {one.reducer!r} is for fields of type {' or '.join(needed)}."
        yield Fault((*place, "reducer"), message)


def _loose_references(schema: Json) -> Iterator[str]:
    """References to places that the schema does not have."""
    pending: list[Any] = [schema]
    while pending:
        match pending.pop():
            case list() as items:
                pending.extend(items)
            case Mapping() as mapping:
                pending.extend(mapping.values())
                reference = mapping.get("$ref")
                if isinstance(reference, str) and not _leads_somewhere(schema, reference):
                    yield reference


def _leads_somewhere(schema: Any, reference: str) -> bool:
    """Anchors are left to the library."""
    if not reference.startswith("#/"):
        return True
    for part in reference[2:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, list) and name.isdigit() and int(name) < len(schema):
            schema = schema[int(name)]
        elif isinstance(schema, Mapping) and name in schema:
            schema = schema[name]
        else:
            return False
    return True


def value_fault(one: StateField, value: Any) -> str | None:
    """Why a value does not fit a field, or None."""
    validator = validator_of(json.dumps(one.json_schema, sort_keys=True))
    try:
        error = next(validator.iter_errors(value), None)
    except (RecursionError, Unresolvable):
        return _ENDLESS
    return _said(error) if error else None


@functools.cache
def _validator(kind: str) -> Draft202012Validator:
    return Draft202012Validator(NODE_SCHEMAS[kind] if kind else FRAME)


def _fault(error: ValidationError, place: Place, node: str = "") -> Fault:
    inner: Place = tuple(error.absolute_path)
    if error.validator == "required" and isinstance(error.validator_value, list):
        missing = next(name for name in error.validator_value if name not in error.instance)
        return Fault((*place, *inner, missing), "This is required.", node)
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = error.schema.get("properties", {})
        unknown = next(name for name in error.instance if name not in known)
        return Fault(
            (*place, *inner, unknown), f"This is not known here. There are: {', '.join(known)}.", node
        )
    return Fault((*place, *inner), _said(error), node)


def _said(error: ValidationError) -> str:
    message = error.message
    if error.validator == "pattern":
        message = f"{error.instance!r}: use a letter, then letters, digits and underscores, 64 at most."
    return message if len(message) <= _MESSAGE else f"{message[: _MESSAGE - 1]}…"


def _id_of(node: Mapping[str, Any]) -> str:
    name = node.get("id")
    return name if isinstance(name, str) else ""
