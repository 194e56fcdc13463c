"""The first of many groups, found by what each had since ever: always those that summing all of them finds."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentplatform.lib.hash_chain import seal_next
from billing import breakdowns, conditions, rankings
from billing.breakdowns import grouped
from billing.grains import Span
from billing.grouping import Query
from billing.sealing import LEDGER
from billing.selections import Selection
from billing.totals import SUMS
from tests.billing.test_usage_properties import reprice
from tests.examples import examples
from tests.factories import UsageRecordFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
SESSIONS = [None, *(uuid.UUID(int=number) for number in range(1, 7))]
calls = st.fixed_dictionaries(
    {
        "timestamp": st.integers(-600, 600).map(lambda tenths: NOON + timedelta(hours=tenths / 10)),
        "cost": st.none() | st.integers(0, 30).map(Decimal),
        "currency": st.sampled_from(["USD", "USD", "USD", "EUR"]),
        "user_id": st.sampled_from(SESSIONS[:3]),
        "user": st.sampled_from(["ann", "ann", "bo"]),
        "agent": st.sampled_from(["a", "b"]),
        "tags": st.sampled_from([[], ["x"], ["x", "y"]]),
        "session_id": st.sampled_from(SESSIONS),
        "input_tokens": st.integers(0, 50),
        "is_sealed": st.booleans(),
        "is_repriced": st.sampled_from([False, False, True]),
    }
)
spans = st.tuples(st.integers(-660, 200), st.integers(10, 1200)).map(
    lambda tenths: Span(NOON + timedelta(hours=tenths[0] / 10), NOON + timedelta(hours=sum(tenths) / 10))
)


def write(workspace, call) -> None:
    fields = dict(call)
    is_sealed, is_repriced = fields.pop("is_sealed"), fields.pop("is_repriced")
    record = UsageRecordFactory(workspace=workspace, **fields)
    if is_repriced:
        reprice(record, {"requests": 1, **fields}, Decimal(3))
    if is_sealed:
        seal_next(LEDGER)


@pytest.mark.properties
@given(
    entries=st.lists(calls, min_size=4, max_size=25),
    span=spans,
    field=st.sampled_from(SUMS),
    page=st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 2), (100, 0)]),
    count=st.integers(1, 5),
)
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_is_right_or_says_that_it_is_not(
    workspace,
    in_vain,
    entries,
    span,
    field,
    page,
    count,
):
    query = Query(("session",), f"-{field}", *page)
    selection = Selection(workspace.pk, span)
    with in_vain(), pytest.MonkeyPatch.context() as patch:
        for entry in entries:
            write(workspace, entry)
        patch.setattr(rankings, "candidates", lambda *_: ())
        patch.setattr(rankings, "by_one_sum", lambda *_: None)
        right = grouped(selection, "USD", query)
        if span.upper - span.lower > timedelta(hours=8):
            found = breakdowns._first(selection, "USD", query, count)
            assert found is None or found == right


@pytest.mark.properties
@given(
    entries=st.lists(calls, min_size=4, max_size=25),
    span=spans,
    by=st.sampled_from(
        [("user",), ("agent",), ("model", "agent"), ("tag",), ("session",), ("user", "status")]
    ),
    is_narrowed=st.booleans(),
    ordering=st.tuples(st.sampled_from(["", "-"]), st.sampled_from(SUMS)).map("".join),
    page=st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 2), (100, 0), (100, 5)]),
)
@settings(
    max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_one_sum_finds_the_groups_that_all_sums_find(
    workspace, in_vain, entries, span, by, is_narrowed, ordering, page
):
    query = Query(by, ordering, *page)
    selection = Selection(workspace.pk, span, [conditions.own(SESSIONS[1])] if is_narrowed else ())
    with in_vain(), pytest.MonkeyPatch.context() as patch:
        for entry in entries:
            write(workspace, entry)
        patch.setattr(rankings, "candidates", lambda *_: ())
        found = grouped(selection, "USD", query)
        patch.setattr(rankings, "by_one_sum", lambda *_: None)
        assert found == grouped(selection, "USD", query)


@pytest.fixture
def used(workspace):
    """`used(3, 0.5, days=2)`: a sealed call of the third session that cost so much, so many days ago."""

    def record(session: int, cost: float, days: float = 2):
        at = timezone.now() - timedelta(days=days)
        UsageRecordFactory(
            workspace=workspace, timestamp=at, session_id=uuid.UUID(int=session), cost=Decimal(str(cost))
        )
        seal_next(LEDGER)

    return record


@pytest.fixture
def first(workspace):
    """`first(2, candidates=3)`: the first two sessions of the last ten days, and how many there are."""

    def find(limit: int, candidates: int):
        span = Span(timezone.now() - timedelta(days=10), timezone.now())
        query = Query(("session",), "-cost", limit)
        found = breakdowns._first(Selection(workspace.pk, span), "USD", query, candidates)
        return found and ([group["session_id"].int for group in found.groups], found.total)

    return find


def test_finds_the_first_among_those_that_had_most(used, first):
    for session in range(1, 8):
        used(session, session)
    assert first(2, candidates=3) == ([7, 6], 7)


def test_admits_that_others_may_come_before(used, first):
    for session in range(1, 8):
        used(session, session)
        used(session, 100 - session, days=30)
    assert first(2, candidates=3) is None


def test_looks_at_more_until_it_knows(used, first, workspace):
    for session in range(1, 8):
        used(session, session)
        used(session, 100 - session, days=30)
    span = Span(timezone.now() - timedelta(days=10), timezone.now())
    found = grouped(Selection(workspace.pk, span), "USD", Query(("session",), "-cost", 2))
    assert [group["session_id"].int for group in found.groups] == [7, 6]


def test_does_not_ask_those_who_had_none_in_the_period(used, first):
    used(1, 1)
    for session in range(2, 8):
        used(session, 100, days=30)
    assert first(1, candidates=1) == ([1], 1)


def test_counts_who_was_there_before_and_after_only_if_they_were_in_between(used, first):
    used(1, 1)
    used(2, 5, days=30)
    used(2, 5, days=0)
    used(3, 5, days=30)
    used(3, 5, days=5)
    used(3, 5, days=0)
    assert first(3, candidates=10) == ([3, 2, 1], 3)


def test_does_not_count_on_and_on(used, first, monkeypatch):
    monkeypatch.setattr(rankings, "MOST_COUNTED", 2)
    for session in range(1, 5):
        used(session, session)
    assert first(1, candidates=3) == ([4], None)


def test_a_little_at_the_edge_does_not_put_a_group_first(used, workspace):
    used(1, 5)
    used(1, 1, days=0)
    used(2, 3)
    span = Span(timezone.now() - timedelta(days=10), timezone.now())
    found = grouped(Selection(workspace.pk, span), "USD", Query(("session",), "cost", 1))
    assert [group["session_id"].int for group in found.groups] == [2]
