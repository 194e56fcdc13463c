"""The picture of a workflow as SVG. Texts are escaped, and there are no scripts and nothing from elsewhere in it."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Iterator
from html import escape
from pathlib import Path

from agents.workflows.layout import Point
from agents.workflows.pictures import NodeState, Picture, PictureEdge, PictureNode

# Pixels.
WIDTH, HEIGHT = 168, 56
GAP_X, GAP_Y = 40, 44
MARGIN = 24
BOW = 26
"""How far an edge that leads back bows out beside the nodes."""
LONGEST_LINE = 22
SHORTEST_SHOWN = 0.05
"""Seconds."""
# For programs without CSS.
_COLOURS = {"box": 'fill="#fff" stroke="#5c6473"', "mark": 'fill="#5c6473"'}
_STYLESHEET = Path(__file__).resolve().parents[2] / "static" / "workflows" / "picture.css"


@functools.cache
def stylesheet() -> str:
    """What pictures look like; pages link the same file."""
    return _STYLESHEET.read_text(encoding="utf-8")


@functools.cache
def content_security_policy() -> str:
    """For a picture as a file: nothing but its own style sheet."""
    digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; frame-ancestors 'none'; sandbox"
    )


def as_svg(picture: Picture, title: str, *, is_file: bool = True) -> str:
    """The picture; `is_file`: with its style sheet in it, else the page around it has that."""
    return _Writer(picture).written(title, stylesheet() if is_file else "")


def facts_of(state: NodeState) -> str:
    """What stands below a node's name: `2× · 1.2 s · 340 tokens`."""
    tokens = state.input_tokens + state.output_tokens
    parts = [
        f"{state.visits}×" if state.visits > 1 else "",
        f"{state.duration:.1f} s" if state.duration >= SHORTEST_SHOWN else "",
        f"{tokens:,} tokens" if tokens else "",
    ]
    return " · ".join(filter(None, parts))


def said_of(node: PictureNode, state: NodeState | None) -> str:
    """A node in a sentence: its whole label, its kind and how it stands."""
    return f"{node.label} ({node.kind})" + (f": {state.status}" if state else "")


class _Writer:
    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        layout = picture.layout
        points = [*layout.places, *(point for bends in layout.bends.values() for point in bends)]
        self.left = min((x for x, _ in points), default=0.0)
        self.width = (max((x for x, _ in points), default=0.0) - self.left) * (WIDTH + GAP_X) + WIDTH
        self.height = max((y for _, y in points), default=0.0) * (HEIGHT + GAP_Y) + HEIGHT

    def written(self, title: str, style: str) -> str:
        width, height = self.width + 2 * (MARGIN + BOW), self.height + 2 * MARGIN
        return "".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" class="workflow-picture" role="img" '
                f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}">',
                f"<title>{_text(title)}</title><desc>{_text(self._described())}</desc>",
                f"<style>{style}</style>" if style else "",
                *self._edges(),
                *map(self._node, self.picture.nodes),
                "</svg>",
            ]
        )

    def _described(self) -> str:
        nodes, edges = len(self.picture.nodes), len(self.picture.edges)
        return f"A workflow of {nodes} nodes and {edges} edges, from top to bottom."

    def _at(self, point: Point) -> Point:
        """Pixels of a place in the layout."""
        x, y = point
        return (
            MARGIN + BOW + WIDTH / 2 + (x - self.left) * (WIDTH + GAP_X),
            MARGIN + HEIGHT / 2 + y * (HEIGHT + GAP_Y),
        )

    # --- nodes ---

    def _node(self, node: PictureNode) -> str:
        x, y = self._at(self.picture.layout.places[self.picture.numbers[node.id]])
        state = self.picture.states.get(node.id)
        status = f' data-status="{_text(state.status)}"' if state else ""
        facts = facts_of(state) if state else ""
        return (
            f'<g class="node kind-{_text(node.kind)}" data-node="{_text(node.id)}"{status}'
            f' transform="translate({x:.1f} {y:.1f})"><title>{_text(said_of(node, state))}</title>'
            f"{_shape(node.kind)}"
            f"{_words('label', -6 if state else -2, _cut(node.label))}"
            f"{_words('kind', 9 if state else 14, node.kind)}{_words('facts', 22, facts)}</g>"
        )

    # --- edges ---

    def _edges(self) -> Iterator[str]:
        """One line for the edges of a pair of nodes, with the cases of all of them."""
        cases: dict[tuple[str, str], list[PictureEdge]] = {}
        for edge in self.picture.edges:
            cases.setdefault((edge.source, edge.target), []).append(edge)
        for edges in cases.values():
            yield self._edge(edges)

    def _edge(self, edges: list[PictureEdge]) -> str:
        first = edges[0]
        is_back = first.source == first.target or self.picture.leads_back(first)
        points = self._around(first) if is_back else self._down(first)
        case = " / ".join(edge.case for edge in edges if edge.case)
        look = f'class="edge{" back" if is_back else ""}" fill="none" stroke="#8a93a3"'
        line = f'<path {look} d="{_curve(points, is_back)}"/>'
        return f"{line}{_head(points, is_back)}{self._case(points, case)}"

    def _case(self, points: list[Point], case: str) -> str:
        """Near the source, where edges of different cases part."""
        if not case:
            return ""
        (x, y), (other_x, other_y) = points[0], points[1]
        place = f'x="{x + (other_x - x) * 0.5:.1f}" y="{y + (other_y - y) * 0.5 + 4:.1f}"'
        look = 'class="case" text-anchor="middle" fill="#5c6473" font-size="11"'
        return f"<text {look} {place}>{_text(_cut(case))}</text>"

    def _down(self, edge: PictureEdge) -> list[Point]:
        """From the lower side of a node to the upper side of the next."""
        source, target, bends = self._ends(edge)
        return [(source[0], source[1] + HEIGHT / 2), *bends, (target[0], target[1] - HEIGHT / 2)]

    def _around(self, edge: PictureEdge) -> list[Point]:
        """From side to side, on the side where the bends are, else on the left."""
        source, target, bends = self._ends(edge)
        middle = bends or [(min(source[0], target[0]) - WIDTH / 2 - BOW, (source[1] + target[1]) / 2)]
        return [_side(source, middle[0]), *middle, _side(target, middle[-1])]

    def _ends(self, edge: PictureEdge) -> tuple[Point, Point, list[Point]]:
        layout, pair = self.picture.layout, self._pair(edge)
        source, target = (self._at(layout.places[number]) for number in pair)
        return source, target, [self._at(point) for point in layout.bends.get(pair, ())]

    def _pair(self, edge: PictureEdge) -> tuple[int, int]:
        return self.picture.numbers[edge.source], self.picture.numbers[edge.target]


def _side(node: Point, towards: Point) -> Point:
    return (node[0] + (WIDTH / 2 if towards[0] > node[0] else -WIDTH / 2), node[1])


def _curve(points: list[Point], is_back: bool) -> str:
    """A smooth line: each piece leaves and arrives upright, at the ends of an edge that leads back level."""
    (x, y), *rest = points
    written = [f"M{x:.1f} {y:.1f}"]
    for number, (to_x, to_y) in enumerate(rest, start=1):
        half = (to_y - y) / 2
        leaves = (to_x, y) if is_back and number == 1 else (x, y + half)
        arrives = (x, to_y) if is_back and number == len(rest) else (to_x, to_y - half)
        written.append(
            f"C{leaves[0]:.1f} {leaves[1]:.1f} {arrives[0]:.1f} {arrives[1]:.1f} {to_x:.1f} {to_y:.1f}"
        )
        x, y = to_x, to_y
    return "".join(written)


def _head(points: list[Point], is_back: bool) -> str:
    x, y = points[-1]
    if is_back:
        away = 7 if points[-2][0] > x else -7
        corners = f"{x:.1f},{y:.1f} {x + away:.1f},{y - 4:.1f} {x + away:.1f},{y + 4:.1f}"
    else:
        corners = f"{x:.1f},{y:.1f} {x - 4:.1f},{y - 7:.1f} {x + 4:.1f},{y - 7:.1f}"
    return f'<polygon class="head" fill="#8a93a3" points="{corners}"/>'


def _shape(kind: str) -> str:
    """Pointed: what decides. Round: the ends. Sharp: parallel and join. With a bar: what has a run of its own."""
    if kind in ("condition", "loop", "approval"):
        return _pointed_box()
    radius = {"start": HEIGHT / 2, "end": HEIGHT / 2, "parallel": 1, "join": 1}.get(kind, 9)
    box = _rectangle("box", -WIDTH / 2, -HEIGHT / 2, WIDTH, HEIGHT, radius)
    if kind not in ("agent", "workflow"):
        return box
    return box + _rectangle("mark", -WIDTH / 2 + 5, -HEIGHT / 2 + 9, 3, HEIGHT - 18, 1.5)


def _pointed_box() -> str:
    x, y, point = WIDTH / 2, HEIGHT / 2, 14
    corners = [(-x, 0), (point - x, -y), (x - point, -y), (x, 0), (x - point, y), (point - x, y)]
    written = " ".join(f"{one},{other}" for one, other in corners)
    return f'<polygon class="box" {_COLOURS["box"]} points="{written}"/>'


def _rectangle(name: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    place = f'x="{x}" y="{y}" width="{width}" height="{height}" rx="{radius}"'
    return f'<rect class="{name}" {_COLOURS[name]} {place}/>'


def _words(name: str, y: float, text: str) -> str:
    size = {"label": 13, "kind": 10.5, "facts": 10.5}[name]
    return f'<text class="{name}" text-anchor="middle" font-size="{size}" y="{y}">{_text(text)}</text>'


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 1]}…"


def _text(text: str) -> str:
    """Escaped, and without what XML cannot hold."""
    return escape("".join(one for one in text if one.isprintable()))
