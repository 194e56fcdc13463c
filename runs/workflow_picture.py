"""The picture of a workflow's run: how each of its nodes stands, read in a few queries whatever has happened."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db.models import Count, FloatField, IntegerField, Max, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Cast

from agents.workflows.pictures import NodeState, Picture, draw
from runs.events import EventType
from runs.models import TERMINAL, Approval, Run, RunEvent, RunStep, Status, ToolCall

MOST_CHILDREN = 5_000
"""Runs that nodes have started of which the tokens are read; of more, the last ones."""
# The status of a node that has begun and not ended, by that of its run.
_OPEN = {
    Status.RUNNING: "running",
    Status.PAUSING: "running",
    Status.PAUSED: "waiting",
    Status.WAITING: "waiting",
    Status.FAILED: "failed",
}
_FAILED_NODE = re.compile(r"The node '([^']+)' has failed\.")


def picture_of(run: Run) -> Picture:
    """The version that the run executes, with its nodes' states. The run must be a workflow's."""
    assert run.workflow_version
    data = run.workflow_version.data["document"]
    return draw(data, node_states(run, data))


def node_states(run: Run, data: Mapping[str, Any]) -> dict[str, NodeState]:
    """How each node of the document stands, by its id."""
    ended = _ended(run)
    tokens = _tokens_of_children(run)
    status_by_node = _unfinished(run)
    rest = "skipped" if run.status in TERMINAL else "pending"
    states = {}
    for node in data["nodes"]:
        name = node["id"]
        steps = ended.get(name, {})
        begun = "completed" if steps or (node["kind"] == "start" and run.started_at) else rest
        children = tokens.get(name, (0, 0))
        states[name] = NodeState(
            status=status_by_node.get(name, begun),
            visits=steps.get("visits", 0),
            duration=steps.get("seconds") or 0.0,
            input_tokens=(steps.get("tokens_in") or 0) + children[0],
            output_tokens=(steps.get("tokens_out") or 0) + children[1],
        )
    return states


def _ended(run: Run) -> dict[str, dict[str, Any]]:
    """Of each node that has come to an end: how often, its seconds and its own tokens."""
    rows = RunStep.objects.filter(run=run).order_by().values("node")
    found = rows.annotate(
        visits=Count("id"),
        seconds=Sum(Cast(KT("metrics__duration"), FloatField())),
        tokens_in=Sum(Cast(KT("metrics__input_tokens"), IntegerField())),
        tokens_out=Sum(Cast(KT("metrics__output_tokens"), IntegerField())),
    )
    return {row["node"]: dict(row) for row in found}


def _tokens_of_children(run: Run) -> dict[str, tuple[int, int]]:
    """Tokens in and out of the runs that nodes have started, and of those below them."""
    if not run.has_children:
        return {}
    calls = ToolCall.objects.filter(run=run, child_run_id__isnull=False).order_by("-step_num")
    node_by_child = dict(calls.values_list("child_run_id", "call_id")[:MOST_CHILDREN])
    sums: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    columns = ("input_tokens", "child_input_tokens", "output_tokens", "child_output_tokens")
    for child, tokens_in, below_in, tokens_out, below_out in Run.objects.filter(
        pk__in=list(node_by_child)
    ).values_list("pk", *columns):
        known_in, known_out = sums[node_by_child[child]]
        sums[node_by_child[child]] = (known_in + tokens_in + below_in, known_out + tokens_out + below_out)
    return sums


def _unfinished(run: Run) -> dict[str, str]:
    """The status of the nodes that have begun in the attempt under way, or the last one, and have not ended."""
    status = _OPEN.get(Status(run.status))
    if status is None:
        return {}
    if status == "failed" and (named := _FAILED_NODE.match((run.error or {}).get("message", ""))):
        return {named[1]: status}
    found = dict.fromkeys(_open_nodes(run), status)
    return found | dict.fromkeys(_asking(run), "waiting") if status == "running" else found


def _open_nodes(run: Run) -> list[str]:
    of_steps = (EventType.STEP_STARTED, EventType.STEP_COMPLETED)
    events = RunEvent.objects.filter(run=run, attempt=run.attempt, type__in=of_steps).order_by()
    ends = events.values("node").annotate(
        started=Max("seq", filter=Q(type=EventType.STEP_STARTED)),
        completed=Max("seq", filter=Q(type=EventType.STEP_COMPLETED)),
    )
    return [row["node"] for row in ends if (row["started"] or 0) > (row["completed"] or 0)]


def _asking(run: Run) -> list[str]:
    """Nodes that wait for a person while others are at work."""
    return list(run.approvals.filter(status=Approval.Status.PENDING).values_list("call_id", flat=True))
