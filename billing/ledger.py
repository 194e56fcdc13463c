"""The ledger's one way in: an entry is opened before each model call and settled after it.

Building entries is pure and may be done on an event loop; `append` and what reads the ledger are sync.
Everything may be repeated: the first entry of a kind for a call stays, later ones are ignored.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Q, Sum

from agentplatform.lib import bulk
from billing.models import BudgetReservation, Entry, Outcome, UsageRecord
from billing.pricing import UnitPrices, prefetch, price
from billing.tokens import Tokens, estimate_tokens

__all__ = [
    "CallContext",
    "RunTotals",
    "Tokens",
    "answered_from_cache",
    "append",
    "estimate_tokens",
    "forgotten_with_reservations",
    "opened",
    "opened_among",
    "prefetch",
    "settle_forgotten",
    "settle_open",
    "settle_unknown",
    "settled",
    "totals_of_runs",
]

BATCH = 1000
# No model call takes as long: what is older and open has lost the process that would have settled it.
LONGEST_CALL = timedelta(hours=1)
# What PostgreSQL's text cannot hold: one such character would refuse the whole insert.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
NAMES = frozenset({"agent", "workflow", "user", "end_user", "api_key", "provider", "model"})
LENGTHS = {field.name: field.max_length or 0 for field in UsageRecord._meta.fields if field.name in NAMES}
IDS = (
    "workspace_id",
    "run_id",
    "session_id",
    "agent_id",
    "workflow_id",
    "user_id",
    "api_key_id",
    "attempt",
    "step",
    "currency",
)
# What distinguishes the settlement from the entry that it settles.
OF_ONE_ENTRY = frozenset({"id", "timestamp", "recorded_at", "entry", "status"})
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class CallContext:
    """For whom and by what a model is called: ids, and the names that they have now."""

    workspace_id: uuid.UUID
    currency: str
    run_id: uuid.UUID | None
    """None: a test of a model, which is no run."""
    attempt: int
    step: int
    session_id: uuid.UUID | None
    agent_id: uuid.UUID | None
    agent: str
    workflow: str
    user_id: uuid.UUID | None
    user: str
    end_user: str
    api_key_id: uuid.UUID | None
    api_key: str
    provider: str
    model: str
    workflow_id: uuid.UUID | None = None
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What a run's model calls took. `cost` leaves out the `unpriced_calls`, whose price is not known."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    unpriced_calls: int


def opened(
    context: CallContext, call_id: uuid.UUID, estimate: Tokens, at: datetime, most_output: int | None = None
) -> UsageRecord:
    """The entry to append before the call, unsaved, with an estimate of what the call will take.

    `most_output` is how many tokens may come back; None: nobody has said. Budgets set them aside.
    """
    record = _entry(context, call_id, estimate, at, Entry.OPENED, Outcome.PENDING)
    output = settings.BUDGET_OUTPUT_TOKENS if most_output is None else most_output
    most = replace(estimate, output=max(estimate.output, output))
    record.most_tokens = most.input + most.output
    prices = _prices(context, at)
    record.most_cost = prices.used(most).cost(most) if prices else None
    return record


def settled(
    context: CallContext, call_id: uuid.UUID, tokens: Tokens, status: str, at: datetime
) -> UsageRecord:
    """The entry to append after the call, unsaved. `status` is an `Outcome` other than pending."""
    return _entry(context, call_id, tokens, at, Entry.SETTLED, Outcome(status))


def answered_from_cache(context: CallContext, call_id: uuid.UUID, at: datetime) -> UsageRecord:
    """The entry of a call that was not made, because its answer was there: no request, no tokens, no cost."""
    record = _entry(context, call_id, Tokens(), at, Entry.SETTLED, Outcome.CACHED)
    record.requests, record.cost = 0, Decimal(0)
    return record


def append(records: Sequence[UsageRecord]) -> None:
    """Inserts `records`; an entry that the ledger has already is ignored."""
    bulk.execute(appending(records))


def appending(records: Sequence[UsageRecord]) -> list[bulk.Statement]:
    """What `append` executes, for callers that send it along with other statements; none without records."""
    rows = [bulk.from_instance(record).values for record in records]
    return [bulk.insert(UsageRecord, rows, bulk.Conflict(()))] if rows else []


def opened_among(call_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
    """Those of these calls that were opened."""
    calls = UsageRecord.objects.filter(call_id__in=list(call_ids), entry=Entry.OPENED, correction_of=None)
    return set(calls.values_list("call_id", flat=True))


def settle_open(run_ids: Iterable[uuid.UUID], at: datetime, keep_attempts: Mapping[uuid.UUID, int]) -> int:
    """Settles as `unknown`, with the estimate as its cost, what dead attempts left open; returns how many.

    `keep_attempts` maps the runs that still live to their present attempt: its calls, and those of
    attempts after it, are left alone. All attempts of other runs are dead.
    """
    calls = UsageRecord.objects.filter(run_id__in=list(run_ids)).open_calls()
    dead = [record for record in calls if record.attempt < keep_attempts.get(record.run_id, NEVER)]
    settle_unknown(dead, at)
    return len(dead)


def settle_forgotten(at: datetime) -> int:
    """Settles as `unknown` the calls of no attempt that a process which ended left open, up to BATCH; returns how many.

    What a run's dead attempts left open is settled with the run; see `settle_open`.
    """
    of_no_attempt = Q(run_id=None) | Q(attempt=0)
    calls = UsageRecord.objects.filter(of_no_attempt, timestamp__lt=at - LONGEST_CALL).open_calls()
    forgotten = list(calls[:BATCH])
    settle_unknown(forgotten, at)
    return len(forgotten)


def forgotten_with_reservations(at: datetime) -> list[UsageRecord]:
    """Opened entries, up to BATCH, that have set something aside in budgets for longer than any call takes.

    Of any run, whatever has become of it: what nobody settles would narrow a budget for good.
    """
    reserved = BudgetReservation.objects.values("call_id")
    calls = UsageRecord.objects.filter(
        call_id__in=reserved, timestamp__lt=at - LONGEST_CALL, correction_of=None
    ).open_calls()
    return list(calls[:BATCH])


def settle_unknown(records: Iterable[UsageRecord], at: datetime) -> None:
    """Settles as `unknown`, with the estimate as its cost, what these entries have opened."""
    append([_unknown(record, at) for record in records])


def totals_of_runs(run_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, RunTotals]:
    """What each run's settled calls took together; a run without any is absent."""
    calls = UsageRecord.objects.filter(run_id__in=list(run_ids)).settled()
    sums = {
        "count": Sum("requests"),
        "input": Sum("input_tokens"),
        "output": Sum("output_tokens"),
        "amount": Sum("cost", default=Decimal(0)),
        "unpriced": Sum("requests", filter=Q(cost=None), default=0),
    }
    rows = calls.order_by().values("run_id").annotate(**sums).values_list("run_id", *sums)
    return {run_id: RunTotals(*totals) for run_id, *totals in rows}


def _entry(
    context: CallContext, call_id: uuid.UUID, tokens: Tokens, at: datetime, entry: Entry, status: Outcome
) -> UsageRecord:
    prices = _prices(context, at)
    used = prices.used(tokens) if prices else None
    return UsageRecord(
        **{name: getattr(context, name) for name in IDS},
        **{name: _storable(getattr(context, name), limit) for name, limit in LENGTHS.items()},
        tags=list(context.tags),
        call_id=call_id,
        timestamp=at,
        entry=entry,
        status=status,
        input_tokens=tokens.input,
        cached_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.reasoning,
        input_audio_tokens=tokens.input_audio,
        output_audio_tokens=tokens.output_audio,
        input_image_tokens=tokens.input_image,
        output_image_tokens=tokens.output_image,
        input_price=used.input if used else None,
        output_price=used.output if used else None,
        prices=used.stored() if used else {},
        cost=used.cost(tokens) if used else None,
        price_version=prices.version if prices else "",
    )


def _prices(context: CallContext, at: datetime) -> UnitPrices | None:
    return price(context.workspace_id, context.provider, context.model, at, context.currency)


def _storable(text: str, limit: int) -> str:
    return UNSTORABLE.sub("\ufffd", text)[:limit]


def _unknown(record: UsageRecord, at: datetime) -> UsageRecord:
    """The settlement of an opened entry of which nothing more is known than its estimate."""
    kept: dict[str, Any] = {
        field.attname: getattr(record, field.attname)
        for field in UsageRecord._meta.concrete_fields
        if field.name not in OF_ONE_ENTRY
    }
    return UsageRecord(**kept, timestamp=at, entry=Entry.SETTLED, status=Outcome.UNKNOWN)
