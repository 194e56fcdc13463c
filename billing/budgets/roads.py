"""The road from the ledger to what budgets have counted; see `billing.reconciliation`."""

from __future__ import annotations

from billing.budgets.scope import IS_OF
from billing.models import BudgetPeriod
from billing.reconciliation import Compared, Scope, Select, road

SPENT = ("spent_amount", "spent_tokens")
RESERVED = ("reserved_amount", "reserved_tokens")

_PERIODS = "unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS period (budget_id, start, ends)"
_EXPECTED = f"""
    SELECT period.budget_id::text AS budget_id, period.start::text AS period_start,
        sum(entry.cost) FILTER (WHERE entry.currency = budget.currency) AS spent_amount,
        sum(entry.input_tokens + entry.output_tokens) AS spent_tokens,
        (SELECT sum(amount) FROM billing_budgetreservation held
            WHERE held.budget_id = period.budget_id AND held.period_start = period.start) AS reserved_amount,
        (SELECT sum(tokens) FROM billing_budgetreservation held
            WHERE held.budget_id = period.budget_id AND held.period_start = period.start) AS reserved_tokens
    FROM {_PERIODS} JOIN billing_budget budget ON budget.id = period.budget_id
    LEFT JOIN billing_usagerecord entry ON {IS_OF} AND entry.entry = 'settled'
        AND entry.timestamp >= period.start AND (period.ends IS NULL OR entry.timestamp < period.ends)
    GROUP BY period.budget_id, period.start
"""  # noqa: S608
_FOUND = f"""
    SELECT counter.budget_id::text AS budget_id, counter.period_start::text AS period_start,
        counter.spent_amount, counter.spent_tokens, counter.reserved_amount, counter.reserved_tokens
    FROM {_PERIODS} JOIN billing_budgetperiod counter
        ON counter.budget_id = period.budget_id AND counter.period_start = period.start
"""  # noqa: S608


@road("budgets", keys=["budget_id", "period_start"], columns=(*SPENT, *RESERVED))
def budgets(scope: Scope) -> Compared:
    """What each budget has counted in its periods; of a period of time those that lie in it as a whole."""
    rows = BudgetPeriod.objects.filter(budget__workspace_id=scope.workspace_id)
    counted = rows.values_list("budget_id", "period_start", "period_end")
    within = [
        (budget_id, start, end)
        for budget_id, start, end in counted
        if (scope.start is None or start >= scope.start)
        and (scope.end is None or (end is not None and end <= scope.end))
    ]
    parameters = [list(column) for column in zip(*within, strict=True)] if within else [[], [], []]
    return Compared(Select(_EXPECTED, parameters), Select(_FOUND, parameters))
