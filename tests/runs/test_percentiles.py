"""Percentiles are right to their stated error, also after merging."""

from __future__ import annotations

from datetime import timedelta
from math import ceil

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from runs.analytics import folding, histograms
from runs.analytics.periods import Period
from runs.analytics.reading import Whose, read
from runs.models import Figures, Kind
from tests.factories import AgentFactory, RunFactory, WorkspaceFactory

SHARES = [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0]


def exact(values: list[int], share: float) -> float:
    """Nearest rank, in seconds."""
    return sorted(values)[max(1, ceil(share * len(values))) - 1] / 1e6


def stored(microseconds: list[int]) -> bytes:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(int4send(runs_bucket(value)) || int4send(1), '') FROM unnest(%s::bigint[]) AS value",
            [microseconds],
        )
        return bytes(cursor.fetchone()[0])


class TestAnyDurations(TestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.lists(st.integers(1, 10**13), min_size=1, max_size=50), min_size=1, max_size=8))
    def test_each_estimate_is_right_to_one_percent_after_merging(self, hours):
        together = [value for hour in hours for value in hour]
        found = histograms.quantiles(histograms.read(b"".join(map(stored, hours))), SHARES)
        assert found == pytest.approx([exact(together, share) for share in SHARES], rel=0.01 + 1e-6, abs=1e-8)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.integers(0, 10**13), max_size=50), st.lists(st.integers(0, 10**13), max_size=50))
    def test_compacting_changes_nothing_but_the_length(self, one, other):
        entries = (stored(one) if one else b"") + (stored(other) if other else b"")
        with connection.cursor() as cursor:
            cursor.execute("SELECT runs_compact_histogram(%s)", [entries])
            compact = bytes(cursor.fetchone()[0])
        found = histograms.read(compact)
        assert found == histograms.read(entries)
        assert len(compact) == 8 * len(found)


@pytest.mark.django_db
def test_what_was_taken_back_is_gone():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT runs_compact_histogram(int4send(7) || int4send(1) || int4send(7) || int4send(-1))"
        )
        assert bytes(cursor.fetchone()[0]) == b""


def test_of_nothing_there_is_none():
    assert histograms.quantiles(histograms.read(b""), [0.5]) == [None]


@pytest.mark.django_db
def test_histograms_stay_short_however_often_something_is_added(monkeypatch):
    monkeypatch.setattr(folding, "BATCH", 1)
    monkeypatch.setattr(folding, "LONGEST_HISTOGRAM", 40)
    workspace, now = WorkspaceFactory(), timezone.now()
    agent = AgentFactory(workspace=workspace)
    for _ in range(12):
        RunFactory(
            workspace=workspace,
            agent=agent,
            user=None,
            started_at=now - timedelta(seconds=2),
            finished_at=now,
        )
    folding.fold_all()
    assert max(len(row.histogram) for row in Figures.objects.all()) <= 40
    [(_, sums)] = read(Whose(workspace.pk), Period.of(None, None), [Kind.RUN])
    assert sums.percentiles()["p50"] == pytest.approx(2, rel=0.01)
