"""What differs between two documents, by node and edge."""

from __future__ import annotations

from agents.workflows.diff import diff_documents

BEFORE = {
    "input": {"properties": {"n": {"type": "integer"}}},
    "state": {"a": {"type": "string"}},
    "nodes": [
        {"id": "start", "kind": "start"},
        {"id": "say", "kind": "llm", "model": "fast", "prompt": "hello"},
        {"id": "gone", "kind": "join"},
    ],
    "edges": [{"from": "start", "to": "say"}, {"from": "say", "to": "gone", "case": "error"}],
}
AFTER = {
    "input": {"properties": {"n": {"type": "number"}}},
    "state": {"a": {"type": "string"}, "b": {"type": "any"}},
    "nodes": [
        {"id": "new", "kind": "join"},
        {"id": "say", "kind": "llm", "model": "slow", "prompt": "hello"},
        {"id": "start", "kind": "start"},
    ],
    "edges": [{"from": "say", "to": "new"}, {"from": "start", "to": "say"}],
}


def test_goes_by_the_ids_of_nodes():
    assert diff_documents(BEFORE, AFTER)["nodes"] == {
        "added": ["new"],
        "removed": ["gone"],
        "changed": {"say": {"model": {"old": "fast", "new": "slow"}}},
    }


def test_goes_by_the_ends_and_the_case_of_edges():
    assert diff_documents(BEFORE, AFTER)["edges"] == {
        "added": [{"from": "say", "to": "new"}],
        "removed": [{"from": "say", "to": "gone", "case": "error"}],
    }


def test_compares_input_and_state():
    found = diff_documents(BEFORE, AFTER)
    assert (found["input"], found["state"]) == (
        {"properties.n.type": {"old": "integer", "new": "number"}},
        {"b.type": {"old": None, "new": "any"}},
    )


def test_finds_no_difference_to_itself():
    empty = {"added": [], "removed": []}
    assert diff_documents(BEFORE, BEFORE) == {
        "nodes": {**empty, "changed": {}},
        "edges": empty,
        "state": {},
        "input": {},
    }
