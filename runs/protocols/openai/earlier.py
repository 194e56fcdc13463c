"""What earlier runs have done before they asked for the client's tools, and the client has never seen.

Such a run may have called tools of the agent's own first. Its calls of the client's tools are given ids that name
it, so that the conversation that comes back can be completed: the model knows what it has done, and does not do it
again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from accounts.actor import Actor
from runs.models import TERMINAL, Run, RunStep

Json = dict[str, Any]

CALL_ID = re.compile(r"call_([0-9a-f]{32})_\d+\Z")


def call_id(run_id: UUID, index: int) -> str:
    """The id of a run's call as the client gets it; OpenAI's have at most 40 characters."""
    return f"call_{run_id.hex}_{index}"


def completed(actor: Actor, messages: Sequence[Json]) -> list[Json]:
    """The conversation with what those of the actor's runs have done that have asked for calls in it, once each."""
    asking = [_run_of(message) for message in messages]
    work = _work_of(actor, {run_id for run_id in asking if run_id})
    return [
        one
        for run_id, message in zip(asking, messages, strict=True)
        for one in (*(work.pop(run_id, ()) if run_id else ()), message)
    ]


def _run_of(message: Json) -> UUID | None:
    """The run that has asked for the message's calls."""
    ids = [CALL_ID.match(call["id"]) for call in message.get("tool_calls", ())]
    return UUID(ids[0][1]) if ids and ids[0] else None


def _work_of(actor: Actor, run_ids: Iterable[UUID]) -> dict[UUID, list[Json]]:
    """By agent's run that has ended, what its steps have added, without its last words."""
    work: defaultdict[UUID, list[Json]] = defaultdict(list)
    if not run_ids:
        return work
    runs = Run.objects.visible_to(actor).filter(
        pk__in=run_ids, status__in=TERMINAL, workflow_version__isnull=True
    )
    steps = RunStep.objects.filter(run__in=runs).order_by("run_id", "step_num", "id")
    for run_id, messages in steps.values_list("run_id", "messages"):
        work[run_id] += messages
    return {run_id: said[:-1] for run_id, said in work.items()}
