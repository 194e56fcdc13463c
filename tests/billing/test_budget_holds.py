"""Runs that rest for budgets: who goes on when there is room, whatever rests for others."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from billing.budgets import holds
from billing.models import Budget, BudgetHold
from tests.factories import BudgetFactory

pytestmark = pytest.mark.django_db


def resting(budget: Budget, count: int = 1, tokens: int = 10, minutes: int = 1) -> list[uuid.UUID]:
    """Runs that rest for it, each for a call of so many tokens."""
    since = timezone.now() - timedelta(minutes=minutes)
    fields = {"budget": budget, "needs_amount": 0, "needs_tokens": tokens}
    rows = [
        BudgetHold(run_id=uuid.uuid4(), since=since + timedelta(milliseconds=number), **fields)
        for number in range(count)
    ]
    return [row.run_id for row in BudgetHold.objects.bulk_create(rows)]


def pausing(workspace, **fields) -> Budget:
    return BudgetFactory(
        **{"workspace": workspace, "action": "pause", "limit_amount": None, "limit_tokens": 100, **fields}
    )


def test_finds_room_of_one_tenant_behind_many_runs_of_another(workspace, other_workspace):
    resting(pausing(other_workspace), count=holds.BATCH + 1, tokens=200, minutes=9)
    (ours,) = resting(pausing(workspace))

    assert holds.with_room(timezone.now()) == [ours]


def test_gives_each_budget_its_turn(workspace, other_workspace, monkeypatch):
    monkeypatch.setattr(holds, "BATCH", 2)
    theirs = resting(pausing(other_workspace), count=5, minutes=9)
    (ours,) = resting(pausing(workspace))

    assert holds.with_room(timezone.now()) == [theirs[0], ours]


def test_lets_no_more_go_on_than_find_room_together(workspace):
    first, second, _ = resting(pausing(workspace), count=3, tokens=40)

    assert holds.with_room(timezone.now()) == [first, second]


@pytest.mark.parametrize("change", [{"action": "alert"}, {"action": "block"}, {"enabled": False}])
def test_holds_nobody_for_a_budget_that_pauses_no_more(workspace, change):
    (run_id,) = resting(pausing(workspace, **change), tokens=200)

    assert holds.with_room(timezone.now()) == [run_id]
    assert holds.obstacle(run_id, timezone.now()) is None


def test_reads_with_as_many_queries_for_many(workspace, django_assert_num_queries):
    for _ in range(5):
        resting(pausing(workspace))

    with django_assert_num_queries(4):
        assert len(holds.with_room(timezone.now())) == 5
