"""Where a graph's nodes stand in a picture: in layers from top to bottom, edges led around what lies between.

The layers, their order and the coordinates are the work of `fast_sugiyama` (the method of Sugiyama, Tagawa and Toda).
What we add keeps its work small and its answer the same every time: edges that lead back are turned before, and very
long edges are led around other nodes only as far as that costs a second at most. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fast_sugiyama import from_edges

Pair = tuple[int, int]
Point = tuple[float, float]

UNIT = 72.0
"""The distance of neighbours in a layer, and of layers, in the library's own measure."""
MOST_BENDS = 10_000
"""Points that edges are led through, of all edges together. The library's work grows faster than their number."""


@dataclass(frozen=True, slots=True)
class Layout:
    """In units of a node with its margin: neighbours in a layer are 1 apart at least, layers are 1 apart."""

    places: tuple[Point, ...]
    """Of each node, by its number."""
    bends: dict[Pair, tuple[Point, ...]]
    """What an edge passes between its ends, in its direction; nothing where it goes straight."""
    back: frozenset[Pair]
    """Edges that lead back to a node before: those of loops."""


def lay_out(size: int, edges: Iterable[Pair]) -> Layout:
    """The places of the nodes 0 … `size` - 1 with these edges. Edges from a node to itself have no part in it."""
    pairs = list(dict.fromkeys(pair for pair in edges if pair[0] != pair[1]))
    back = _leading_back(size, pairs)
    forward = list(dict.fromkeys(pair[::-1] if pair in back else pair for pair in pairs))
    places, bends = _drawn(_short_enough(_ranks(size, forward), forward))
    _put_beside(size, places)
    for pair in back - {pair[::-1] for pair in set(pairs) - back}:
        bends[pair] = bends.pop(pair[::-1], ())[::-1]
    return Layout(tuple(places[node] for node in range(size)), bends, back)


def _leading_back(size: int, pairs: Sequence[Pair]) -> frozenset[Pair]:
    """Edges to a node that is still being walked through, in a walk that begins with node 0."""
    following = _following(pairs)
    back: set[Pair] = set()
    done: set[int] = set()
    for first in range(size):
        if first in done:
            continue
        under_way = {first}
        stack: list[tuple[int, Iterator[int]]] = [(first, iter(following[first]))]
        while stack:
            node, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                stack.pop()
                under_way.discard(node)
                done.add(node)
            elif target in under_way:
                back.add((node, target))
            elif target not in done:
                under_way.add(target)
                stack.append((target, iter(following[target])))
    return frozenset(back)


def _ranks(size: int, forward: Sequence[Pair]) -> list[int]:
    """How many edges lead to each node at most."""
    following = _following(forward)
    waiting = [0] * size
    for _, target in forward:
        waiting[target] += 1
    ranks = [0] * size
    ready = [node for node in range(size) if not waiting[node]]
    while ready:
        node = ready.pop()
        for target in following[node]:
            ranks[target] = max(ranks[target], ranks[node] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    return ranks


def _short_enough(ranks: Sequence[int], forward: Sequence[Pair]) -> list[Pair]:
    """The edges without the longest ones. One that leads to the next layer is always among them."""
    kept, bends = [], 0
    for source, target in sorted(forward, key=lambda pair: ranks[pair[1]] - ranks[pair[0]]):
        bends += ranks[target] - ranks[source] - 1
        if bends > MOST_BENDS:
            break
        kept.append((source, target))
    return sorted(kept)


def _drawn(pairs: Sequence[Pair]) -> tuple[dict[int, Point], dict[Pair, tuple[Point, ...]]]:
    """The library's picture of a graph without cycles; its parts stand side by side.

    The library numbers bends from the number of nodes on, so its nodes have to be numbered without a gap.
    """
    nodes = sorted({node for pair in pairs for node in pair})
    numbers = {node: number for number, node in enumerate(nodes)}
    dense = [(numbers[source], numbers[target]) for source, target in pairs]
    places: dict[int, Point] = {}
    bends: dict[Pair, tuple[Point, ...]] = {}
    left = 0.0
    for positions, width, height, drawn in from_edges(dense, vertex_spacing=UNIT, dummy_size=UNIT / 3):
        points = {int(one): (left + x / UNIT, (height - y) / UNIT) for one, (x, y) in positions}
        places |= {nodes[one]: point for one, point in points.items() if one < len(nodes)}
        for source, target, between in _chains(len(nodes), drawn or ()):
            bends[nodes[source], nodes[target]] = tuple(points[one] for one in between)
        left += width / UNIT + 1
    return places, bends


def _chains(size: int, drawn: Iterable[tuple[int | str, int | str]]) -> Iterator[tuple[int, int, list[int]]]:
    """Source and target of each edge, and the bends between them."""
    edges = [(int(source), int(target)) for source, target in drawn]
    after = {source: target for source, target in edges if source >= size}
    for source, target in edges:
        if source >= size:
            continue
        between = []
        while target >= size:
            between.append(target)
            target = after[target]
        yield source, target, between


def _put_beside(size: int, places: dict[int, Point]) -> None:
    """Nodes without an edge: in a row below the others."""
    below = max((y for _, y in places.values()), default=-1.0) + 1
    alone = [node for node in range(size) if node not in places]
    for column, node in enumerate(alone):
        places[node] = (float(column), below)


def _following(pairs: Iterable[Pair]) -> dict[int, list[int]]:
    following: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in pairs:
        following[source].append(target)
    return following
