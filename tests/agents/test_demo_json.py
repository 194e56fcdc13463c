"""The demo model where JSON is asked for: it fills a schema in with what it finds in the question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import HumanMessage, SystemMessage

from agents.examples import workflows as examples
from agents.providers.base import make
from agents.providers.demo_json import filled, schema_in
from agents.workflows import text
from agents.workflows.bodies import _with_schema
from tests.agents.specs import model_spec

QUESTION = "Please refund 12.50 EUR for my order A-1042, of 2026-05-01. It is urgent!"


def read(schema: dict[str, Any], question: str = QUESTION) -> Any:
    return json.loads(filled(schema, question))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["question", "refund"]}, "refund"),
        ({"enum": ["calm", "loud"]}, "calm"),
        ({"const": 7}, 7),
        ({"type": "number"}, 12.5),
        ({"type": "integer"}, 12),
        ({"type": "integer", "maximum": 5}, 5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": "string", "pattern": "^[A-Z]-[0-9]{4}$"}, "A-1042"),
        ({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"}, "2026-05-01"),
        ({"type": "string", "maxLength": 6}, "Please"),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 1}, ["Please refund 12"]),
    ],
    ids=lambda given: json.dumps(given),
)
def test_reads_what_is_asked_for(schema, value):
    assert read(schema) == value


def test_leaves_out_what_is_not_required_and_not_told():
    properties = {"name": {"type": "string"}, "order": {"type": "string", "pattern": "A-[0-9]+"}}
    assert read({"type": "object", "properties": properties}) == {"order": "A-1042"}


def test_reads_each_number_once():
    properties = {name: {"type": "number"} for name in "ab"}
    assert read({"properties": properties, "required": ["a", "b"]}, "3 of 4") == {"a": 3, "b": 4}


def test_answers_with_json_where_the_instructions_have_a_schema():
    model = make(model_spec(provider="demo", model="scripted", parameters={"delay_ms": 0}))
    schema = {"type": "object", "properties": {"kind": {"enum": ["a", "b"]}}, "required": ["kind"]}
    answer = model.invoke([SystemMessage(_with_schema("You sort.", schema)), HumanMessage("It is b.")])
    assert json.loads(answer.text) == {"kind": "b"}


@pytest.mark.parametrize("instructions", ["", "You sort.", "JSON Schema:\nnone", "JSON Schema:\n[1]"])
def test_answers_with_words_where_they_have_none(instructions):
    assert schema_in(instructions) is None


SCHEMAS = [
    pytest.param(node["schema"], id=f"{name}.{node['id']}")
    for name in examples.NAMES
    for node in text.read(examples.source(name))["nodes"]
    if "schema" in node
]


@pytest.mark.parametrize("schema", SCHEMAS)
@given(question=st.text(max_size=80))
def test_fits_the_schemas_of_the_examples_whatever_is_asked(schema, question):
    Draft202012Validator(schema).validate(read(schema, question))
