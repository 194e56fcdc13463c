"""Pictures of workflows: places, back edges, labels that stay labels, and graphs of a thousand nodes."""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from agents.workflows import svg
from agents.workflows.layout import lay_out
from agents.workflows.pictures import NodeState, draw

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script>alert(1)</script>"]; click n0 href "javascript:x" %%'
CODEMIRROR = Path(settings.BASE_DIR) / "static/vendor/codemirror-6.0.2"


def document(*edges: tuple[str, str] | tuple[str, str, str], **labels: str) -> dict:
    names = dict.fromkeys(name for source, target, *_ in edges for name in (source, target))
    return {
        "nodes": [{"id": name, "kind": "llm", "label": labels.get(name, "")} for name in names],
        "edges": [
            {"from": source, "to": target, **({"case": case[0]} if case else {})}
            for source, target, *case in edges
        ],
    }


LOOP = document(("start", "round"), ("round", "work", "body"), ("work", "round"), ("round", "end", "done"))


def places(data: dict) -> dict[str, tuple[float, float]]:
    return {node["id"]: (node["x"], node["y"]) for node in draw(data).as_json()["nodes"]}


def texts_of(drawing: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_a_node_stands_below_those_before_it():
    found = places(LOOP)
    assert found["start"][1] < found["round"][1] < found["work"][1]


def test_the_edge_that_closes_a_loop_leads_back():
    back = [(edge["from"], edge["to"]) for edge in draw(LOOP).as_json()["edges"] if edge["back"]]
    assert back == [("work", "round")]


def test_an_edge_over_layers_goes_around_what_is_between():
    layout = lay_out(3, [(0, 1), (1, 2), (0, 2)])
    assert (len(layout.bends[0, 2]), len(layout.bends[0, 1])) == (1, 0)


def test_it_is_the_same_every_time():
    assert svg.as_svg(draw(LOOP), "x") == svg.as_svg(draw(LOOP), "x")


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_no_two_nodes_share_a_place(pairs):
    layout = lay_out(12, pairs)
    far_enough = (
        abs(x - other_x) >= 0.99 or abs(y - other_y) >= 0.99
        for (x, y), (other_x, other_y) in itertools.combinations(layout.places, 2)
    )
    assert all(far_enough)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
    )
)
def test_what_is_no_document_is_drawn_without_what_is_wrong(value):
    ElementTree.fromstring(svg.as_svg(draw({"nodes": value, "edges": value}), str(value)))


@given(st.text(max_size=60), st.text(max_size=20))
def test_texts_are_never_markup(label, case):
    data = {
        "nodes": [{"id": "a", "kind": case, "label": label}],
        "edges": [{"from": "a", "to": "a", "case": case}],
    }
    root = ElementTree.fromstring(svg.as_svg(draw(data), label))
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        *("svg", "title", "desc", "style", "g", "rect", "polygon", "path", "text"),
    }


def test_a_label_of_markup_is_shown_as_it_is_written():
    drawing = svg.as_svg(draw(document(("a", "b"), a="<b>bold</b>")), "x")
    assert "<b>bold</b>" in texts_of(drawing)


def test_nothing_of_a_label_breaks_out_of_mermaid():
    line = draw(document(("a", "b"), a=HOSTILE)).as_mermaid().splitlines()[1]
    label = line.removeprefix('    n0["').removesuffix('"]')
    assert not set(label.replace("#", "").replace(";", "")) & set("\"'<>[](){}|%&")


def test_mermaid_names_the_cases():
    assert 'n1 -->|"body"| n2' in draw(LOOP).as_mermaid()


def test_mermaid_has_a_shape_for_what_decides():
    data = {"nodes": [{"id": "ask", "kind": "condition"}], "edges": []}
    assert 'n0{"ask"}' in draw(data).as_mermaid()


def test_mermaid_marks_how_nodes_stand():
    assert 'n0["start"]:::failed' in draw(LOOP, {"start": NodeState("failed")}).as_mermaid()


def test_cases_of_one_pair_of_nodes_share_a_line():
    drawing = svg.as_svg(draw(document(("ask", "end", "approved"), ("ask", "end", "rejected"))), "x")
    assert "approved / rejected" in texts_of(drawing)


def test_it_says_what_it_is_to_those_who_do_not_see_it():
    root = ElementTree.fromstring(svg.as_svg(draw(LOOP), "research & loop"))
    assert root.findtext(f"{SVG}title") == "research & loop"


def test_the_policy_of_a_file_allows_its_own_style_sheet_alone():
    assert svg.content_security_policy().startswith("default-src 'none'; style-src 'sha256-")


def test_the_facts_of_a_node_say_visits_seconds_and_tokens():
    assert svg.facts_of(NodeState("completed", 3, 1.25, 1_000, 234)) == "3× · 1.2 s · 1,234 tokens"


def chain(size: int) -> list[tuple[int, int]]:
    return [(node, node + 1) for node in range(size - 1)]


@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param([*chain(1000), *((node, 999) for node in range(0, 998, 3))], id="all_to_the_end"),
        pytest.param([*chain(1000), *((node, node - 5) for node in range(10, 998, 10))], id="loops"),
        pytest.param(
            [(0, node) for node in range(1, 999)] + [(node, 999) for node in range(1, 999)], id="wide"
        ),
    ],
)
def test_a_thousand_nodes_are_drawn_in_three_seconds(pairs):
    data = document(*((f"n{source}", f"n{target}") for source, target in pairs))
    began = time.perf_counter()
    drawing = svg.as_svg(draw(data), "large")
    assert drawing.count('class="node') == 1000
    assert time.perf_counter() - began < 3


def test_the_editor_is_the_one_that_was_built():
    digest, name = (CODEMIRROR / "codemirror.js.sha256").read_text().split()
    assert hashlib.sha256((CODEMIRROR / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("package", ["codemirror 6.0.2 (MIT)", "@lezer/common", "style-mod", "crelt"])
def test_the_editor_comes_with_the_licence_of_each_part(package):
    assert package in (CODEMIRROR / "LICENSES.txt").read_text()
