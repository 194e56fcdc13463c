"""The published JSON Schema of documents: valid, kept beside the documentation, and at one with what is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from jsonschema import Draft202012Validator

from agents.workflows import text
from agents.workflows.schema import published_schema
from agents.workflows.structure import structural_faults

KEPT = Path(settings.BASE_DIR) / "docs" / "workflow.schema.json"
EXAMPLES = sorted((Path(settings.BASE_DIR) / "agents" / "examples" / "workflows").glob("*.yaml"))
DOCUMENT: dict[str, Any] = {
    "nodes": [
        {"id": "start", "kind": "start"},
        {"id": "say", "kind": "llm", "model": "gpt", "prompt": "hello"},
        {"id": "end", "kind": "end", "output": "done"},
    ],
    "edges": [{"from": "start", "to": "say"}, {"from": "say", "to": "end"}],
}


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(published_schema())


def test_is_a_valid_schema():
    Draft202012Validator.check_schema(published_schema())


def test_is_kept_with_the_documentation():
    """After a change: write `published_schema()` there, with an indent of 2."""
    assert json.loads(KEPT.read_text()) == published_schema()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_takes_what_ships(validator, path):
    assert list(validator.iter_errors(text.read(path.read_text()))) == []


def with_node(**changes: Any) -> dict[str, Any]:
    nodes = [{**node, **changes} if node["id"] == "say" else node for node in DOCUMENT["nodes"]]
    return {**DOCUMENT, "nodes": nodes}


@pytest.mark.parametrize(
    "data",
    [
        [],
        {},
        {**DOCUMENT, "extra": 1},
        {**DOCUMENT, "edges": [{"from": "start"}]},
        {**DOCUMENT, "edges": [{"from": "start", "to": "end", "case": "a b"}]},
        {**DOCUMENT, "nodes": []},
        {**DOCUMENT, "state": {"a": {"type": "text"}}},
        {**DOCUMENT, "state": {"1": {"type": "string"}}},
        {**DOCUMENT, "state": {"a": {"type": "array", "reducer": "xor"}}},
        {**DOCUMENT, "input": {"type": "array"}},
        {**DOCUMENT, "name": 5},
        with_node(kind="magic"),
        with_node(kind=5),
        with_node(colour="red"),
        with_node(prompt=5),
        with_node(temperature=9),
        with_node(id="a-b"),
        with_node(kind="loop"),
    ],
)
def test_refuses_what_the_platform_refuses(validator, data):
    assert (bool(structural_faults(data)), validator.is_valid(data)) == (True, False)


def test_takes_what_the_platform_takes(validator):
    assert (structural_faults(DOCUMENT), validator.is_valid(DOCUMENT)) == ([], True)
