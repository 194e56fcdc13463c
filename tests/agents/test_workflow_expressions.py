"""CEL in workflows: what expressions see, what they come to, what is refused."""

from __future__ import annotations

import pytest

from agents.workflows.document import parse
from agents.workflows.expressions import ExpressionFault, Scope

DOCUMENT = {
    "input": {"properties": {"message": {"type": "string"}, "n": {"type": "integer"}}},
    "state": {
        "score": {"type": "number"},
        "names": {"type": "array", "items": {"type": "string"}},
        "person": {"type": "object"},
        "any": {"type": "any"},
    },
    "nodes": [
        {"id": "start", "kind": "start"},
        {"id": "round", "kind": "loop", "while": "true", "max": 3},
        {"id": "end", "kind": "end", "output": "x"},
    ],
    "edges": [],
}


@pytest.fixture(scope="module")
def scope() -> Scope:
    return Scope(parse(DOCUMENT))


@pytest.fixture
def values(scope):
    state = {"score": 3, "names": ["ann", "bob"], "person": {"name": "ann", "tags": [1]}, "any": None}
    caught = {"node": "look", "message": "gone"}
    return scope.values({"message": "hello", "n": 7}, state, {"round": 2}, caught)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("input.message + '!'", "hello!"),
        ("input.n * 2", 14),
        ("state.score / 2.0", 1.5),
        ("loops.round + 1", 3),
        ("error.node + ': ' + error.message", "look: gone"),
        ("state.names.map(name, name.upperAscii())", ["ANN", "BOB"]),
        ("state.names.filter(name, name != 'bob')", ["ann"]),
        ("state.names.join(', ')", "ann, bob"),
        ("size(state.names) > 1 && 'ann' in state.names", True),
        ("state.person.name", "ann"),
        ("{'a': [1, {'b': null}]}", {"a": [1, {"b": None}]}),
        ("has(state.person.age) ? state.person.age : 0", 0),
        ("timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05+00:00"),
        ("math.greatest(1, 5)", 5),
        ("state.any == null", True),
        ("input.message", "hello"),
    ],
)
def test_comes_to_a_value(scope, values, source, value):
    assert scope.expression(source).evaluate(values) == value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{ input.message }}!", "Hello hello!"),
        ("{{ input.n }}", 7),
        ("  {{ state.names }}  ", ["ann", "bob"]),
        ("{{ state.score }} of {{ input.n }}", "3 of 7"),
        ("{{ state.names }} are {{ true }}", '["ann", "bob"] are true'),
        ("{{ {'a': '}}'} }}", {"a": "}}"}),
        ("{{ '{{' }}x", "{{x"),
        ("no expression } } { {", "no expression } } { {"),
        ("", ""),
    ],
)
def test_fills_a_template(scope, values, template, text):
    assert scope.template(template).render(values) == text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("state.nothing", "Declare it under input or state"),
        ("input.n +", "Syntax error"),
        ("state.score + 1", "write 1.0 for 1"),
        ("input.message > 3", "no matching overload"),
        ("open('/etc/passwd')", "undeclared reference"),
        ("__import__('os')", "undeclared reference"),
    ],
)
def test_refuses_what_it_cannot_compile(scope, source, said):
    with pytest.raises(ExpressionFault, match=said.replace("(", r"\(")):
        scope.expression(source)


@pytest.mark.parametrize(
    "source", ["1 / 0", "state.names[9]", "state.person.nobody", "int('x')", "1.0 / 0.0", "b'bytes'"]
)
def test_says_why_it_has_no_value(scope, values, source):
    with pytest.raises(ExpressionFault, match=r".+"):
        scope.expression(source).evaluate(values)


def test_says_where_it_is_wrong(scope):
    with pytest.raises(ExpressionFault, match=r"column 9"):
        scope.expression("input.n - 'x'")


@pytest.mark.parametrize("template", ["{{ input.n", "a {{ 'x }} b", "{{ { }}"])
def test_wants_an_end_for_each_beginning(scope, template):
    with pytest.raises(ExpressionFault, match=r"has no end|Syntax error"):
        scope.template(template)


def test_calculates_with_no_text_that_is_too_long(scope, values):
    with pytest.raises(ExpressionFault, match="only be passed on"):
        scope.expression("input.message + 'x'").evaluate({**values, "input.message": "x" * 200_000})


def test_passes_a_long_text_on_as_it_is(scope, values):
    long = {**values, "input.message": "x" * 200_000}
    assert scope.expression("input.message").evaluate(long) == "x" * 200_000
