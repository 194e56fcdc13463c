"""What the admin's editor is told of a text: its faults, its picture, and what there is to complete from."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from agentplatform.lib.errors import Invalid
from agents.models import Kind
from agents.workflows import drafts, text
from agents.workflows.document import APPROVAL_CASES, DEFAULT, ERROR, FALLIBLE, LOOP_CASES
from agents.workflows.faults import Fault
from agents.workflows.pictures import draw
from agents.workflows.schema import published_schema
from agents.workflows.svg import as_svg

Json = dict[str, Any]

MOST_FAULTS = 200
NEW = """\
name: my_workflow
description: Answers a question.
input:
  properties:
    message: {type: string}
  required: [message]
state:
  answer: {type: string}
nodes:
  - {id: start, kind: start}
  - id: prepare
    kind: transform
    set:
      answer: input.message
  - {id: end, kind: end, output: "{{ state.answer }}"}
edges:
  - {from: start, to: prepare}
  - {from: prepare, to: end}
"""
"""What a new workflow begins with: the smallest one that runs and shows all parts."""
_LINE = re.compile(r"\(line (\d+)")


def look_at(workspace_id: uuid.UUID, written: str, name: str = "") -> Json:
    """`{faults: [{path, node, field, message, line}], svg, outline}`; without `svg` and `outline`, where it is no YAML.

    `outline` is `{input: [name], state: [name], nodes: [{id, kind, cases, line}]}`.
    """
    try:
        draft = drafts.read(workspace_id, written, name)
    except Invalid as error:
        return {"faults": [_of_text(entry["message"]) for entry in error.details]}
    return {
        "faults": draft.faults_json()[:MOST_FAULTS],
        "svg": as_svg(draw(draft.data), str(draft.data.get("name", "")), is_file=False),
        "outline": _outline(written, draft.data),
    }


def vocabulary(names: Mapping[str, list[str]]) -> Json:
    """`{schema, names: {agent, model, tool, workflow}}`."""
    return {"schema": published_schema(), "names": {kind: names.get(kind, []) for kind in KINDS}}


KINDS = (Kind.AGENT.value, Kind.MODEL.value, Kind.TOOL.value, Kind.WORKFLOW.value)
"""What a document calls by name."""


def _of_text(message: str) -> Json:
    found = _LINE.search(message)
    return Fault((), message).as_json(int(found[1]) if found else None)


def _outline(written: str, data: Mapping[str, Any]) -> Json:
    listed = data.get("nodes")
    nodes = [
        (place, node)
        for place, node in enumerate(listed if isinstance(listed, list) else [])
        if _has_id(node)
    ]
    lines = text.lines(written, [Fault(("nodes", place), "") for place, _ in nodes])
    given = data.get("input")
    return {
        "input": _names(given.get("properties")) if isinstance(given, dict) else ["message"],
        "state": _names(data.get("state")),
        "nodes": [
            {"id": node["id"], "kind": str(node.get("kind", "")), "cases": _cases(node), "line": line}
            for (_, node), line in zip(nodes, lines, strict=True)
        ],
    }


def _has_id(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("id"), str)


def _names(value: Any) -> list[str]:
    return list(value) if isinstance(value, dict) else []


def _cases(node: Mapping[str, Any]) -> list[str]:
    """Cases that edges from the node may have."""
    kind, cases = node.get("kind"), node.get("cases")
    if kind == "condition":
        written = cases if isinstance(cases, list) else []
        found = [one.get("case") for one in written if isinstance(one, dict)]
        return [*(case for case in found if isinstance(case, str)), DEFAULT]
    if kind in ("loop", "approval"):
        return list(LOOP_CASES if kind == "loop" else APPROVAL_CASES)
    return [ERROR] if kind in FALLIBLE else []
