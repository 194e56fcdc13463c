"""A plot is well-formed SVG that says all its figures in words, and nothing of what it is given is markup."""

from __future__ import annotations

from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentplatform.lib import plots
from agentplatform.lib.plots import Bar, Series

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"><script>alert(1)</script>&\x00\ud800'


def texts(svg: str, tag: str = "text") -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}{tag}")]


@example([("", 5e-324)])
@given(st.lists(st.tuples(st.text(), st.none() | st.floats(0, 1e15) | st.decimals(0, 10**12)), max_size=30))
def test_it_is_well_formed_whatever_it_is_given(rows):
    labels, values = [label for label, _ in rows], [value for _, value in rows]
    for draw in (plots.lines, plots.columns):
        ElementTree.fromstring(draw("Any", labels, [Series("one", values), Series("other", values)]))
    ElementTree.fromstring(plots.bars("Any", [Bar(label, value) for label, value in rows]))


@pytest.mark.parametrize(
    "svg",
    [
        plots.lines(HOSTILE, [HOSTILE], [Series(HOSTILE, [1])], unit=HOSTILE),
        plots.columns(HOSTILE, [HOSTILE], [Series(HOSTILE, [1])], unit=HOSTILE),
        plots.bars(HOSTILE, [Bar(HOSTILE, 1, HOSTILE)], unit=HOSTILE),
    ],
)
def test_it_holds_no_markup_of_others(svg):
    assert "<script" not in svg


def test_it_describes_its_series():
    svg = plots.lines("Tokens", ["1 Nov", "2 Nov"], [Series("input", [10, 25])])
    assert "input: 10 to 25, at last 25." in texts(svg, "desc")[0]


def test_it_says_each_value_in_a_tooltip():
    svg = plots.columns("Runs", ["1 Nov"], [Series("completed", [1200]), Series("failed", [None])])
    assert texts(svg, "title")[1] == "1 Nov\ncompleted: 1,200"


def test_it_says_amounts_as_decimals():
    assert "0.0000003 USD" in texts(plots.bars("Cost", [Bar("mini", Decimal("0.0000003"))], unit="USD"))


def test_it_leaves_a_gap_where_there_is_no_value():
    svg = plots.lines("Seconds", ["a", "b", "c", "d"], [Series("p95", [1, 2, None, 3])])
    [path] = ElementTree.fromstring(svg).iter(f"{SVG}path")
    assert path.get("d", "").count("M") == 2


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1]),
        (1, [0, 0.5, 1]),
        (7, [0, 2, 4, 6, 8]),
        (100, [0, 50, 100]),
        (340, [0, 100, 200, 300, 400]),
    ],
)
def test_its_ticks_are_round(highest, expected):
    assert plots.ticks(highest) == expected


def test_it_brings_its_style_sheet_as_a_file():
    assert "<style>" in plots.bars("Cost", [])


def test_it_brings_no_style_into_a_page():
    assert "style" not in plots.bars("Cost", [Bar("mini", 1)], is_file=False)


def test_its_answer_lets_nothing_run():
    policy = plots.response(plots.bars("Cost", []))["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")


def test_it_refuses_series_of_another_length():
    with pytest.raises(ValueError, match="value"):
        plots.lines("Any", ["a"], [Series("one", [1, 2])])
