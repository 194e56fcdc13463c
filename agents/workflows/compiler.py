"""Builds the LangGraph graph of a workflow: its nodes, its routes, and the joins of its parallel branches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from agentplatform.lib.errors import InvalidConfig
from agents.compiler import CompiledModel, Secrets, make_chat
from agents.workflows import state
from agents.workflows.bodies import INVALID, Body, Update, Workshop, body_of
from agents.workflows.document import ERROR, Document, Node
from agents.workflows.effects import Effects, NodeFault
from agents.workflows.expressions import ExpressionFault, Scope
from agents.workflows.graph import branches
from agents.workflows.specification import WorkflowSpecification

Graph = StateGraph[Any, Any, Any, Any]
Gates = dict[tuple[str, str], str]
"""Node in a branch and the join that its branch leads to → the gate at the branch's end."""
Run = Any
"""A coroutine function of channels and runtime; LangGraph types states by classes that exist before the run."""


@dataclass(frozen=True, slots=True)
class CompiledWorkflow:
    """A workflow's graph. It holds no state of a run and serves any number of them at once."""

    specification: WorkflowSpecification
    graph: CompiledStateGraph[Any, Any, Any, Any]


def compile_workflow(
    specification: WorkflowSpecification,
    secrets: Secrets,
    effects: Effects,
    *,
    context_schema: type[Any] | None = None,
) -> CompiledWorkflow:
    """`secrets` are the plain values of `specification.secret_ids`. Raises InvalidConfig."""
    document = specification.document
    models = {
        node_id: tuple(CompiledModel(model, make_chat(model, secrets)) for model in chain)
        for node_id, chain in specification.models.items()
    }
    shop = Workshop(specification, Scope(document), effects, models)
    graph: Graph = StateGraph(state.schema(document), context_schema=context_schema)
    for node in document.nodes:
        if node.kind != "start":
            graph.add_node(node.id, _run(shop, node))
    graph.add_edge(START, document.targets(document.start)[""])
    gates = _gates(document)
    for node in document.nodes:
        _add_routes(graph, document, node, gates)
    _add_joins(graph, gates)
    return CompiledWorkflow(specification, graph.compile(name=specification.name))


def _run(shop: Workshop, node: Node) -> Run:
    """The node as LangGraph calls it. Raises InvalidConfig."""
    try:
        body = body_of(shop, node)
    except ExpressionFault as error:
        raise InvalidConfig({f"nodes.{node.id}": str(error)}) from error
    return _Run(shop, node, body, ERROR in shop.specification.document.targets(node))


@dataclass(frozen=True, slots=True)
class _Run:
    """An object and no function: LangGraph reads the byte code of functions in search of graphs, a millisecond each."""

    shop: Workshop
    node: Node
    body: Body
    catches: bool

    async def __call__(self, channels: Mapping[str, Any], runtime: Runtime[Any]) -> Update:
        document, route = self.shop.specification.document, state.route(self.node.id)
        values = self.shop.scope.values(
            channels.get(state.INPUT, {}),
            state.fields(document, channels),
            state.loops(document, channels),
            channels.get(state.ERROR),
        )
        with self.shop.effects.entered(runtime.context, self.node):
            try:
                update = await _do(self.body, values, runtime.context)
            except NodeFault as fault:
                if not self.catches:
                    raise NodeFault(
                        fault.error_class, f"The node {self.node.id!r} has failed. {fault.message}"
                    ) from fault
                return {state.ERROR: {"node": self.node.id, "message": fault.message}, route: ERROR}
        return {**update, route: ""} if self.catches else update


async def _do(body: Body, values: Mapping[str, Any], context: Any) -> Update:
    try:
        return await body(values, context)
    except ExpressionFault as error:
        raise NodeFault(INVALID, str(error)) from error


def _add_routes(graph: Graph, document: Document, node: Node, gates: Gates) -> None:
    """Where it goes on from a node."""
    targets: dict[Hashable, str] = {
        case: gates.get((node.id, target), target) for case, target in document.targets(node).items()
    }
    match node.kind:
        case "start":
            return
        case "end":
            graph.add_edge(node.id, END)
        case "parallel":
            for edge in document.outgoing[node.id]:
                graph.add_edge(node.id, edge.target)
        case _ if len(targets) > 1:
            graph.add_conditional_edges(node.id, _router(node), targets)
        case _:
            graph.add_edge(node.id, targets[""])


def _router(node: Node) -> Callable[[Mapping[str, Any]], str]:
    channel = state.route(node.id)

    def router(channels: Mapping[str, Any]) -> str:
        chosen: str = channels[channel]
        return chosen

    return router


def _gates(document: Document) -> Gates:
    """A join waits for all branches, and a branch may come to it by several ways: so each ends in a gate of its own."""
    return {
        (name, node.data["join"]): f"gate.{first}"
        for node in document.of_kind("parallel")
        for first, nodes in branches(document, node).items()
        for name in nodes
    }


def _add_joins(graph: Graph, gates: Gates) -> None:
    gate: Run = _pass
    by_join: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for (_, join), name in gates.items():
        by_join[join][name] = None
    for join, names in by_join.items():
        for name in names:
            graph.add_node(name, gate)
        graph.add_edge(list(names), join)


async def _pass(channels: Any) -> Update:
    return {}
