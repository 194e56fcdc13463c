"""Values that a workflow meets at its edges: schemas of tools, answers of models, numbers."""

from __future__ import annotations

from typing import Any

import pytest

from agents.workflows.bodies import _overwrites, _structured
from agents.workflows.checks import EmptyCatalogue, Entry, check
from agents.workflows.document import StateField, parse
from agents.workflows.effects import NodeFault
from agents.workflows.expressions import ExpressionFault, Scope
from agents.workflows.structure import number_fault, structural_faults, value_fault

ENDS = [{"id": "start", "kind": "start"}, {"id": "end", "kind": "end", "output": "x"}]
WITH_TOOL = {
    "nodes": [*ENDS, {"id": "call", "kind": "tool", "tool": "t", "arguments": {"x": "literal"}}],
    "edges": [{"from": "start", "to": "call"}, {"from": "call", "to": "end"}],
}


class Tools:
    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def find(self, kind: str, name: str) -> Entry | None:
        return Entry(schema=self.schema)


def plain(**more: Any) -> dict[str, Any]:
    return {"nodes": ENDS, "edges": [{"from": "start", "to": "end"}], **more}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "string"}}},
        {"type": "object", "properties": {"x": True}},
    ],
)
def test_calls_tools_with_definitions_and_with_parts_that_take_everything(schema):
    assert check(WITH_TOOL, Tools(schema)) == []


def test_refuses_an_argument_that_a_schema_never_takes():
    assert check(WITH_TOOL, Tools({"type": "object", "properties": {"x": False}}))


def test_takes_items_of_every_kind():
    schema = {"properties": {"x": {"type": "array", "items": True}}}
    assert check(plain(input=schema), EmptyCatalogue()) == []


@pytest.mark.parametrize("answer", ['{"a": NaN}', '{"a": -Infinity}', "[" * 100_000, "[" * 200 + "]" * 200])
def test_refuses_answers_of_models_that_cannot_be_stored(answer):
    with pytest.raises(NodeFault):
        _structured(answer, {})


@pytest.mark.parametrize("value", [{"__overwrite__": {}}, {"type": "__overwrite__", "value": {}}])
def test_knows_data_that_would_pass_over_a_reducer(value):
    assert _overwrites(value)


@pytest.mark.parametrize("value", [{"n": 2**70}, [float("nan")]])
def test_refuses_numbers_that_cannot_be_stored(value):
    assert number_fault(value)


def test_takes_a_whole_number_with_a_point_for_an_integer():
    scope = Scope(parse(plain(input={"properties": {"n": {"type": "integer"}}})))
    assert scope.expression("input.n + 1").evaluate(scope.values({"n": 3.0}, {}, {}, None)) == 4


@pytest.mark.parametrize(
    "source",
    [
        "input.message.replace('a', input.message)",
        "'%s'.format([input.message])",
        "['a', 'b'].join(input.message)",
        f"['a', 'b'].join('{'-' * 21}')",
    ],
)
def test_refuses_what_can_make_texts_of_any_length(source):
    with pytest.raises(ExpressionFault):
        Scope(parse(plain())).expression(source)


def test_makes_nothing_of_a_long_text_for_each_item():
    scope = Scope(parse(plain()))
    with pytest.raises(ExpressionFault):
        scope.expression("[1, 2].map(one, input.message)").evaluate(
            scope.values({"message": "x" * 5_001}, {}, {}, None)
        )


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/nope"}, {"$ref": "#"}, {"type": "array", "items": {"$ref": "#/a"}}]
)
def test_names_a_field_whose_schema_refers_to_nothing(schema):
    document = plain(state={"field": {"type": "any", **schema}})
    assert [fault.path for fault in structural_faults(document)] == ["state.field"]


def test_compares_many_items_in_one_walk():
    one = StateField("", {"type": "array", "uniqueItems": True})
    items = [{"n": number} for number in range(20_000)]
    assert value_fault(one, items) is None
    assert value_fault(one, [*items, {"n": 1}])
