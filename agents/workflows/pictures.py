"""A workflow's graph as a picture: as JSON with places, and as a Mermaid flowchart. The SVG is `svg`'s. Pure.

What is drawn need not be valid: an editor shows the picture while somebody types. Nodes without an id and edges that
lead nowhere are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.workflows.layout import Layout, lay_out
from agents.workflows.schema import MOST_EDGES, MOST_NODES

Json = dict[str, Any]

LONGEST_LABEL = 100
# Mermaid's brackets around a label, by kind: what decides is a rhombus, what waits a hexagon, and so on.
_SHAPES = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "condition": ("{", "}"),
    "loop": ("{", "}"),
    "approval": ("{{", "}}"),
    "parallel": ("[/", "\\]"),
    "join": ("[\\", "/]"),
    "workflow": ("[[", "]]"),
    "tool": ("[(", ")]"),
    "http": ("[(", ")]"),
}
_PLAIN = ("[", "]")
# What means something in a label of Mermaid or in the HTML that it becomes.
_MARKS = set("\"'#&;<>`{}[]()|\\/%@~*_$:")
_STATUS_COLOURS = {
    "running": "#dbeafe,stroke:#1d4ed8",
    "waiting": "#fef9c3,stroke:#a16207",
    "completed": "#dcfce7,stroke:#15803d",
    "failed": "#fee2e2,stroke:#b91c1c",
    "skipped": "#f1f2f5,stroke:#9aa3b2",
}


@dataclass(frozen=True, slots=True)
class NodeState:
    """How a node of a run stands: `status` is pending, running, waiting, completed, failed or skipped.

    `visits` counts how often it has come to its end, `duration` is in seconds, all visits together. Tokens of an
    agent's or a nested workflow's node are those of the runs that it has started.
    """

    status: str
    visits: int = 0
    duration: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0

    def as_json(self) -> Json:
        """`{status, visits, duration, input_tokens, output_tokens, total_tokens}`."""
        return {
            "status": self.status,
            "visits": self.visits,
            "duration": round(self.duration, 3),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "total_tokens": self.input_tokens + self.output_tokens,
        }


@dataclass(frozen=True, slots=True)
class PictureNode:
    id: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class PictureEdge:
    source: str
    target: str
    case: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A graph with its layout; `states` are a run's, by the nodes' ids."""

    nodes: tuple[PictureNode, ...]
    edges: tuple[PictureEdge, ...]
    layout: Layout
    numbers: Mapping[str, int] = field(hash=False)
    """Of the nodes, by their ids, as the layout counts them."""
    states: Mapping[str, NodeState] = field(default_factory=dict, hash=False)

    def as_json(self) -> Json:
        """`{nodes: [{id, kind, label, x, y, status?, …}], edges: [{from, to, case, back}]}`.

        `x` and `y` are the place of the node's middle, in units of a node with its margin; `y` grows downwards.
        """
        return {"nodes": list(map(self._node, self.nodes)), "edges": list(map(self._edge, self.edges))}

    def _node(self, node: PictureNode) -> Json:
        x, y = self.layout.places[self.numbers[node.id]]
        state = self.states.get(node.id)
        return {
            **{"id": node.id, "kind": node.kind, "label": node.label, "x": round(x, 3), "y": round(y, 3)},
            **(state.as_json() if state else {}),
        }

    def _edge(self, edge: PictureEdge) -> Json:
        return {"from": edge.source, "to": edge.target, "case": edge.case, "back": self.leads_back(edge)}

    def leads_back(self, edge: PictureEdge) -> bool:
        """Whether it closes a loop."""
        return (self.numbers[edge.source], self.numbers[edge.target]) in self.layout.back

    def as_mermaid(self) -> str:
        """A flowchart. Nodes are called n0, n1 …, so that no id can be one of Mermaid's own words."""
        return "\n".join(
            ["flowchart TD", *self._mermaid_nodes(), *self._mermaid_edges(), *self._classes(), ""]
        )

    def _mermaid_nodes(self) -> Iterator[str]:
        for number, node in enumerate(self.nodes):
            opening, closing = _SHAPES.get(node.kind, _PLAIN)
            state = self.states.get(node.id)
            status = f":::{state.status}" if state and state.status in _STATUS_COLOURS else ""
            yield f'    n{number}{opening}"{_escaped(node.label)}"{closing}{status}'

    def _mermaid_edges(self) -> Iterator[str]:
        for edge in self.edges:
            source, target = self.numbers[edge.source], self.numbers[edge.target]
            label = f'|"{_escaped(edge.case)}"|' if edge.case else ""
            yield f"    n{source} -->{label} n{target}"

    def _classes(self) -> Iterator[str]:
        used = {state.status for state in self.states.values()}
        for status, colours in _STATUS_COLOURS.items():
            if status in used:
                yield f"    classDef {status} fill:{colours},color:#171a21"


def draw(data: Mapping[str, Any], states: Mapping[str, NodeState] | None = None) -> Picture:
    """The picture of a document, valid or not. `start` comes first where there is one, whatever its place."""
    nodes = tuple(sorted(_nodes(data), key=lambda node: node.kind != "start"))
    numbers = {node.id: number for number, node in enumerate(nodes)}
    edges = tuple(edge for edge in _edges(data) if edge.source in numbers and edge.target in numbers)
    layout = lay_out(len(nodes), [(numbers[edge.source], numbers[edge.target]) for edge in edges])
    return Picture(nodes, edges, layout, numbers, states or {})


def _nodes(data: Mapping[str, Any]) -> Iterator[PictureNode]:
    seen: set[str] = set()
    for node in _objects(data.get("nodes"), MOST_NODES):
        name = node.get("id")
        if isinstance(name, str) and name and name not in seen:
            seen.add(name)
            label = node.get("label")
            shown = label if isinstance(label, str) and label.strip() else name
            yield PictureNode(name, _text(node.get("kind")), " ".join(shown.split())[:LONGEST_LABEL])


def _edges(data: Mapping[str, Any]) -> Iterator[PictureEdge]:
    for edge in _objects(data.get("edges"), MOST_EDGES):
        yield PictureEdge(_text(edge.get("from")), _text(edge.get("to")), _text(edge.get("case")))


def _objects(value: Any, most: int) -> Iterator[Mapping[str, Any]]:
    return (one for one in (value if isinstance(value, list) else [])[:most] if isinstance(one, Mapping))


def _text(value: Any) -> str:
    return value[:LONGEST_LABEL] if isinstance(value, str) else ""


def _escaped(text: str) -> str:
    """Mermaid's own escapes: a number sign, the character's code and a semicolon."""
    return "".join(f"#{ord(one)};" if one in _MARKS or ord(one) < 32 else one for one in text)
