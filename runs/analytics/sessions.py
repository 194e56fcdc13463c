"""What a session has used and cost, from the ledger: its runs, and those that their tools have started."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection
from django.db.models import Q, Sum

from accounts.models import Workspace
from billing.models import UsageRecord
from billing.totals import COUNTS, Totals, fold, nothing
from runs.models import Session

Json = dict[str, Any]

MOST_GROUPS = 100
# The sum of a column takes the column's name from there on, so what needs the columns themselves comes first.
_SUMS = {
    "unpriced_requests": Sum("requests", filter=Q(cost=None), default=0),
    "cost": Sum("cost"),
    **{name: Sum(name, default=0) for name in COUNTS},
}
TOKENS = ("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def tokens(session: Session) -> Json:
    """`{session_id, requests, total_tokens, input_tokens, …, by_model, by_agent}`."""
    rows = _rows(session)
    whole = _whole(rows, "")
    return {
        "session_id": session.pk,
        **_tokens(whole),
        "by_model": [_tokens(group, "provider", "model") for group in fold(rows, "", "provider", "model")],
        "by_agent": [_tokens(group, "agent_id", "agent") for group in fold(rows, "", "agent_id", "agent")],
    }


def cost(session: Session) -> Json:
    """`{session_id, currency, cost, …, by_model, by_agent}`, in the workspace's currency."""
    rows = _rows(session)
    currency = Workspace.objects.values_list("currency", flat=True).get(pk=session.workspace_id)
    return {
        "session_id": session.pk,
        "currency": currency,
        **_cost(_whole(rows, currency)),
        "other_currencies": [
            {"currency": other, "cost": _whole(rows, other)["cost"]}
            for other in sorted({row["currency"] for row in rows if row["cost"] is not None} - {currency})
        ],
        "by_model": [
            _cost(group, "provider", "model") for group in fold(rows, currency, "provider", "model")
        ],
        "by_agent": [
            _cost(group, "agent_id", "agent") for group in fold(rows, currency, "agent_id", "agent")
        ],
    }


def _rows(session: Session) -> list[Totals]:
    """Sums by model, agent and currency."""
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, [session.pk])
        runs = [run_id for (run_id,) in cursor.fetchall()]
    records = UsageRecord.objects.filter(workspace_id=session.workspace_id, run_id__in=runs).settled()
    keys = ("provider", "model", "agent_id", "agent", "currency")
    return list(records.order_by().values(*keys).annotate(**_SUMS))


def _whole(rows: list[Totals], currency: str) -> Totals:
    found = fold(rows, currency)
    return found[0] if found else nothing()


def _tokens(group: Totals, *keys: str) -> Json:
    counts = {name: group[name] for name in ("requests", *TOKENS)}
    return {
        **{key: group[key] for key in keys},
        **counts,
        "total_tokens": group["input_tokens"] + group["output_tokens"],
    }


def _cost(group: Totals, *keys: str) -> Json:
    return {key: group[key] for key in (*keys, "cost", "requests", "unpriced_requests")}


def session_of(workspace_id: uuid.UUID, identifier: str, user_id: uuid.UUID | None) -> Session | None:
    """A session of the workspace, of this user where one is given."""
    found = Session.objects.filter(workspace_id=workspace_id, pk=identifier)
    return (found if user_id is None else found.filter(user_id=user_id)).first()


_RUNS = """
WITH RECURSIVE family AS (
    SELECT id FROM runs_run WHERE session_id = %s
    UNION
    SELECT run.id FROM runs_run run JOIN family ON run.parent_id = family.id WHERE run.relation = 'child'
)
SELECT id FROM family
"""
