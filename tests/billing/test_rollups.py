"""Roll-ups of the ledger: made as entries are sealed, made anew by the command, and exact in between."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from agentplatform.lib.hash_chain import seal_next
from billing.models import UsageLifetime, UsageRollup
from billing.sealing import LEDGER
from billing.usage import Period, sums_by_hour_and_agent
from tests.factories import UsageRecordFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def used(workspace):
    """`used(days=3, model="gpt-5")`: a settled call in acme, three days ago."""

    def record(days: float = 0, **fields):
        at = timezone.now() - timedelta(days=days, minutes=1)
        return UsageRecordFactory(workspace=workspace, timestamp=at, **fields)

    return record


@pytest.fixture
def requests(api, audrey):
    """`requests(agent="a")`: what audrey reads of the last thirty days."""
    return lambda **query: api(audrey).get("/billing/usage", query).json()["totals"]["requests"]


def totals_of(grain: int) -> list[int]:
    return list(UsageRollup.objects.filter(cut=9, grain=grain).values_list("requests", flat=True))


def test_adds_entries_to_what_is_there(used):
    used()
    seal_next(LEDGER)
    used()
    seal_next(LEDGER)
    assert sum(totals_of(6)) == 2


def test_counts_what_is_not_sealed_yet(used, requests):
    used(days=3)
    seal_next(LEDGER)
    used(days=3)
    assert requests() == 2


def test_counts_nothing_twice_when_it_is_sealed(used, requests):
    used(days=3)
    before = requests()
    seal_next(LEDGER)
    assert (before, requests()) == (1, 1)


def test_keeps_workspaces_apart(used, requests):
    UsageRecordFactory(workspace=WorkspaceFactory(), timestamp=timezone.now() - timedelta(days=3))
    used(days=3)
    seal_next(LEDGER)
    assert requests() == 1


def test_reads_whole_pieces_from_roll_ups(used, requests):
    used(days=10)
    seal_next(LEDGER)
    UsageRollup.objects.filter(cut=22).update(requests=7)
    assert requests() == 7


def test_rebuilds_what_is_wrong(used, requests):
    used(days=10)
    seal_next(LEDGER)
    UsageRollup.objects.update(requests=7)
    call_command("rebuild_rollups")
    assert requests() == 1


def test_rebuilds_what_groups_had_since_ever(used, workspace):
    session = uuid.uuid4()
    for days in (3, 10, 100):
        used(days, session_id=session, cost=Decimal("0.5"))
    seal_next(LEDGER)
    used(1, session_id=session)
    right = list(UsageLifetime.objects.order_by("group_id").values())
    UsageLifetime.objects.update(cost=7, first=timezone.now())
    call_command("rebuild_rollups")
    assert list(UsageLifetime.objects.order_by("group_id").values()) == right
    assert UsageLifetime.objects.get(cut=18).cost == Decimal("1.5")


def test_rebuilds_what_spans_its_windows(used):
    for days in (3, 40, 80, 120, 400):
        used(days)
    seal_next(LEDGER)
    right = list(UsageRollup.objects.filter(grain=7).order_by("group_id", "start").values())
    UsageRollup.objects.filter(grain=7).update(requests=7)
    call_command("rebuild_rollups")
    assert list(UsageRollup.objects.filter(grain=7).order_by("group_id", "start").values()) == right
    assert len(right) > 3


def test_rebuilds_nothing_of_other_workspaces(used, requests):
    used(days=10)
    seal_next(LEDGER)
    UsageRollup.objects.update(requests=7)
    call_command("rebuild_rollups", workspace=WorkspaceFactory().slug)
    assert requests() == 7


def test_leaves_to_the_sealer_what_waits_for_it(used, requests):
    used(days=10)
    call_command("rebuild_rollups")
    seal_next(LEDGER)
    assert requests() == 1


def test_names_a_workspace_that_is_not_there():
    with pytest.raises(CommandError, match="nowhere"):
        call_command("rebuild_rollups", workspace="nowhere")


def test_rebuilds_what_was_sealed_without_followers(used, requests):
    used(days=10)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM billing_unsealedusage")
    call_command("rebuild_rollups")
    assert requests() == 1


def test_gives_sums_by_hour_and_agent(used, workspace):
    used(days=3, agent="a")
    seal_next(LEDGER)
    used(days=3, agent="a")
    period = Period.of(None, None)
    [found] = sums_by_hour_and_agent(workspace.pk, period)
    assert (found["agent"], found["currency"], found["requests"]) == ("a", "USD", 2)


def test_takes_back_what_a_reversal_negates(used, api, audrey):
    record = used(days=3)
    used(
        days=3,
        call_id=record.call_id,
        correction_of=record.pk,
        revision=2,
        is_reversal=True,
        requests=-1,
        input_tokens=-1000,
        output_tokens=-100,
        cost=-record.cost,
    )
    used(days=3, call_id=record.call_id, correction_of=record.pk, revision=2, cost=Decimal("0.5"))
    seal_next(LEDGER)
    totals = api(audrey).get("/billing/usage").json()["totals"]
    assert (totals["requests"], totals["input_tokens"], totals["cost"]) == (1, 1000, "0.5")
