"""What differs between two documents, by node and edge, as people think of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.versions import compare

Json = dict[str, Any]


def diff_documents(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """`{nodes: {added, removed, changed: {id: {path: {old, new}}}}, edges: {added, removed}, state, input}`."""
    return {
        "nodes": _nodes(before, after),
        "edges": _edges(before, after),
        "state": compare(before.get("state", {}), after.get("state", {})),
        "input": compare(before.get("input", {}), after.get("input", {})),
    }


def _nodes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    old, new = ({node["id"]: node for node in document["nodes"]} for document in (before, after))
    both = [name for name in old if name in new]
    changed = {name: found for name in both if (found := compare(old[name], new[name]))}
    return {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": changed,
    }


def _edges(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    old, new = ([_edge(edge) for edge in document["edges"]] for document in (before, after))
    return {
        "added": [edge for edge in new if edge not in old],
        "removed": [edge for edge in old if edge not in new],
    }


def _edge(edge: Mapping[str, Any]) -> Json:
    return {name: edge[name] for name in ("from", "to", "case") if edge.get(name)}
