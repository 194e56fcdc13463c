"""Whether the edges of a document make a graph that comes to an end: reachable, complete, bounded, well joined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from agents.workflows.document import ERROR, FALLIBLE, Document, Edge, Node
from agents.workflows.faults import Fault


def graph_faults(document: Document) -> list[Fault]:
    """All faults of the graph. Where edges are wrong, nothing that follows from them is said."""
    if faults := [*_edge_faults(document), *_port_faults(document)]:
        return faults
    faults = [*_reach_faults(document), *_cycle_faults(document)]
    return faults or list(_parallel_faults(document))


def branches(document: Document, parallel: Node) -> dict[str, set[str]]:
    """Each branch of a parallel node: its first node → all of its nodes, up to the join."""
    join = parallel.data["join"]
    return {
        edge.target: _reached([edge.target], lambda name: _successors(document, name, stop=join), join)
        for edge in document.outgoing[parallel.id]
    }


def inner_loops(document: Document, loop: Node) -> list[str]:
    """The loops in a loop's body: come to from there, and by no way around the loop itself."""
    around = _reached([document.start.id], lambda name: _successors(document, name, stop=loop.id))
    body = document.targets(loop)["body"]
    inside = _reached([body], lambda name: _successors(document, name, stop=loop.id), loop.id)
    return [node.id for node in document.of_kind("loop") if node.id in inside and node.id not in around]


# --- edges ---


def _edge_faults(document: Document) -> Iterator[Fault]:
    seen: set[tuple[str, str, str]] = set()
    for edge in document.edges:
        ends = (("from", edge.source), ("to", edge.target))
        missing = [(end, name) for end, name in ends if name not in document.by_id]
        for end, name in missing:
            yield Fault(("edges", edge.index, end), f"There is no node {name!r}.")
        if not missing:
            yield from _end_faults(document, edge)
        if (key := (edge.source, edge.target, edge.case)) in seen:
            yield Fault(
                ("edges", edge.index), f"This edge from {edge.source!r} to {edge.target!r} stands twice."
            )
        seen.add(key)


def _end_faults(document: Document, edge: Edge) -> Iterator[Fault]:
    if document.by_id[edge.target].kind == "start":
        yield Fault(("edges", edge.index, "to"), "No edge leads to the start.")
    if document.by_id[edge.source].kind == "end":
        yield Fault(("edges", edge.index, "from"), "No edge leads on from an end.")


def _port_faults(document: Document) -> Iterator[Fault]:
    """Which edges lead on from each node: as many, and with such cases, as its kind says."""
    for node in document.nodes:
        edges = document.outgoing.get(node.id, ())
        if node.kind == "parallel":
            yield from _parallel_ports(node, edges)
        elif node.kind != "end":
            yield from _case_ports(node, edges)


def _parallel_ports(node: Node, edges: Iterable[Edge]) -> Iterator[Fault]:
    found = list(edges)
    if len(found) < 2:
        yield _node_fault(node, "Two edges or more lead on from a parallel node, one for each branch.")
    for edge in found:
        if edge.case:
            yield Fault(("edges", edge.index, "case"), "The branches of a parallel node have no cases.")


def _case_ports(node: Node, edges: Iterable[Edge]) -> Iterator[Fault]:
    required = node.cases or ("",)
    allowed = {*required, ERROR} if node.kind in FALLIBLE else set(required)
    cases: set[str] = set()
    for edge in edges:
        if edge.case not in allowed:
            yield Fault(("edges", edge.index, "case"), _unknown_case(node, edge, required))
        elif edge.case in cases:
            yield Fault(("edges", edge.index), _second_edge(node, edge))
        cases.add(edge.case)
    for case in required:
        if case not in cases:
            said = (
                f"No edge with the case {case!r} leads on from here."
                if case
                else "No edge leads on from here."
            )
            yield _node_fault(node, said)
    if len(set(node.cases)) < len(node.cases):
        yield _node_fault(
            node, "Each case stands once, and `default` is the one that needs no condition.", "cases"
        )


def _unknown_case(node: Node, edge: Edge, required: tuple[str, ...]) -> str:
    if not node.cases:
        hint = f" Only {ERROR!r} is one." if node.kind in FALLIBLE else ""
        return f"Edges from a node of kind {node.kind} have no cases.{hint}"
    named = ", ".join(required)
    return (
        f"{node.id!r} has no case {edge.case!r}. Give one of: {named}."
        if edge.case
        else f"Give a case: {named}."
    )


def _second_edge(node: Node, edge: Edge) -> str:
    if edge.case:
        return f"Another edge from {node.id!r} has the case {edge.case!r}."
    return f"Another edge leads on from {node.id!r}. To go two ways at once, put a parallel node between."


# --- reach and cycles ---


def _reach_faults(document: Document) -> Iterator[Fault]:
    reached = _reached([document.start.id], lambda name: _successors(document, name))
    ends = [node.id for node in document.of_kind("end")]
    leading = _reached(ends, lambda name: [edge.source for edge in document.incoming.get(name, ())])
    for node in document.nodes:
        if node.id not in reached:
            yield _node_fault(node, "It cannot be reached from the start.")
        elif node.id not in leading:
            yield _node_fault(node, "No way leads from here to an end.")


def _cycle_faults(document: Document) -> Iterator[Fault]:
    """Without the bodies of loops nothing may go round; and a body has to come back to its loop."""
    for node in document.of_kind("loop"):
        body = document.targets(node)["body"]
        if node.id not in _reached([body], lambda name: _successors(document, name)):
            yield _node_fault(node, "Its body does not lead back to it.")
    if cycle := _unbounded_cycle(document):
        named = " → ".join([*cycle, cycle[0]])
        yield _node_fault(
            document.by_id[cycle[0]],
            f"This goes round without a bound: {named}. Let it go round through the body of a loop node.",
        )


def _unbounded_cycle(document: Document) -> list[str]:
    """The nodes of a cycle that no loop bounds; none where there is none."""
    following = {
        node.id: [edge.target for edge in document.outgoing.get(node.id, ()) if not _is_body(node, edge)]
        for node in document.nodes
    }
    try:
        TopologicalSorter(following).prepare()
    except CycleError as error:
        return error.args[1][:0:-1]
    return []


def _is_body(node: Node, edge: Edge) -> bool:
    return node.kind == "loop" and edge.case == "body"


# --- parallel branches ---


def _parallel_faults(document: Document) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for node in document.of_kind("parallel"):
        join = document.by_id.get(node.data["join"])
        if join is None or join.kind != "join":
            yield _node_fault(node, f"There is no join {node.data['join']!r}.", "join")
        elif join.id in taken:
            yield _node_fault(node, f"The join {join.id!r} is that of {taken[join.id]!r} already.", "join")
        else:
            taken[join.id] = node.id
            yield from _branch_faults(document, node, join)
    for join in document.of_kind("join"):
        if join.id not in taken:
            yield _node_fault(join, "No parallel node names it as its join.")


def _branch_faults(document: Document, parallel: Node, join: Node) -> Iterator[Fault]:
    found = branches(document, parallel)
    if join.id in found:
        yield _node_fault(parallel, f"One of its branches is empty: the edge leads to {join.id!r} at once.")
        return
    for first, nodes in found.items():
        yield from _region_faults(document, parallel, first, nodes)
    owners: dict[str, str] = {}
    for first, nodes in found.items():
        for name in sorted(nodes):
            if (other := owners.setdefault(name, first)) != first:
                said = f"It is in two branches of {parallel.id!r}: that of {other!r} and that of {first!r}."
                yield _node_fault(document.by_id[name], said)
    for edge in document.incoming.get(join.id, ()):
        if edge.source not in owners:
            yield Fault(
                ("edges", edge.index, "to"), f"{join.id!r} joins the branches of {parallel.id!r} only."
            )
    yield from _write_faults(document, parallel, found)


def _region_faults(document: Document, parallel: Node, first: str, nodes: set[str]) -> Iterator[Fault]:
    for name in sorted(nodes):
        node = document.by_id[name]
        if node.kind == "end" or name == parallel.id:
            yield _node_fault(
                node, f"A branch of {parallel.id!r} leads here and past its join {parallel.data['join']!r}."
            )
        for edge in document.incoming.get(name, ()):
            if edge.source not in nodes and (edge.source, name) != (parallel.id, first):
                yield Fault(
                    ("edges", edge.index, "to"),
                    f"{name!r} is in a branch of {parallel.id!r}, which begins at {first!r}.",
                )


def _write_faults(document: Document, parallel: Node, found: dict[str, set[str]]) -> Iterator[Fault]:
    """Of two branches that write the same field one would be lost."""
    writers: dict[str, tuple[str, str]] = {}
    for first, nodes in found.items():
        for node in (document.by_id[name] for name in sorted(nodes)):
            for name in node.writes:
                state_field = document.state.get(name)
                if state_field is None or state_field.reducer != "replace":
                    continue
                branch, other = writers.setdefault(name, (first, node.id))
                if branch != first:
                    yield _node_fault(
                        node,
                        f"It writes {name!r} as {other!r} does, in another branch of {parallel.id!r}. Give the field a "
                        "reducer, or write another one.",
                    )


# --- walking ---


def _successors(document: Document, name: str, stop: str = "") -> list[str]:
    if name == stop:
        return []
    return [edge.target for edge in document.outgoing.get(name, ())]


def _reached(first: Iterable[str], following: Callable[[str], Iterable[str]], without: str = "") -> set[str]:
    """All that can be come to from `first`, these included; `without` is where the walk ends, left out."""
    pending, reached = list(first), set(first)
    while pending:
        for name in following(pending.pop()):
            if name not in reached:
                reached.add(name)
                pending.append(name)
    return reached - {without}


def _node_fault(node: Node, message: str, *field: str) -> Fault:
    return Fault(("nodes", node.index, *field), message, node.id)
