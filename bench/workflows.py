"""Workflows without the platform around them: validation, compilation, expressions, and a run beside plain LangGraph.

    python -m bench.workflows

prints one line of JSON, a `WorkflowFigures`.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import django

from bench.platform import PROJECT

Json = dict[str, Any]

NODES = 1_000
SHORT = 20
ITEMS = 10_000
REPEATS = 5
RUNS = 50
NOWHERE = uuid.UUID(int=0)


@dataclass(frozen=True, slots=True)
class WorkflowFigures:
    """Milliseconds, each the best of several; `run` and `bare_run` of a workflow of 20 nodes."""

    validation: float = 0.0
    compilation: float = 0.0
    run: float = 0.0
    bare_run: float = 0.0
    small_expression: float = 0.0
    expression: float = 0.0
    """Of one that reads a small field beside a list of 10,000 items, a node's other work included."""


def measure() -> WorkflowFigures:
    """Measures in a process of its own."""
    command = [sys.executable, "-m", "bench.workflows"]
    environment = {**os.environ, "DEBUG": "true"}
    finished = subprocess.run(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, check=True)
    return WorkflowFigures(**json.loads(finished.stdout.splitlines()[-1]))


# --- documents ---


def large_document(nodes: int = NODES) -> Json:
    """As many nodes of all that has no effects: loops, conditions and parallel branches in one line."""
    blocks = (nodes - 2) // 10
    built: list[Json] = [{"id": "start", "kind": "start"}]
    edges: list[Json] = []
    last: list[tuple[str, str]] = [("start", "")]
    for number in range(blocks):
        made, between, last = _block(number, last)
        built += made
        edges += between
    rest = [f"rest{number}" for number in range(nodes - len(built) - 1)]
    for name in rest:
        built.append(_transform(name))
        edges += _edges(last, name)
        last = [(name, "")]
    built.append({"id": "end", "kind": "end", "output": "{{ state.count }}"})
    return {"name": "large", "state": STATE, "nodes": built, "edges": [*edges, *_edges(last, "end")]}


STATE: Json = {
    "count": {"type": "integer", "reducer": "add"},
    "text": {"type": "string"},
    "items": {"type": "array", "items": {"type": "integer"}},
}


def _block(number: int, last: list[tuple[str, str]]) -> tuple[list[Json], list[Json], list[tuple[str, str]]]:
    """Ten nodes: a loop whose body is a condition between two transforms, then two branches and their join."""
    loop, which, one, two = (f"{name}{number}" for name in ("loop", "which", "one", "two"))
    split, join, left, right, after, last_one = (
        f"{name}{number}" for name in ("split", "join", "left", "right", "after", "last")
    )
    nodes = [
        {"id": loop, "kind": "loop", "while": f"loops.{loop} < 1", "max": 3},
        {"id": which, "kind": "condition", "cases": [{"case": "few", "when": "state.count < 100"}]},
        *map(_transform, (one, two)),
        {"id": split, "kind": "parallel", "join": join},
        *map(_transform, (left, right)),
        {"id": join, "kind": "join"},
        *map(_transform, (after, last_one)),
    ]
    edges = [
        *_edges(last, loop),
        *_edges([(loop, "body")], which),
        *_edges([(which, "few")], one),
        *_edges([(which, "default")], two),
        *_edges([(one, ""), (two, "")], loop),
        *_edges([(loop, "done")], split),
        *_edges([(split, "")], left),
        *_edges([(split, "")], right),
        *_edges([(left, ""), (right, "")], join),
        *_edges([(join, "")], after),
        *_edges([(after, "")], last_one),
    ]
    return nodes, edges, [(last_one, "")]


def _transform(name: str) -> Json:
    return {"id": name, "kind": "transform", "set": {"count": "size(input.message) > 3 ? 1 : 2"}}


def _edges(exits: list[tuple[str, str]], target: str) -> list[Json]:
    return [{"from": source, "to": target, **({"case": case} if case else {})} for source, case in exits]


def line_document() -> Json:
    """Twenty transforms, one after the other."""
    names = [f"step{number}" for number in range(SHORT)]
    nodes = [{"id": "start", "kind": "start"}, *map(_transform, names)]
    nodes.append({"id": "end", "kind": "end", "output": "{{ state.count }}"})
    ways = zip(["start", *names], [*names, "end"], strict=True)
    edges = [{"from": source, "to": target} for source, target in ways]
    return {"name": "line", "state": STATE, "nodes": nodes, "edges": edges}


# --- measuring ---


class NoEffects:
    """What a workflow without effects needs of the world."""

    @contextmanager
    def entered(self, context: Any, node: Any) -> Iterator[None]:
        yield


def compiled(document: Json) -> Any:
    from agents.workflows.compiler import compile_workflow
    from agents.workflows.document import parse
    from agents.workflows.specification import WorkflowSpecification

    specification = WorkflowSpecification(
        NOWHERE, NOWHERE, NOWHERE, document["name"], parse(document), {}, {}
    )
    effects: Any = NoEffects()
    return compile_workflow(specification, {}, effects)


def bare_graph() -> Any:
    """The line's graph as somebody would write it by hand."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, StateGraph
    from typing_extensions import TypedDict

    def add(old: int, new: int) -> int:
        return old + new

    schema: Any = TypedDict("State", {"message": str, "count": Annotated[int, add]})  # type: ignore[misc]

    async def step(state: Mapping[str, Any]) -> Json:
        return {"count": 1 if len(state["message"]) > 3 else 2}

    graph: Any = StateGraph(schema)
    names = [f"step{number}" for number in range(SHORT)]
    for name in names:
        graph.add_node(name, step)
    for source, target in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(source, target)
    return graph.compile(checkpointer=InMemorySaver())


def run_time(graph: Any, first: Json) -> float:
    """Milliseconds of one run, of many one after the other."""

    async def work() -> float:
        began = time.perf_counter()
        for _ in range(RUNS):
            await graph.ainvoke(dict(first), {"configurable": {"thread_id": str(uuid.uuid4())}})
        return (time.perf_counter() - began) * 1000 / RUNS

    return asyncio.run(work())


def best(work: Callable[[], Any], times: int = REPEATS) -> float:
    """Milliseconds."""
    return min(_milliseconds(work) for _ in range(times))


def _milliseconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def expression_time(items: int) -> float:
    """Of a node's expression beside a list of so many items, with what makes its values."""
    from agents.workflows.document import parse
    from agents.workflows.expressions import Scope

    scope = Scope(parse(line_document()))
    expression = scope.expression("state.count + 1")
    state = {"count": 1, "text": "text", "items": list(range(items))}
    return best(lambda: expression.evaluate(scope.values({"message": "hello"}, state, {}, None)), 50)


def figures() -> WorkflowFigures:
    from langgraph.checkpoint.memory import InMemorySaver

    from agents.workflows import state
    from agents.workflows.checks import EmptyCatalogue, check
    from agents.workflows.document import parse

    large, line = large_document(), line_document()
    assert not check(large, EmptyCatalogue())
    workflow = compiled(line).graph.copy(update={"checkpointer": InMemorySaver()})
    first = state.first(parse(line), {"message": "hello"})
    bare, count = bare_graph(), {"message": "hello", "count": 0}
    # In turns, so that whatever else the machine does slows both down.
    runs = [(run_time(workflow, first), run_time(bare, count)) for _ in range(REPEATS)]
    return WorkflowFigures(
        validation=best(lambda: check(large, EmptyCatalogue())),
        compilation=best(lambda: compiled(large), 3),
        run=min(run for run, _ in runs),
        bare_run=min(run for _, run in runs),
        small_expression=expression_time(10),
        expression=expression_time(ITEMS),
    )


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
    django.setup()
    print(json.dumps(asdict(figures())))


if __name__ == "__main__":
    main()
