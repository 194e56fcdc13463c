"""Strategies for workflows' documents: what somebody might write, and nearly valid ones of every kind of node.

A nearly valid document is built of blocks, each of which goes on to the next: a node, a condition with its cases, a
parallel node with its branches, a loop with its body. Then a few things in it may be changed at random.
"""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import strategies as st

from agents.workflows.schema import KINDS

Json = dict[str, Any]
Exit = tuple[str, str]
"""A node and the case of the edge that leads on from it."""

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
"""Per property. A long search for faults sets more."""

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["state.text", "{{ input.message }}", "{{", "start", "end", "error", *KINDS])
)
names = st.sampled_from(
    [
        "id",
        "kind",
        "nodes",
        "edges",
        "state",
        "input",
        "from",
        "to",
        "case",
        "type",
        "properties",
        "schema",
        "required",
    ]
) | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=20,
)
"""Any JSON, with numbers that have no form in it."""

_nodes = st.builds(
    lambda kind, rest: {"id": "one", "kind": kind, **rest},
    st.sampled_from(KINDS),
    st.dictionaries(names, anything),
)
frames = st.builds(
    lambda nodes, edges, rest: {"nodes": nodes, "edges": edges, **rest},
    st.lists(_nodes | anything, max_size=5) | anything,
    st.lists(st.fixed_dictionaries({"from": scalars, "to": scalars}) | anything, max_size=4) | anything,
    st.dictionaries(st.sampled_from(["state", "input", "name", "description", "tags"]), anything),
)
"""What has the frame of a document, and anything in it."""

# --- nearly valid documents ---

STATE: Json = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "score": {"type": "number", "default": 1},
    "done": {"type": "boolean"},
    "item": {"type": "any"},
    "facts": {"type": "object"},
    "list": {"type": "array", "items": {"type": "integer"}, "default": [1, 2]},
    "notes": {"type": "array", "items": {"type": "string"}, "reducer": "append"},
    "total": {"type": "number", "reducer": "add"},
    "points": {"type": "integer", "reducer": "add"},
    "record": {"type": "object", "reducer": "merge"},
}
INPUT: Json = {
    "properties": {
        "message": {"type": "string"},
        "limit": {"type": "integer"},
        "rate": {"type": "number"},
        "names": {"type": "array", "items": {"type": "string"}},
        "extra": {"type": "object"},
    },
    "required": ["message"],
}
SOURCES: dict[str, list[str]] = {
    "string": [
        "'a'",
        "input.message",
        "state.text + '!'",
        "string(state.count)",
        "error.node",
        "'é' + input.names[0]",
    ],
    "integer": [
        "1",
        "state.count + 1",
        "size(state.list)",
        "input.limit",
        "1 / state.count",
        "int(state.score)",
    ],
    "number": [
        "1.5",
        "state.score * 2.0",
        "double(state.count)",
        "state.total",
        "input.rate",
        "2",
        "1.0 / 0.0",
    ],
    "boolean": [
        "true",
        "state.done",
        "state.count < 2",
        "size(input.message) > 3",
        "has(state.facts.a)",
        "!state.done",
    ],
    "object": ["{'a': 1}", "state.facts", "state.record", "{'b': state.text}", "{}", "input.extra"],
    "array": ["[1]", "state.list", "[]", "state.list.map(i, i + 1)", "[state.count, 2]", "state.list + [3]"],
    "any": [
        "null",
        "state.item",
        "state.facts.a",
        "1",
        "'x'",
        "[state.item]",
        "timestamp('2026-01-01T00:00:00Z')",
    ],
}
SHARED = [name for name, field in STATE.items() if "reducer" in field]
"""What several branches may write."""
WRONG = [
    "",
    "1 +",
    "nobody",
    "state.nothing",
    "state.text.a.b",
    "b'x'",
    "1 + 1.0",
    "type(1)",
    "duration('1s')",
    "x" * 300,
]
TEMPLATES = [
    "",
    "text",
    "{{ state.text }}",
    "a {{ state.count }} b",
    "{{ state.facts }}",
    "{{ '}}' }}",
    "{{ input.limit }}",
]
WRONG_TEMPLATES = ["{{", "{{ }}", "{{ nobody }}", "{{ state.text", "{{ '"]

rarely = st.integers(0, 40).map(lambda number: number == 40)
often = st.integers(0, 3).map(bool)


class _Builder:
    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.nodes: list[Json] = [{"id": "start", "kind": "start"}]
        self.edges: list[Json] = []
        self.in_branches = 0

    def document(self) -> Json:
        exits = self.sequence([("start", "")], depth=0, most=4)
        self._end(exits)
        return {
            "name": "fuzzed",
            "input": INPUT,
            "state": copy.deepcopy(STATE),
            "nodes": self.nodes,
            "edges": self.edges,
        }

    def sequence(self, exits: list[Exit], depth: int, most: int, least: int = 0) -> list[Exit]:
        """So many blocks one after the other, which begin at these exits; the exits of the last."""
        for _ in range(self.draw(st.integers(least, most))):
            kinds = [self._node, self._node, self._fallible, self._fallible]
            if depth < 3:
                kinds += [self._condition, self._parallel, self._loop, self._approval]
            exits = self.draw(st.sampled_from(kinds))(exits, depth)
        return exits

    # --- blocks ---

    def _node(self, exits: list[Exit], depth: int) -> list[Exit]:
        names = SHARED if self.in_branches and self.draw(often) else list(STATE)
        fields = self.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        return [(self._add("transform", exits, set={name: self._source_for(name) for name in fields}), "")]

    def _fallible(self, exits: list[Exit], depth: int) -> list[Exit]:
        kind = self.draw(st.sampled_from(["llm", "tool", "http", "agent", "workflow"]))
        call = self._call(kind)
        name = self._add(kind, exits, **call, **self._output(kind, call))
        if self.draw(often):
            return [(name, "")]
        if self.draw(st.booleans()):
            return [(name, ""), (name, "error")]
        return [(name, ""), *self._node([(name, "error")], depth)]

    def _call(self, kind: str) -> Json:
        values = {"note": self._template(), "deep": {"list": [self._template(), 1]}}
        match kind:
            case "llm":
                schema = {"schema": {"type": "object"}} if self.draw(st.booleans()) else {}
                return {"model": "gpt", "prompt": self._template(), "system": self._template(), **schema}
            case "agent":
                return {"agent": "helper", "message": self._template()}
            case "tool":
                return {"tool": "pay", "arguments": values}
            case "workflow":
                return {"workflow": "other", "input": values}
        request = {"method": "GET", "url": "https://api.example.com/{note}"}
        return {"request": request, "arguments": {"note": self._template()}}

    def _condition(self, exits: list[Exit], depth: int) -> list[Exit]:
        cases = [f"case{number}" for number in range(self.draw(st.integers(1, 2)))]
        whens = [{"case": case, "when": self._source("boolean")} for case in cases]
        name = self._add("condition", exits, cases=whens)
        found = [self.sequence([(name, case)], depth + 1, 2) for case in (*cases, "default")]
        if not depth and self.draw(st.booleans()):
            self._end(found.pop())
        return [one for exits in found for one in exits]

    def _parallel(self, exits: list[Exit], depth: int) -> list[Exit]:
        join = self._name("join")
        name = self._add("parallel", exits, join=join)
        self.in_branches += 1
        found = [self.sequence([(name, "")], depth + 1, 2, 1) for _ in range(self.draw(st.integers(2, 3)))]
        self.in_branches -= 1
        self.nodes.append({"id": join, "kind": "join"})
        self._connect([one for exits in found for one in exits], join)
        return [(join, "")]

    def _loop(self, exits: list[Exit], depth: int) -> list[Exit]:
        bound: Json = {"max": self.draw(st.integers(1, 3))}
        if self.draw(st.booleans()):
            bound["over"] = self._source("array")
            if not self.in_branches:
                bound["item"] = self.draw(st.sampled_from(["item", "item", "item", "text"]))
        else:
            bound["while"] = self._source("boolean")
        name = self._add("loop", exits, **bound)
        self._connect(self.sequence([(name, "body")], depth + 1, 2), name)
        return [(name, "done")]

    def _approval(self, exits: list[Exit], depth: int) -> list[Exit]:
        shown = {"message": self._template(), "show": {"a": self._template()}}
        name = self._add("approval", exits, **shown, **self._output("approval", shown))
        approved = self.sequence([(name, "approved")], depth + 1, 1)
        return [*approved, *self.sequence([(name, "rejected")], depth + 1, 1)]

    def _end(self, exits: list[Exit]) -> None:
        self._add("end", exits, output={"said": self._template(), "all": [self._template()]})

    # --- parts ---

    def _add(self, kind: str, exits: list[Exit], **data: Any) -> str:
        name = self._name(kind)
        self.nodes.append({"id": name, "kind": kind, **data})
        self._connect(exits, name)
        return name

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.nodes)}_{len(self.edges)}"

    def _connect(self, exits: list[Exit], target: str) -> None:
        for source, case in exits:
            self.edges.append({"from": source, "to": target, **({"case": case} if case else {})})

    def _output(self, kind: str, call: Json) -> Json:
        if kind in ("agent", "llm", "approval"):
            is_object = kind == "approval" or "schema" in call
            shared, own = ("record", "facts") if is_object else ("notes", "text")
        else:
            # Whatever it is, it may not fit when it comes.
            shared, own = "record", self.draw(st.sampled_from(["item", "item", "facts", "text"]))
        return {"output": shared if self.in_branches and self.draw(often) else own}

    def _source_for(self, name: str) -> str:
        field = STATE[name]
        if field.get("reducer") == "append":
            return self._source(field["items"]["type"])
        return self._source(field["type"])

    def _source(self, kind: str) -> str:
        return self.draw(st.sampled_from(WRONG if self.draw(rarely) else SOURCES[kind]))

    def _template(self) -> str:
        return self.draw(st.sampled_from(WRONG_TEMPLATES if self.draw(rarely) else TEMPLATES))


@st.composite
def whole_documents(draw: Any) -> Json:
    """Nearly valid: some expressions do not fit, some branches write the same."""
    return _Builder(draw).document()


@st.composite
def documents(draw: Any) -> Json:
    """Nearly valid, and with up to three things changed."""
    document = draw(whole_documents())
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        draw(st.sampled_from(_CHANGES))(draw, document)
    return document


def _node_of(draw: Any, document: Json) -> Json | None:
    return draw(st.sampled_from(document["nodes"])) if document["nodes"] else None


def _edge_of(draw: Any, document: Json) -> Json | None:
    return draw(st.sampled_from(document["edges"])) if document["edges"] else None


def _id_of(draw: Any, document: Json) -> Any:
    return draw(st.sampled_from([node.get("id") for node in document["nodes"]] + ["nobody"]))


def _drop_node(draw: Any, document: Json) -> None:
    if node := _node_of(draw, document):
        document["nodes"].remove(node)


def _drop_edge(draw: Any, document: Json) -> None:
    if edge := _edge_of(draw, document):
        document["edges"].remove(edge)


def _add_edge(draw: Any, document: Json) -> None:
    case = draw(st.sampled_from([{}, {"case": "error"}, {"case": "body"}, {"case": "default"}]))
    document["edges"].append({"from": _id_of(draw, document), "to": _id_of(draw, document), **case})


def _redirect(draw: Any, document: Json) -> None:
    if edge := _edge_of(draw, document):
        edge[draw(st.sampled_from(["from", "to"]))] = _id_of(draw, document)


def _change_part(draw: Any, document: Json) -> None:
    if node := _node_of(draw, document):
        node[draw(st.sampled_from(sorted(node)) | names)] = draw(anything)


def _drop_part(draw: Any, document: Json) -> None:
    if node := _node_of(draw, document):
        node.pop(draw(st.sampled_from(sorted(node))))


def _twin(draw: Any, document: Json) -> None:
    if node := _node_of(draw, document):
        document["nodes"].append(copy.deepcopy(node))


def _change_field(draw: Any, document: Json) -> None:
    name = draw(st.sampled_from(sorted(STATE)) | st.sampled_from(["in", "null", "true", "package", "while"]))
    document["state"][name] = draw(
        st.sampled_from(
            [{"type": "string"}, {"type": "array"}, {"type": "number", "reducer": "merge"}, {"type": "any"}]
        )
        | anything
    )


def _turn_round(draw: Any, document: Json) -> None:
    document["nodes"].reverse()


_CHANGES = [
    _drop_node,
    _drop_edge,
    _add_edge,
    _redirect,
    _change_part,
    _drop_part,
    _twin,
    _change_field,
    _turn_round,
]
