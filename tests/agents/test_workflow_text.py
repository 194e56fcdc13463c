"""Documents as text: what YAML and JSON are read as, what is refused and where, and what is written."""

from __future__ import annotations

import pytest

from agents.workflows import text
from agents.workflows.text import TextFault


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("true", True),
        ("2026-01-02", "2026-01-02"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("010", 10),
        ("0o14", 12),
        ("1_000", "1_000"),
        ("~", None),
        ("'1'", "1"),
        ("<<", "<<"),
    ],
)
def test_reads_yaml_as_people_expect_it(written, value):
    assert text.read(f"a: {written}") == {"a": value}


@pytest.mark.parametrize(
    ("written", "value"),
    [(r'"\ud83d\ude00"', "😀"), ("1e-1", 0.1), ('"a\\/b"', "a/b"), ("\t[1,\t2]", [1, 2])],
)
def test_reads_json(written, value):
    assert text.read(f'{{"a": {written}}}') == {"a": value}


def test_reads_keys_as_texts():
    assert text.read("on: 1\n5: 2") == {"on": 1, "5": 2}


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("a: 1\n b: 2", 2),
        ("a: &x 1\nb: *x", 2),
        ("a: 1\na: 2", 2),
        ("a: !!python/object:os.system {}", 1),
        ("? [a]\n: b", 1),
        ("a: 1\n---\nb: 2", 2),
        ("a:" + " [" * 60, 1),
    ],
)
def test_says_in_which_line_a_text_is_wrong(written, line):
    with pytest.raises(TextFault) as refused:
        text.read(written)
    assert refused.value.line == line


@pytest.mark.parametrize(
    "written",
    [
        "",
        "- a",
        "just a text",
        '{"a": 1, "a": 2}',
        '{"a": NaN}',
        f'{{"a": {"9" * 5000}}}',
        f"a: {'9' * 5000}",
        "a: \0",
        f"a: {'x' * 1_000_001}",
    ],
)
def test_refuses_what_is_no_document(written):
    with pytest.raises(TextFault):
        text.read(written)


@pytest.mark.parametrize(
    "value",
    ["yes", "1e3", "12:30", "010", "~", "", " x", "a\nb", "a: b", "😀", "\x01", "#", "tab\t\n", 1e3, 1, True],
)
def test_reads_what_it_has_written(value):
    written = {"description": value, "nodes": [], "edges": []}
    found = text.read(text.write(written))["description"]
    assert (found, type(found)) == (value, type(value))


def test_writes_in_the_order_of_the_schema():
    assert text.write({"edges": [], "nodes": [{"kind": "start", "id": "s"}], "name": "x"}) == (
        "name: x\nnodes:\n- id: s\n  kind: start\nedges: []\n"
    )
