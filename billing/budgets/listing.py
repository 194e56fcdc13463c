"""Which budgets a workspace has, kept in memory for a few seconds: those without any pay next to nothing.

Kept is only what a budget is of, which never changes; limits and counters are read where they are decided by. Within
the process that makes a budget, `forget` makes it count at once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable

from billing.budgets.scope import Scope
from billing.models import Budget, UsageRecord

TTL_SECONDS = 3.0
MOST_WORKSPACES = 10_000


_kept: dict[uuid.UUID, tuple[float, tuple[Scope, ...]]] = {}


def scopes(workspace_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[Scope, ...]]:
    """The budgets by workspace, disabled ones among them: who counts locks those, too, so everybody locks them."""
    now = time.monotonic()
    wanted = set(workspace_ids)
    if stale := [key for key in wanted if key not in _kept or _kept[key][0] <= now]:
        _read(stale, now + TTL_SECONDS)
    return {key: _kept[key][1] for key in wanted}


def of_call(record: UsageRecord) -> list[uuid.UUID]:
    """The ids of the budgets that a call counts for, of disabled ones too."""
    return [one.id for one in scopes([record.workspace_id])[record.workspace_id] if one.has(record)]


def forget(workspace_id: uuid.UUID) -> None:
    """Call after a change of the workspace's budgets was committed."""
    _kept.pop(workspace_id, None)


def _read(workspace_ids: list[uuid.UUID], until: float) -> None:
    if len(_kept) >= MOST_WORKSPACES:
        _kept.clear()
    found: dict[uuid.UUID, list[Scope]] = {key: [] for key in workspace_ids}
    for budget in Budget.objects.filter(workspace_id__in=workspace_ids):
        found[budget.workspace_id].append(Scope.of(budget))
    _kept.update({key: (until, tuple(values)) for key, values in found.items()})
