"""Whatever lies in the ledger, and however much of it is rolled up: all roads lead to the same sums."""

from __future__ import annotations

import csv
import io
import uuid
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentplatform.lib import hash_chain
from agentplatform.lib.csv_stream import csv_statement
from billing.cuts import CUTS, DIMENSIONS
from billing.exports.columns import DEFAULT, as_csv
from billing.exports.columns import UTC as IN_UTC
from billing.grouping import Query
from billing.models import Entry, Outcome, UsageRecord, UsageRollup
from billing.rebuilding import rebuild
from billing.sealing import LEDGER
from billing.selections import Selection
from billing.totals import SUMS
from billing.usage import Period, agent_breakdown, breakdown, history, history_by, summary
from billing.usage_filters import UsageFilter
from tests.examples import examples
from tests.factories import UsageRecordFactory

pytestmark = pytest.mark.django_db

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
]
# Clocks change in Berlin and Havana, in New York, and in Lord Howe.
CHANGES = [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC)]
CHANGES += [datetime(2026, 10, 25, 1, tzinfo=UTC), datetime(2026, 11, 1, 5, tzinfo=UTC)]
CHANGES += [datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 10, 3, 15, 30, tzinfo=UTC)]
USERS = [uuid.UUID(int=1), uuid.UUID(int=2)]

moments = st.one_of(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    st.builds(
        lambda change, minutes: change + timedelta(minutes=minutes),
        st.sampled_from(CHANGES),
        st.integers(-200, 200),
    ),
)
calls = st.fixed_dictionaries(
    {
        "timestamp": moments,
        "cost": st.none() | st.decimals(0, 1000, places=12, allow_nan=False, allow_infinity=False),
        "currency": st.sampled_from(["USD", "USD", "EUR"]),
        "status": st.sampled_from([Outcome.OK, Outcome.FAILED, Outcome.CACHED]),
        "input_tokens": st.integers(0, 10**9),
        "agent": st.sampled_from(["", "a", "b"]),
        "model": st.sampled_from(["m", "n"]),
        "workflow": st.sampled_from(["", "w"]),
        "user": st.sampled_from(["", "bob"]),
        "user_id": st.sampled_from([None, *USERS]),
        "tags": st.sampled_from([[], ["x"], ["x", "y"]]),
        "session_id": st.sampled_from([None, uuid.UUID(int=7), uuid.UUID(int=8)]),
        "is_sealed": st.booleans(),
        "is_repriced": st.booleans(),
        "price": st.none() | st.decimals(0, 1000, places=12, allow_nan=False, allow_infinity=False),
    }
)
spans = st.tuples(moments, moments).map(sorted).filter(lambda bounds: bounds[0] < bounds[1])


def write(workspace, entries: Iterable[dict[str, Any]]) -> list[UsageRecord]:
    """What `entries` say, some repriced and some sealed, in turns."""
    for entry in entries:
        fields = dict(entry)
        is_sealed, is_repriced, price = (fields.pop(name) for name in ("is_sealed", "is_repriced", "price"))
        fields["requests"] = 0 if fields["status"] == Outcome.CACHED else 1
        record = UsageRecordFactory(workspace=workspace, **fields)
        UsageRecordFactory(workspace=workspace, **fields, entry=Entry.OPENED)
        if is_repriced:
            reprice(record, fields, price)
        if is_sealed:
            hash_chain.seal_next(LEDGER)
    return list(UsageRecord.objects.settled().select_related("user_name"))


def reprice(record: UsageRecord, fields: dict[str, Any], price: Decimal | None) -> None:
    common = {
        "workspace": record.workspace,
        "call_id": record.call_id,
        "correction_of": record.pk,
        "revision": 2,
    }
    reversal = {
        **fields,
        "requests": -fields["requests"],
        "input_tokens": -record.input_tokens,
        "output_tokens": -record.output_tokens,
        "cost": None if record.cost is None else -record.cost,
        "is_reversal": True,
    }
    UsageRecordFactory(**common, **reversal)
    UsageRecordFactory(**common, **{**fields, "cost": price})


def sums(records: Iterable[UsageRecord], currency: str = "USD") -> dict[str, Any]:
    """The totals of some entries, by hand."""
    records = list(records)
    found: dict[str, Any] = {name: sum(getattr(record, name) for record in records) for name in SUMS[:-2]}
    found["unpriced_requests"] = sum(record.requests for record in records if record.cost is None)
    costs = [record.cost for record in records if record.cost is not None and record.currency == currency]
    return found | {"cost": sum(costs, Decimal(0)) if costs else None}


def by(records: Iterable[UsageRecord], key: Any) -> dict[Any, dict[str, Any]]:
    groups = defaultdict(list)
    for record in records:
        for value in key(record):
            groups[value].append(record)
    return {value: sums(members) for value, members in groups.items()}


def totals(group: dict[str, Any]) -> dict[str, Any]:
    return {name: group[name] for name in SUMS}


def local_start(moment: datetime, granularity: str, zone: str) -> datetime:
    """The local name of a moment's bucket, with its offset where it is an hour."""
    local = moment.astimezone(ZoneInfo(zone))
    if granularity == "hour":
        offset = local.utcoffset()
        return (local.replace(tzinfo=None, minute=0, second=0, microsecond=0) - offset).replace(tzinfo=UTC)
    day = local.date()
    if granularity == "week":
        day -= timedelta(days=day.weekday())
    if granularity in ("month", "quarter", "year"):
        months = {"month": 1, "quarter": 3, "year": 12}[granularity]
        day = day.replace(day=1, month=(day.month - 1) // months * months + 1)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


KEYS = {
    "agent": (lambda record: [(record.agent_id, record.agent)], ("agent_id", "agent")),
    "provider": (lambda record: [(record.provider,)], ("provider",)),
    "model": (lambda record: [(record.provider, record.model)], ("provider", "model")),
    "workflow": (lambda record: [(record.workflow_id, record.workflow)], ("workflow_id", "workflow")),
    "user": (
        lambda record: [(record.user_id, record.user_name.name if record.user_name else "")],
        ("user_id", "user"),
    ),
    "api_key": (lambda record: [(record.api_key_id, "")], ("api_key_id", "api_key")),
    "tag": (lambda record: [(tag,) for tag in record.tags or [None]], ("tag",)),
    "session": (lambda record: [(record.session_id,)], ("session_id",)),
    "status": (lambda record: [(record.status,)], ("status",)),
}
patient = settings(
    max_examples=examples(12),
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)


@pytest.mark.properties
@patient
@given(entries=st.lists(calls, max_size=8), bounds=spans)
def test_all_roads_lead_to_the_same_sums(workspace, in_vain, entries, bounds):
    with in_vain():
        period = Period(*bounds)
        records = [
            record for record in write(workspace, entries) if period.start <= record.timestamp < period.end
        ]
        selection = Selection(workspace.pk, period.span)
        expected = sums(records) if records else {**sums([]), "cost": Decimal(0)}
        assert totals(summary(selection, period, "USD")["totals"]) == expected
        assert totals(agent_breakdown(selection, period, "USD")["totals"]) == expected
        for dimension, (key, names) in KEYS.items():
            found = breakdown(selection, period, "USD", Query((dimension,)))
            groups = {tuple(group[name] for name in names): totals(group) for group in found["groups"]}
            assert groups == by(records, key), dimension
            assert totals(found["totals"]) == expected
        both = breakdown(selection, period, "USD", Query(("user", "model")))["groups"]
        assert sum(group["input_tokens"] for group in both) == expected["input_tokens"]
        assert exported(workspace, period) == (expected["input_tokens"], expected["cost"] or 0)


@pytest.mark.properties
@patient
@given(
    entries=st.lists(calls, max_size=8),
    bounds=spans,
    zone=st.sampled_from(ZONES),
    granularity=st.sampled_from(["hour", "day", "week", "month", "quarter", "year"]),
    group=st.sampled_from(["agent", "model", "user", "tag"]),
)
def test_a_bucket_has_what_lies_between_its_local_bounds(
    workspace, in_vain, entries, bounds, zone, granularity, group
):
    start, end = bounds
    if granularity == "hour":
        end = min(end, start + timedelta(days=40))
    with in_vain():
        period = Period(start, end)
        records = [record for record in write(workspace, entries) if start <= record.timestamp < end]
        selection = Selection(workspace.pk, period.span)
        expected = by(records, lambda record: [local_start(record.timestamp, granularity, zone)])
        found = history(selection, period, "USD", granularity, zone)
        assert {bucket["start"]: totals(bucket) for bucket in found["buckets"]} == expected
        grouped = history_by(selection, period, "USD", granularity, zone, Query((group,), limit=20))
        assert grouped["buckets"] == found["buckets"]
        key, names = KEYS[group]
        for series in grouped["series"]:
            own = [record for record in records if tuple(series[name] for name in names) in key(record)]
            assert totals(series) == sums(own)
            assert {bucket["start"]: totals(bucket) for bucket in series["buckets"]} == by(
                own, lambda record: [local_start(record.timestamp, granularity, zone)]
            )


@pytest.mark.properties
@patient
@given(entries=st.lists(calls, max_size=8))
def test_rolling_up_in_turns_gives_what_rebuilding_gives(workspace, in_vain, entries):
    with in_vain():
        records = write(workspace, entries)
        while hash_chain.seal_next(LEDGER):
            pass
        in_turns = rolled_up()
        list(rebuild(workspace.pk))
        assert rolled_up() == in_turns
        everything = UsageRollup.objects.filter(cut=CUTS[0].number, grain=CUTS[0].grains[0])
        assert sum(rollup.input_tokens for rollup in everything) == sum(
            record.input_tokens for record in records
        )


@pytest.mark.properties
@patient
@given(entries=st.lists(calls, max_size=6), user=st.sampled_from(USERS), bounds=spans)
def test_filters_mean_the_same_on_all_roads(workspace, api, audrey, in_vain, entries, user, bounds):
    with in_vain():
        write(workspace, entries)
        period = {"start": bounds[0].isoformat(), "end": bounds[1].isoformat()}
        client = api(audrey)
        for filters in (
            {"user": str(user)},
            {"user": "bob", "agent": "a"},
            {"tag": "x"},
            {"tag": "x", "model": "m"},
            {"workflow": "w", "status": "ok"},
            {"session_id": str(uuid.UUID(int=7))},
            {"provider": "openai"},
        ):
            read = [
                client.get(f"/billing/{path}", {**period, **filters, **more}).json()["totals"]
                for path, more in (
                    ("usage", {}),
                    ("usage/breakdown", {"by": "user"}),
                    ("usage/history", {"granularity": "year"}),
                )
            ]
            rows = csv_of(workspace, Period(*bounds), filters)
            assert [totals["requests"] for totals in read] == [sum(int(row["requests"]) for row in rows)] * 3


def rolled_up() -> list[tuple[Any, ...]]:
    names = ("group_id", "grain", "start", *SUMS)
    return sorted(UsageRollup.objects.values_list(*names), key=str)


def csv_of(workspace, period: Period, filters: dict[str, str]) -> list[dict[str, str]]:
    """The export, read in the test's transaction."""
    query = {**filters, "start": period.start.isoformat(), "end": period.end.isoformat()}
    chosen = UsageFilter(query, UsageRecord.objects.settled().filter(workspace=workspace))
    selected = as_csv(DEFAULT, workspace.slug, IN_UTC, decimal_comma=False)
    rows = chosen.qs.order_by("timestamp", "id").values_list(*selected)
    with connection.cursor() as cursor, cursor.copy(csv_statement(rows)) as copy:
        text = b"".join(copy).decode()
    return list(csv.DictReader(io.StringIO(text), fieldnames=list(DEFAULT)))


def exported(workspace, period: Period) -> tuple[int, Decimal]:
    rows = csv_of(workspace, period, {})
    cost = sum((Decimal(row["cost"]) for row in rows if row["cost"] and row["currency"] == "USD"), Decimal(0))
    return sum(int(row["input_tokens"]) for row in rows), cost


def test_every_dimension_is_compared():
    assert KEYS.keys() == DIMENSIONS.keys()
