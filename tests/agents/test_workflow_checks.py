"""What is wrong with a workflow's document: every kind of fault, by the node and the field that it is in."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from agents.workflows import text
from agents.workflows.checks import Entry, check

BASE = """
input: {properties: {message: {type: string}, n: {type: integer}}, required: [message]}
state:
  answer: {type: string}
  score: {type: number}
  items: {type: array, items: {type: string}, reducer: append}
  item: {type: string}
  found: {type: any}
nodes:
"""


class Shop:
    """A workspace with one of each kind, `off` the same disabled."""

    def find(self, kind: str, name: str) -> Entry | None:
        known = {
            ("agent", "helper"): Entry(),
            ("model", "gpt"): Entry(),
            ("tool", "search"): Entry(schema=SEARCH),
            ("workflow", "inner"): Entry(schema=SEARCH, nested=frozenset({"circle"})),
            ("workflow", "draft"): Entry(is_published=False),
            ("model", "off"): Entry(enabled=False),
        }
        return known.get((kind, name))


SEARCH = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "most": {"type": "integer"}},
    "required": ["query"],
    "additionalProperties": False,
}


def line(*nodes: str) -> str:
    """A document whose nodes follow each other."""
    written = ["{id: start, kind: start}", *nodes, "{id: end, kind: end, output: done}"]
    ids = [text.read(node)["id"] for node in written]
    edges = [f"{{from: {one}, to: {other}}}" for one, other in pairwise(ids)]
    return BASE + "".join(f"  - {node}\n" for node in written) + f"edges: [{', '.join(edges)}]"


def graph(nodes: str, edges: str) -> str:
    """A document with a start and an end; edges are written as `start>a a>b:case`."""
    written = [edge.replace(":", ">").split(">") for edge in edges.split()]
    found = [
        f"  - {{from: {edge[0]}, to: {edge[1]}{f', case: {edge[2]}' if edge[2:] else ''}}}\n"
        for edge in written
    ]
    ends = "  - {id: start, kind: start}\n  - {id: end, kind: end, output: done}\n"
    return f"{BASE}{ends}{nodes}edges:\n{''.join(found)}"


def faults(written: str | dict[str, Any], name: str = "") -> list[tuple[str, str]]:
    """Path and message of each fault."""
    data = text.read(written) if isinstance(written, str) else written
    return [(fault.path, fault.message) for fault in check(data, Shop(), name)]


def paths(written: str | dict[str, Any], name: str = "") -> list[str]:
    return [path for path, _ in faults(written, name)]


SAY = "{id: say, kind: llm, model: gpt, prompt: hello, output: answer}"


def test_finds_nothing_wrong_with_a_document_that_can_run():
    assert faults(line(SAY)) == []


# shape


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ("{id: x, kind: magic}", "nodes.x.kind"),
        ("{id: x, kind: llm, model: gpt}", "nodes.x.prompt"),
        ("{id: x, kind: llm, model: gpt, prompt: hi, colour: red}", "nodes.x.colour"),
        ("{id: x, kind: llm, model: gpt, prompt: 5}", "nodes.x.prompt"),
        ("{id: x, kind: llm, model: gpt, prompt: hi, temperature: 9}", "nodes.x.temperature"),
        ("{id: x-y, kind: join}", "nodes.x-y.id"),
        ("{id: x, kind: agent, message: hi}", "nodes.x.agent"),
        ("{id: x, kind: tool}", "nodes.x.tool"),
        ("{id: x, kind: http}", "nodes.x.request"),
        ("{id: x, kind: condition, cases: []}", "nodes.x.cases"),
        ("{id: x, kind: condition, cases: [{case: a}]}", "nodes.x.cases.0.when"),
        ("{id: x, kind: parallel}", "nodes.x.join"),
        ('{id: x, kind: loop, while: "true"}', "nodes.x.max"),
        ('{id: x, kind: loop, while: "true", max: 5000}', "nodes.x.max"),
        ("{id: x, kind: approval}", "nodes.x.message"),
        ("{id: x, kind: approval, message: m, default: maybe}", "nodes.x.default"),
        ("{id: x, kind: transform, set: {}}", "nodes.x.set"),
        ("{id: x, kind: workflow}", "nodes.x.workflow"),
        ("{id: x, kind: end}", "nodes.x.output"),
        ("{id: x, kind: llm, model: gpt, prompt: hi, schema: {type: nothing}}", "nodes.x.schema"),
    ],
)
def test_names_the_part_of_a_node_that_has_not_its_shape(node, path):
    assert path in paths(line(node))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"nodes": 5}, "nodes"),
        ({"extra": 1}, "extra"),
        ({"name": 5}, "name"),
        ({"input": {"properties": {"a": {"type": "strange"}}}}, "input"),
        ({"input": {"required": ["a"]}}, "input.required"),
        ({"state": {"a": {}}}, "state.a.type"),
        ({"state": {"a": {"type": "integer", "default": "x"}}}, "state.a.default"),
        ({"state": {"a": {"type": "string", "reducer": "append"}}}, "state.a.reducer"),
        ({"state": {"a": {"type": "string", "reducer": "xor"}}}, "state.a.reducer"),
        ({"state": {"in": {"type": "string"}}}, "state.in"),
        ({"edges": [{"from": "start"}]}, "edges.0.to"),
        ({"description": "a\0b"}, "description"),
        ({"state": {"a": {"type": "number", "default": float("nan")}}}, "state.a.default"),
    ],
)
def test_names_the_part_of_the_document_that_has_not_its_shape(change, path):
    assert path in paths({**text.read(line()), **change})


def test_refuses_a_document_that_is_nested_without_end():
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert "nested" in faults({**text.read(line()), "description": deep})[0][1]


def test_wants_one_start():
    assert paths(graph("  - {id: again, kind: start}\n", "start>end again>end")) == ["nodes.again.kind"]


def test_wants_an_end():
    assert faults({"nodes": [{"id": "start", "kind": "start"}], "edges": []}) == [
        ("nodes", "There is no node of kind end.")
    ]


def test_wants_each_id_once():
    assert paths(graph("  - {id: end, kind: join}\n", "start>end")) == ["nodes.end.id"]


# edges


def node(written: str) -> str:
    return f"  - {written}\n"


MERGE = node("{id: merge, kind: join}")
FAN = node("{id: fan, kind: parallel, join: merge}")
ONE = node("{id: one, kind: transform, set: {answer: \"'1'\"}}")
TWO = node("{id: two, kind: transform, set: {score: '2.0'}}")
WHICH = node('{id: which, kind: condition, cases: [{case: big, when: "input.n > 3"}]}')
AGAIN = node('{id: again, kind: loop, while: "input.n > 3", max: 3}')


@pytest.mark.parametrize(
    ("nodes", "edges", "path"),
    [
        ("", "start>end start>nowhere", "edges.1.to"),
        ("", "start>end nowhere>end", "edges.1.from"),
        (ONE, "start>one one>end end>one", "edges.2.from"),
        (ONE, "start>one one>end one>start", "edges.2.to"),
        (ONE, "start>one one>end one>end", "edges.2"),
        (ONE, "start>one", "nodes.one"),
        (ONE, "start>one one>end:big", "edges.1.case"),
        (ONE, "start>one one>end one>end:error", "edges.2.case"),
        (ONE + TWO, "start>one one>two one>end two>end", "edges.2"),
        (WHICH, "start>which which>end:default", "nodes.which"),
        (WHICH, "start>which which>end:big", "nodes.which"),
        (WHICH, "start>which which>end:big which>end:default which>end:small", "edges.3.case"),
        (AGAIN + ONE, "start>again again>one:body one>again", "nodes.again"),
        (FAN + MERGE + ONE, "start>fan fan>one one>merge merge>end", "nodes.fan"),
        (ONE + TWO, "start>one one>end two>end", "nodes.two"),
        (
            WHICH + ONE + TWO,
            "start>which which>end:big which>one:default one>two two>one",
            "nodes.one",
        ),
        (ONE + WHICH, "start>one one>which which>one:big which>end:default", "nodes.one"),
        (AGAIN + ONE, "start>again again>one:body one>end again>end:done", "nodes.again"),
        (node("{id: fan, kind: parallel, join: no}") + ONE + TWO, "start>fan fan>one fan>two one>end two>end",
         "nodes.fan.join"),
        (FAN + MERGE + ONE, "start>fan fan>one fan>merge one>merge merge>end", "nodes.fan"),
        (FAN + MERGE + ONE + TWO, "start>fan fan>one fan>two one>merge two>end merge>end", "nodes.end"),
        (MERGE, "start>merge merge>end", "nodes.merge"),
        (FAN + MERGE + ONE + node("{id: three, kind: transform, set: {answer: \"'3'\"}}"),
         "start>fan fan>one fan>three one>merge three>merge merge>end", "nodes.three"),
    ],
)  # fmt: skip
def test_names_the_edge_or_the_node_where_the_graph_is_wrong(nodes, edges, path):
    assert path in paths(graph(nodes, edges))


def test_takes_a_bounded_loop():
    assert faults(graph(AGAIN + ONE, "start>again again>one:body one>again again>end:done")) == []


def test_takes_branches_that_come_together():
    assert (
        faults(graph(FAN + MERGE + ONE + TWO, "start>fan fan>one fan>two one>merge two>merge merge>end"))
        == []
    )


def test_shows_the_way_of_a_cycle_without_a_bound():
    [(_, message)] = faults(graph(ONE + WHICH, "start>one one>which which>one:big which>end:default"))
    assert " → " in message


# what nodes say


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ("{id: x, kind: llm, model: none, prompt: hi}", "nodes.x.model"),
        ("{id: x, kind: llm, model: 'off', prompt: hi}", "nodes.x.model"),
        ("{id: x, kind: agent, agent: none, message: hi}", "nodes.x.agent"),
        ("{id: x, kind: tool, tool: none}", "nodes.x.tool"),
        ("{id: x, kind: workflow, workflow: none}", "nodes.x.workflow"),
        ("{id: x, kind: workflow, workflow: draft}", "nodes.x.workflow"),
        ("{id: x, kind: workflow, workflow: me}", "nodes.x.workflow"),
        ("{id: x, kind: tool, tool: search}", "nodes.x.arguments.query"),
        ("{id: x, kind: tool, tool: search, arguments: {query: a, colour: red}}", "nodes.x.arguments.colour"),
        ("{id: x, kind: tool, tool: search, arguments: {query: 5}}", "nodes.x.arguments.query"),
        (
            '{id: x, kind: tool, tool: search, arguments: {query: "{{ state.items }}"}}',
            "nodes.x.arguments.query",
        ),
        ("{id: x, kind: workflow, workflow: inner}", "nodes.x.input.query"),
        ("{id: x, kind: llm, model: gpt, prompt: hi, output: nowhere}", "nodes.x.output"),
        ("{id: x, kind: llm, model: gpt, prompt: hi, output: score}", "nodes.x.output"),
        ('{id: x, kind: llm, model: gpt, prompt: "{{ state.nothing }}"}', "nodes.x.prompt"),
        ('{id: x, kind: llm, model: gpt, prompt: "{{ state.answer"}', "nodes.x.prompt"),
        ('{id: x, kind: llm, model: gpt, system: "{{ 1 + }}", prompt: hi}', "nodes.x.system"),
        ('{id: x, kind: agent, agent: helper, message: "{{ input.nothing }}"}', "nodes.x.message"),
        ('{id: x, kind: transform, set: {nowhere: "1"}}', "nodes.x.set.nowhere"),
        ("{id: x, kind: transform, set: {score: \"'text'\"}}", "nodes.x.set.score"),
        ('{id: x, kind: transform, set: {score: "state.score + 1"}}', "nodes.x.set.score"),
        ('{id: x, kind: transform, set: {items: "[1]"}}', "nodes.x.set.items"),
        ("{id: x, kind: http, request: {method: GET}}", "nodes.x.request.url"),
        (
            '{id: x, kind: http, request: {url: "https://example.com/{number}"}}',
            "nodes.x.request",
        ),
        ('{id: x, kind: end, output: {a: ["{{ state.nothing }}"]}}', "nodes.x.output.a.0"),
    ],
)
def test_names_what_a_node_says_wrong(node, path):
    assert path in paths(line(node), "me")


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ('{id: x, kind: condition, cases: [{case: a, when: "state.answer"}]}', "nodes.x.cases.0.when"),
        ('{id: x, kind: loop, while: "1", max: 3}', "nodes.x.while"),
        ('{id: x, kind: loop, over: "input.n", max: 3}', "nodes.x.over"),
        ('{id: x, kind: loop, over: "[1, 2]", item: item, max: 3}', "nodes.x.over"),
        ('{id: x, kind: loop, over: "state.items", while: "true", max: 3}', "nodes.x.while"),
        ("{id: x, kind: loop, max: 3}", "nodes.x.while"),
        ('{id: x, kind: loop, while: "true", item: item, max: 3}', "nodes.x.item"),
        ('{id: x, kind: loop, over: "state.items", item: nowhere, max: 3}', "nodes.x.item"),
        ('{id: x, kind: approval, message: "{{ nobody }}"}', "nodes.x.message"),
        ('{id: x, kind: approval, message: m, show: {a: "{{ nobody }}"}}', "nodes.x.show.a"),
        ("{id: x, kind: approval, message: m, output: answer}", "nodes.x.output"),
    ],
)
def test_names_what_a_node_with_cases_says_wrong(node, path):
    assert path in paths(line(node))


def test_refuses_workflows_that_call_each_other():
    nested = "{id: x, kind: workflow, workflow: inner, input: {query: a}}"
    assert paths(line(nested), "circle") == ["nodes.x.workflow"]


def test_says_how_numbers_are_added():
    [(_, message)] = faults(line('{id: x, kind: transform, set: {score: "state.score + 1"}}'))
    assert "write 1.0 for 1" in message


def test_says_nothing_twice():
    found = faults(line('{id: x, kind: tool, tool: search, arguments: {query: "{{ nothing }}"}}'))
    assert len(found) == len(set(found)) == 1
