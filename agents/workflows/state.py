"""A workflow's state as LangGraph holds it: a channel for each field, and a few of the platform's own.

    run.input, run.output, run.error   what it was given, what it has come to, the last failure that was caught
    state.<field>                      the fields of the document
    loop.<node>                        how often a loop has gone round
    route.<node>                       which case a node has chosen

Node ids have no dots, so none of them is a channel's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from typing_extensions import TypedDict

from agents.workflows.document import Document, StateField

INPUT, OUTPUT, ERROR = "run.input", "run.output", "run.error"
FIELD = "state."
"""What the channels of fields begin with."""
Channels = dict[str, Any]

_PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def field(name: str) -> str:
    return f"{FIELD}{name}"


def loop(node_id: str) -> str:
    return f"loop.{node_id}"


def route(node_id: str) -> str:
    return f"route.{node_id}"


def schema(document: Document) -> type:
    """The schema of the document's graph."""
    channels: dict[str, Any] = {INPUT: dict, OUTPUT: Any, ERROR: Annotated[dict, _latest]}
    channels |= {field(name): _channel(one) for name, one in document.state.items()}
    channels |= {loop(node.id): int for node in document.of_kind("loop")}
    channels |= {
        route(node.id): str for node in document.nodes if len(document.outgoing.get(node.id, ())) > 1
    }
    return TypedDict("State", channels, total=False)  # type: ignore[operator]


def first(document: Document, values: Mapping[str, Any]) -> Channels:
    """What a run begins with."""
    return {INPUT: dict(values), **{field(name): one.initial() for name, one in document.state.items()}}


def fields(document: Document, state: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the document, by their plain names."""
    return {name: state[field(name)] for name in document.state if field(name) in state}


def loops(document: Document, state: Mapping[str, Any]) -> dict[str, int]:
    return {node.id: state.get(loop(node.id), 0) for node in document.of_kind("loop")}


def _channel(one: StateField) -> Any:
    kind = _PYTHON_TYPES.get(one.type, object)
    if reducer := _REDUCERS.get(one.reducer):
        return Annotated[kind, reducer]
    return kind


def _latest(old: Any, new: Any) -> Any:
    return new


def _append(old: list[Any], new: Any) -> list[Any]:
    """A list is put behind, anything else is one more item."""
    return [*old, *(new if isinstance(new, list) else [new])]


def _add(old: float, new: float) -> float:
    return old + new


def _merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {**old, **new}


_REDUCERS: dict[str, Callable[[Any, Any], Any]] = {"append": _append, "add": _add, "merge": _merge}
