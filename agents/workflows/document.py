"""A workflow's document as values: its nodes, edges and typed state. Pure: neither Django nor LangGraph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

DEFAULT_INPUT: Json = {"properties": {"message": {"type": "string"}}, "required": ["message"]}
ERROR = "error"
DEFAULT = "default"
LOOP_CASES = ("body", "done")
APPROVAL_CASES = ("approved", "rejected")
# Whose failure an edge with the case `error` may catch.
FALLIBLE = frozenset({"agent", "llm", "tool", "http", "workflow"})
_ZERO: dict[str, Any] = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "any": None}


@dataclass(frozen=True, slots=True)
class Node:
    """`data` is everything that stands in it; `index` its place in the list."""

    index: int
    data: Mapping[str, Any] = field(hash=False)

    @property
    def id(self) -> str:
        return self.data["id"]

    @property
    def kind(self) -> str:
        return self.data["kind"]

    @property
    def label(self) -> str:
        return self.data.get("label") or self.id

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that edges from it must have; none where a plain edge leads on."""
        match self.kind:
            case "condition":
                return (*(one["case"] for one in self.data["cases"]), DEFAULT)
            case "loop":
                return LOOP_CASES
            case "approval":
                return APPROVAL_CASES
        return ()

    @property
    def writes(self) -> tuple[str, ...]:
        """The fields of the state that it writes."""
        if self.kind == "transform":
            return tuple(self.data["set"])
        name = self.data.get("item" if self.kind == "loop" else "output")
        return (name,) if name and self.kind != "end" else ()


@dataclass(frozen=True, slots=True)
class Edge:
    index: int
    source: str
    target: str
    case: str = ""


@dataclass(frozen=True, slots=True)
class StateField:
    """A field of the state or of the input, by its JSON Schema."""

    name: str
    schema: Mapping[str, Any] = field(hash=False)

    @property
    def type(self) -> str:
        """One of `schema.TYPES`; any, where the schema says nothing that simple."""
        kind = self.schema.get("type", "any")
        return kind if isinstance(kind, str) and (kind in _ZERO or kind in ("array", "object")) else "any"

    @property
    def items(self) -> StateField:
        """What an array's items are."""
        items = self.schema.get("items")
        return StateField(self.name, items if isinstance(items, Mapping) else {})

    @property
    def reducer(self) -> str:
        return self.schema.get("reducer", "replace")

    @property
    def json_schema(self) -> Json:
        """What a value must fit."""
        own = ("default", "reducer")
        return _without_any({name: value for name, value in self.schema.items() if name not in own})

    def initial(self) -> Any:
        """Its default, else the empty value of its type."""
        if "default" in self.schema:
            return self.schema["default"]
        return {"array": [], "object": {}}.get(self.type, _ZERO.get(self.type))


def _without_any(schema: Mapping[str, Any]) -> Json:
    """JSON Schema has no type `any`: where it stands, for itself or for items, everything fits."""
    plain = {name: value for name, value in schema.items() if (name, value) != ("type", "any")}
    items = plain.get("items")
    return {**plain, "items": _without_any(items)} if isinstance(items, Mapping) else plain


@dataclass(frozen=True, slots=True)
class Document:
    """A document whose structure has been checked."""

    input: Mapping[str, Any] = field(hash=False)
    state: Mapping[str, StateField] = field(hash=False)
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    by_id: Mapping[str, Node] = field(hash=False)
    outgoing: Mapping[str, tuple[Edge, ...]] = field(hash=False)
    incoming: Mapping[str, tuple[Edge, ...]] = field(hash=False)

    @property
    def input_fields(self) -> Iterator[StateField]:
        for name, schema in self.input.get("properties", {}).items():
            yield StateField(name, schema)

    @property
    def start(self) -> Node:
        return next(node for node in self.nodes if node.kind == "start")

    def of_kind(self, kind: str) -> Iterator[Node]:
        return (node for node in self.nodes if node.kind == kind)

    def targets(self, node: Node) -> dict[str, str]:
        """Case → the id of the node that follows."""
        return {edge.case: edge.target for edge in self.outgoing.get(node.id, ())}

    def references(self) -> set[tuple[str, str]]:
        """What of the workspace it needs: kind and name."""
        kinds = {"agent": "agent", "llm": "model", "tool": "tool", "workflow": "workflow"}
        return {(kinds[node.kind], node.data[kinds[node.kind]]) for node in self.nodes if node.kind in kinds}


def parse(data: Mapping[str, Any]) -> Document:
    """The document that `data` is. Its structure must have been checked."""
    nodes = tuple(Node(index, node) for index, node in enumerate(data["nodes"]))
    edges = tuple(
        Edge(index, edge["from"], edge["to"], edge.get("case", ""))
        for index, edge in enumerate(data["edges"])
    )
    outgoing, incoming = defaultdict(list), defaultdict(list)
    for edge in edges:
        outgoing[edge.source].append(edge)
        incoming[edge.target].append(edge)
    return Document(
        input=input_schema(data),
        state={name: StateField(name, schema) for name, schema in data.get("state", {}).items()},
        nodes=nodes,
        edges=edges,
        by_id={node.id: node for node in nodes},
        outgoing={name: tuple(found) for name, found in outgoing.items()},
        incoming={name: tuple(found) for name, found in incoming.items()},
    )


def references_of(documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """What documents need of their workspace, as `kind:name`."""
    found = {reference for data in documents for reference in parse(data).references()}
    return sorted(f"{kind}:{name}" for kind, name in found)


def input_schema(data: Mapping[str, Any]) -> Json:
    """The JSON Schema of a workflow's input; nothing beyond what it describes is taken."""
    return {"additionalProperties": False, **(data.get("input") or DEFAULT_INPUT), "type": "object"}
