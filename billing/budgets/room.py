"""Whether budgets have room for model calls that are about to be made, and what is set aside for them.

What a call may take at most, its input and the longest answer, is set aside in each budget that it counts for, in the
transaction that opens it in the ledger. Budgets are locked before they are asked, so calls that are opened at the same
moment never share the same room. The trigger that counts the call when it is settled frees what was set aside.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.utils import timezone

from agentplatform.lib import bulk
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import BudgetExceeded
from billing import ledger
from billing.budgets.listing import of_call
from billing.budgets.periods import PeriodStart, end_of
from billing.models import Budget, BudgetPeriod, BudgetReservation, Entry, UsageRecord

EXCEEDED = 100

_RESERVE = """
WITH given AS (
    SELECT * FROM jsonb_to_recordset(%s::jsonb)
        AS given(call_id uuid, budget_id uuid, period_start timestamptz, period_end timestamptz,
            amount numeric, tokens bigint)
), made AS (
    INSERT INTO billing_budgetreservation (call_id, budget_id, period_start, amount, tokens)
    SELECT call_id, budget_id, period_start, amount, tokens FROM given
    ON CONFLICT DO NOTHING RETURNING call_id, budget_id, period_start, amount, tokens
)
INSERT INTO billing_budgetperiod AS counter (budget_id, period_start, period_end, reserved_amount, reserved_tokens)
SELECT made.budget_id, made.period_start, max(given.period_end), sum(made.amount), sum(made.tokens)
FROM made JOIN given USING (call_id, budget_id) GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (budget_id, period_start) DO UPDATE SET
    reserved_amount = counter.reserved_amount + EXCLUDED.reserved_amount,
    reserved_tokens = counter.reserved_tokens + EXCLUDED.reserved_tokens
"""
_NOTICE = """
INSERT INTO billing_budgetnotice
    (budget_id, period_start, level, run_id, spent_amount, spent_tokens, created_at, in_run)
VALUES (%s, %s, %s, %s, %s, %s, %s, TRUE) ON CONFLICT DO NOTHING
"""


@dataclass(slots=True)
class Counter:
    """A budget, and what is spent and set aside in its present period."""

    budget: Budget
    period_start: datetime
    resets_at: datetime | None
    """When the period ends; null: never."""
    spent_amount: Decimal = Decimal(0)
    reserved_amount: Decimal = Decimal(0)
    spent_tokens: int = 0
    reserved_tokens: int = 0

    def lacks_room(self, record: UsageRecord) -> str:
        """Which limit has no room for the call, `amount` or `tokens`; empty: there is room."""
        budget = self.budget
        used_tokens = self.spent_tokens + self.reserved_tokens
        if budget.limit_tokens is not None and used_tokens + record.most_tokens > budget.limit_tokens:
            return "tokens"
        if budget.limit_amount is None:
            return ""
        if _is_unpriced(record, budget):
            return "" if budget.limit_tokens is not None else "amount"
        used = self.spent_amount + self.reserved_amount
        return "amount" if used + (record.most_cost or 0) > budget.limit_amount else ""

    def is_spent(self) -> str:
        """Which limit is spent, whatever the next call takes; empty: none."""
        budget = self.budget
        if budget.limit_tokens is not None and self.spent_tokens >= budget.limit_tokens:
            return "tokens"
        if budget.limit_amount is not None and self.spent_amount >= budget.limit_amount:
            return "amount"
        return ""

    def reserve(self, record: UsageRecord) -> dict[str, Any]:
        """Sets the call's most aside; the row that says so."""
        amount = Decimal(0) if _is_unpriced(record, self.budget) else (record.most_cost or Decimal(0))
        self.reserved_amount += amount
        self.reserved_tokens += record.most_tokens
        return {
            "call_id": record.call_id,
            "budget_id": self.budget.pk,
            "period_start": self.period_start,
            "period_end": self.resets_at,
            "amount": amount,
            "tokens": record.most_tokens,
        }


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A budget without room for a call: `limit` is `amount` or `tokens`."""

    counter: Counter
    limit: str
    unpriced: str = ""
    """The model of which no price is known, which is why."""
    needs_amount: Decimal = Decimal(0)
    needs_tokens: int = 0

    @property
    def budget(self) -> Budget:
        return self.counter.budget

    @property
    def pauses(self) -> bool:
        return self.budget.action == Budget.Action.PAUSE

    @property
    def data(self) -> dict[str, Any]:
        """As `run_paused` and errors show it."""
        return {"reason": "budget_exceeded", **figures(self.counter, self.limit)}

    @property
    def message(self) -> str:
        budget = self.budget
        if self.unpriced:
            return (
                f"The budget {budget.name!r} limits money, and no price is known of {self.unpriced} in "
                f"{budget.currency}. Set a price for it, or limit the budget's tokens, too."
            )
        shown = figures(self.counter, self.limit)
        unit = budget.currency if self.limit == "amount" else "tokens"
        period = "" if budget.period == Budget.Period.TOTAL else f" of this {budget.period}"
        resets = f" It begins anew at {shown['resets_at']}." if shown["resets_at"] else ""
        return (
            f"The budget {budget.name!r}{period} has no room for this: {shown['used']} of {shown['value']} {unit} are "
            f"spent, {shown['reserved']} are set aside for calls under way.{resets}"
        )

    def error(self, now: datetime) -> BudgetExceeded:
        """The answer to a client; it may try again when the budget begins anew."""
        resets_at = self.counter.resets_at
        wait = max(1.0, (resets_at - now).total_seconds()) if resets_at and not self.unpriced else None
        return BudgetExceeded(self.message, details=figures(self.counter, self.limit), retry_after=wait)


def figures(counter: Counter, limit: str) -> dict[str, Any]:
    """A budget in events, messages and errors."""
    budget, is_money = counter.budget, limit == "amount"
    value = budget.limit_amount if is_money else budget.limit_tokens
    used = counter.spent_amount if is_money else counter.spent_tokens
    reserved = counter.reserved_amount if is_money else counter.reserved_tokens
    resets_at = counter.resets_at
    return {
        "budget_id": str(budget.pk),
        "budget": budget.name,
        "period": budget.period,
        "limit": limit,
        "value": _figure(value),
        "used": _figure(used),
        "reserved": _figure(reserved),
        "currency": budget.currency if is_money else None,
        "resets_at": resets_at.isoformat() if resets_at else None,
    }


def _figure(value: Decimal | int | None) -> str | int | None:
    return plain(value) if isinstance(value, Decimal) else value


def counters(
    budget_ids: Iterable[uuid.UUID], now: datetime, *, locked: bool = False, disabled: bool = False
) -> dict[uuid.UUID, Counter]:
    """Enabled budgets, or `disabled` ones too, with their present periods, in two queries.

    `locked` keeps others from all of them until the transaction ends, in the order in which the trigger locks them.
    """
    ids = list(budget_ids)
    if not ids:
        return {}
    rows = Budget.objects.filter(pk__in=ids).order_by("pk").annotate(began=PeriodStart(now))
    if locked:
        rows = rows.select_for_update(no_key=True)
    found = {
        budget.pk: Counter(budget, budget.began, end_of(budget.began, budget.period, budget.time_zone))
        for budget in rows
        if budget.enabled or disabled
    }
    # Read after the locks are held: what somebody else has just committed counts.
    periods = BudgetPeriod.objects.filter(
        budget_id__in=found, period_start__in={c.period_start for c in found.values()}
    )
    for period in periods:
        counter = found[period.budget_id]
        if counter.period_start == period.period_start:
            counter.spent_amount, counter.reserved_amount = period.spent_amount, period.reserved_amount
            counter.spent_tokens, counter.reserved_tokens = period.spent_tokens, period.reserved_tokens
    return found


class Room:
    """What budgets leave for the calls of one transaction, which must hold until `statements` are executed.

    `records` are all entries that the transaction may write: their budgets are locked together, in order.
    """

    def __init__(self, records: Iterable[UsageRecord], now: datetime) -> None:
        self._now = now
        self._of: dict[uuid.UUID, list[uuid.UUID]] = {}
        wanted: set[uuid.UUID] = set()
        opens, settled = False, []
        for record in records:
            budgets = of_call(record)
            wanted.update(budgets)
            self._of[record.call_id] = budgets
            opens = opens or record.entry == Entry.OPENED
            settled += [record.call_id] if budgets and record.entry == Entry.SETTLED else []
        self._counters = counters(wanted, now, locked=True) if opens else {}
        self._held = _reservations(settled) if self._counters and settled else {}
        self._reserved: dict[tuple[uuid.UUID, uuid.UUID], dict[str, Any]] = {}
        self._refused: list[tuple[Shortfall, uuid.UUID | None]] = []

    @property
    def is_watched(self) -> bool:
        """Whether any of the records counts for a budget."""
        return any(self._of.values())

    def take(self, records: Sequence[UsageRecord]) -> dict[uuid.UUID, Shortfall]:
        """Sets aside what the opened entries among `records` may take. Answers, by call, those without room.

        What a call has taken that is settled before them, among the same records, leaves them room.
        """
        refused = {}
        for record in records:
            if record.entry != Entry.OPENED:
                self._settle(record)
                continue
            asked = [self._counters[key] for key in self._of[record.call_id] if key in self._counters]
            if shortfall := _shortfall(asked, record):
                refused[record.call_id] = shortfall
                self._refused.append((shortfall, record.run_id))
                continue
            for counter in asked:
                row = counter.reserve(record)
                self._reserved[record.call_id, counter.budget.pk] = row
        return refused

    def _settle(self, record: UsageRecord) -> None:
        """As the trigger is about to count it."""
        for key in self._of[record.call_id]:
            held = self._held.pop((record.call_id, key), None)
            counter = self._counters.get(key)
            if held and counter and held.period_start == counter.period_start:
                counter.reserved_amount -= held.amount
                counter.reserved_tokens -= held.tokens
                is_ours = record.currency == counter.budget.currency
                counter.spent_amount += (record.cost or Decimal(0)) if is_ours else Decimal(0)
                counter.spent_tokens += record.input_tokens + record.output_tokens

    def give_back(self, records: Sequence[UsageRecord]) -> None:
        """These calls are not going to be made after all."""
        calls = {record.call_id for record in records}
        for key in [key for key in self._reserved if key[0] in calls]:
            row = self._reserved.pop(key)
            counter = self._counters[key[1]]
            counter.reserved_amount -= row["amount"]
            counter.reserved_tokens -= row["tokens"]

    def statements(self) -> list[bulk.Statement]:
        """What is to be executed before the entries are written."""
        told = {shortfall.budget.pk: (shortfall, run_id) for shortfall, run_id in self._refused}
        notices = [
            bulk.Statement(
                _NOTICE,
                (
                    key,
                    shortfall.counter.period_start,
                    EXCEEDED,
                    run_id,
                    shortfall.counter.spent_amount,
                    shortfall.counter.spent_tokens,
                    self._now,
                ),
            )
            for key, (shortfall, run_id) in sorted(told.items())
            if not shortfall.unpriced
        ]
        rows = list(self._reserved.values())
        return [*([bulk.Statement(_RESERVE, (bulk.dumps(rows),))] if rows else []), *notices]


def open_call(record: UsageRecord) -> None:
    """Opens a call that no run's engine makes. Raises BudgetExceeded where a budget that blocks or pauses has no room:
    there is no run that could rest.
    """
    now = timezone.now()
    with transaction.atomic():
        room = Room([record], now)
        if refused := room.take([record]):
            raise refused[record.call_id].error(now)
        bulk.execute([*room.statements(), *ledger.appending([record])])


def require_room(record: UsageRecord) -> None:
    """Raises BudgetExceeded where a budget that blocks is spent already, or has no room for this call.

    For whoever is about to start something. Calls under way are left out: they may take less than they have set aside.
    """
    now = timezone.now()
    for counter in counters(of_call(record), now).values():
        counter.reserved_amount, counter.reserved_tokens = Decimal(0), 0
        if counter.budget.action != Budget.Action.BLOCK:
            continue
        if limit := counter.is_spent():
            raise Shortfall(counter, limit).error(now)
        if record.model and (limit := counter.lacks_room(record)):
            raise _short(counter, limit, record).error(now)


def _reservations(call_ids: Sequence[uuid.UUID]) -> dict[tuple[uuid.UUID, uuid.UUID], BudgetReservation]:
    rows = BudgetReservation.objects.filter(call_id__in=call_ids)
    return {(row.call_id, row.budget_id): row for row in rows}


def _shortfall(asked: Iterable[Counter], record: UsageRecord) -> Shortfall | None:
    """The first budget without room. One that blocks goes before one that pauses: the run could not go on after it."""
    lacking = [
        _short(counter, limit, record)
        for counter in asked
        if counter.budget.action != Budget.Action.ALERT and (limit := counter.lacks_room(record))
    ]
    return min(lacking, key=lambda one: one.pauses, default=None)


def _short(counter: Counter, limit: str, record: UsageRecord) -> Shortfall:
    is_unpriced = limit == "amount" and bool(record.model) and _is_unpriced(record, counter.budget)
    return Shortfall(
        counter,
        limit,
        unpriced=f"{record.provider}/{record.model}" if is_unpriced else "",
        needs_amount=record.most_cost or Decimal(0),
        needs_tokens=record.most_tokens,
    )


def _is_unpriced(record: UsageRecord, budget: Budget) -> bool:
    return record.most_cost is None or record.currency != budget.currency
