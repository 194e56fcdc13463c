"""Prices a period's calls anew, by the prices as they are known now for each call's own moment.

Nothing is overwritten. A call whose cost changes gets two more entries, as an accountant would book it: a reversal of
the one that counts so far, and a replacement. It is done batch by batch, each a transaction that also remembers how far
it has come, so that whoever goes on after a crash repeats nothing. Answers from the cache stay, and so do calls whose
price is not known now: a cost that was known then is better than none.

Whoever keeps sums of the ledger registers with `follow`, and brings them up to date in the same transaction. A period
that reaches up to now is begun a moment later, because other processes know old prices for a few seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from psycopg.errors import UniqueViolation

from agentplatform.lib import bulk, queue
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import Conflict, Invalid
from agentplatform.lib.ids import as_uuid, uuid7
from billing import overrides
from billing.models import Outcome, Repricing, UsageQuerySet, UsageRecord
from billing.pricing import known_price
from billing.rates import UsedPrices
from billing.tokens import Tokens

# The runs of a batch are locked while it is written: a fraction of a second.
BATCH = 250
# For so long calls may still be priced by what was known before, and for as long again on their way into the ledger.
LATE = timedelta(seconds=overrides.TTL_SECONDS + 2)
TASK = "reprice"
QUEUE = "billing"
ACTIVE = (Repricing.Status.QUEUED, Repricing.Status.RUNNING)
# What a reversal negates, and a replacement keeps.
COUNTS = tuple(
    one.name for one in UsageRecord._meta.fields if one.name.endswith("_tokens") or one.name == "requests"
)
# What every entry has of its own.
OF_ONE_ENTRY = frozenset({"id", "recorded_at", "correction_of", "revision", "is_reversal"})
KEPT = tuple(one.attname for one in UsageRecord._meta.concrete_fields if one.name not in OF_ONE_ENTRY)

Follower = Callable[[Sequence[uuid.UUID]], AbstractContextManager[None]]
"""Is given the runs whose costs change, and entered around the change, in its transaction: whoever has to lock them
does so before the ledger's entries lock anything."""

_followers: list[Follower] = []


def follow(follower: Follower) -> Follower:
    """Registers who keeps sums of the ledger by run."""
    _followers.append(follower)
    return follower


@dataclass(slots=True)
class Tally:
    """What a batch has come to. `sums` are the costs before and after by currency."""

    looked_at: int = 0
    changed: int = 0
    unknown: int = 0
    sums: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    def add(self, currency: str, before: Decimal | None, after: Decimal | None) -> None:
        sums = self.sums.get(currency, (Decimal(0), Decimal(0)))
        self.sums[currency] = (sums[0] + (before or 0), sums[1] + (after or 0))


def request(repricing: Repricing) -> Repricing:
    """Saves what is wanted and wakes a worker for it. Raises Invalid, or Conflict while another one is under way."""
    save(repricing)
    wake(repricing.pk)
    return repricing


def save(repricing: Repricing) -> None:
    """Saves what is wanted. Raises Invalid, or Conflict while another one of the workspace is under way."""
    if repricing.start >= repricing.end:
        raise Invalid({"start": "Give a start before the end."})
    try:
        with transaction.atomic():
            repricing.save(force_insert=True)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        raise Conflict(
            "Another period of the workspace is being repriced. Wait for it: see /billing/repricings."
        ) from error


def wake(repricing_id: uuid.UUID) -> None:
    queue.defer(TASK, queue=QUEUE, repricing_id=str(repricing_id))


def step(repricing_id: uuid.UUID) -> bool:
    """One batch; whether there is more to do. Several at once take turns.

    What fails because of the database is tried again after a while; whatever else fails would fail again, so that is
    its end.
    """
    try:
        return _step(repricing_id)
    except OperationalError:
        raise
    except Exception as error:
        now, text = timezone.now(), f"{type(error).__name__}: {error}"[:500]
        Repricing.objects.filter(pk=repricing_id, status__in=ACTIVE).update(
            status=Repricing.Status.FAILED, error=text, updated_at=now, finished_at=now
        )
        raise


def _step(repricing_id: uuid.UUID) -> bool:
    with transaction.atomic():
        repricing = Repricing.objects.select_for_update().get(pk=repricing_id)
        if repricing.status not in ACTIVE:
            return False
        entries = list(_entries(repricing)[:BATCH])
        # What another process has set a moment ago counts, too.
        overrides.forget(repricing.workspace_id)
        tally = Tally()
        corrected = _corrected(entries)
        current = [entry for entry in entries if entry.pk not in corrected]
        corrections = list(_corrections(repricing, current, tally))
        if corrections and not repricing.dry_run:
            run_ids = sorted({row["run_id"] for row in corrections if row["run_id"]})
            with ExitStack() as followers:
                for follower in _followers:
                    followers.enter_context(follower(run_ids))
                bulk.execute([bulk.insert(UsageRecord, corrections, bulk.Conflict(()))])
        _remember(repricing, entries, tally)
        return len(entries) == BATCH


def begins_at(repricing: Repricing) -> datetime:
    """From when on all calls are in the ledger that may have been priced by what was known before."""
    reaches_up_to_now = repricing.end > repricing.created_at - LATE
    return repricing.created_at + 2 * LATE if reaches_up_to_now else repricing.created_at


def _entries(repricing: Repricing) -> UsageQuerySet:
    """The priced entries of the period that were there when it began, after those that are done; not its own."""
    asked = repricing.created_at
    entries = UsageRecord.objects.settled().filter(
        _wanted(repricing),
        _after(repricing),
        Q(recorded_at__lte=asked) | Q(recorded_at__lte=asked + LATE, correction_of=None),
        workspace_id=repricing.workspace_id,
        timestamp__gte=repricing.start,
        timestamp__lt=repricing.end,
        is_reversal=False,
    )
    return entries.exclude(status=Outcome.CACHED).order_by("timestamp", "id")


def _corrected(entries: Sequence[UsageRecord]) -> set[uuid.UUID]:
    """Those that count no more: a newer revision has taken their place."""
    # A question of its own, because joined to the entries PostgreSQL would walk through all reversals for each. It
    # says what the unique index says, because only then the index finds them.
    reversals = UsageRecord.objects.filter(
        call_id__in=[entry.call_id for entry in entries], correction_of__isnull=False, is_reversal=True
    )
    return {reversed_id for reversed_id in reversals.values_list("correction_of", flat=True) if reversed_id}


def _wanted(repricing: Repricing) -> Q:
    condition = Q()
    if repricing.provider:
        condition &= Q(provider=repricing.provider)
    if repricing.model:
        condition &= Q(model=repricing.model)
    if repricing.agent:
        key = as_uuid(repricing.agent)
        condition &= Q(agent=repricing.agent) | Q(agent_id=key) if key else Q(agent=repricing.agent)
    return condition


def _after(repricing: Repricing) -> Q:
    if repricing.last_timestamp is None:
        return Q()
    last = repricing.last_timestamp
    return Q(timestamp__gte=last) & (Q(timestamp__gt=last) | Q(timestamp=last, id__gt=repricing.last_id))


def _corrections(repricing: Repricing, entries: Sequence[UsageRecord], tally: Tally) -> Iterator[bulk.Values]:
    """The two entries of each call whose cost changes; counts all of them."""
    currency = repricing.workspace.currency
    now = timezone.now()
    for entry in entries:
        # Prices are in the workspace's currency, so calls in another one have none.
        used = _prices(entry) if entry.currency == currency else None
        after = used.cost(tokens_of(entry)) if used else entry.cost
        tally.looked_at += 1
        tally.unknown += used is None
        tally.add(entry.currency, entry.cost, after)
        if used and after is not None and after != entry.cost:
            tally.changed += 1
            yield _reversal(entry, now)
            yield _replacement(entry, used, after, now)


@dataclass(frozen=True, slots=True)
class _Used:
    prices: UsedPrices
    version: str

    def cost(self, tokens: Tokens) -> Decimal:
        return self.prices.cost(tokens)


def _prices(entry: UsageRecord) -> _Used | None:
    found = known_price(entry.workspace_id, entry.provider, entry.model, entry.timestamp, entry.currency)
    return _Used(found.used(tokens_of(entry)), found.version) if found else None


def tokens_of(entry: UsageRecord) -> Tokens:
    """An entry's counts."""
    return Tokens(
        input=entry.input_tokens,
        cached=entry.cached_tokens,
        cache_write=entry.cache_write_tokens,
        output=entry.output_tokens,
        reasoning=entry.reasoning_tokens,
        input_audio=entry.input_audio_tokens,
        output_audio=entry.output_audio_tokens,
        input_image=entry.input_image_tokens,
        output_image=entry.output_image_tokens,
    )


def _correction(entry: UsageRecord, now: datetime, **changes: Any) -> bulk.Values:
    return {
        **{name: getattr(entry, name) for name in KEPT},
        "id": uuid7(),
        "recorded_at": now,
        "correction_of": entry.pk,
        "revision": entry.revision + 1,
        "is_reversal": False,
        **changes,
    }


def _reversal(entry: UsageRecord, now: datetime) -> bulk.Values:
    negated = {name: -getattr(entry, name) for name in COUNTS}
    cost = None if entry.cost is None else -entry.cost
    return _correction(entry, now, **negated, cost=cost, is_reversal=True)


def _replacement(entry: UsageRecord, used: _Used, cost: Decimal, now: datetime) -> bulk.Values:
    return _correction(
        entry,
        now,
        input_price=used.prices.input,
        output_price=used.prices.output,
        prices=used.prices.stored(),
        cost=cost,
        price_version=used.version,
    )


def _remember(repricing: Repricing, entries: Sequence[UsageRecord], tally: Tally) -> None:
    """How far it has come and what it has found, in the transaction of the batch."""
    repricing.looked_at += tally.looked_at
    repricing.changed += tally.changed
    repricing.unknown += tally.unknown
    for currency, (before, after) in tally.sums.items():
        known = repricing.sums.get(currency, {})
        before, after = before + Decimal(known.get("before", 0)), after + Decimal(known.get("after", 0))
        said = {"before": before, "after": after, "difference": after - before}
        repricing.sums[currency] = {name: plain(amount) for name, amount in said.items()}
    repricing.status, repricing.updated_at = Repricing.Status.RUNNING, timezone.now()
    if entries:
        repricing.last_timestamp, repricing.last_id = entries[-1].timestamp, entries[-1].pk
    if len(entries) < BATCH:
        repricing.status, repricing.finished_at = Repricing.Status.DONE, repricing.updated_at
    repricing.save()
