"""All sums against the ledger: what is right passes, and what was changed by force is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from billing import ledger, repricing, roads
from billing.models import Repricing, UsageRecord
from billing.reconciliation import Scope, reconcile
from runs.models import Run, Status
from tests.factories import (
    PriceFactory,
    RepricingFactory,
    RunFactory,
    SessionFactory,
    UsageRecordFactory,
)

pytestmark = pytest.mark.django_db

ROADS = {"corrections", "export", "runs", "sessions", "families"}
USED = {"input_tokens": 1000, "output_tokens": 100, "cost": Decimal("0.00021")}


@pytest.fixture
def session(workspace):
    return SessionFactory(workspace=workspace)


@pytest.fixture
def run(workspace, session):
    """A run with one call, whose totals are right."""
    made = RunFactory(workspace=workspace, session=session, status=Status.COMPLETED, **USED)
    UsageRecordFactory(
        workspace=workspace, run_id=made.pk, session_id=session.pk, recorded_at=timezone.now() - timedelta(1)
    )
    return made


@pytest.fixture
def by_force():
    """`by_force(sql, *parameters)`: as somebody does it who owns the database, and wakes no trigger."""

    def execute(sql: str, *parameters: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, parameters)
            cursor.execute("SET LOCAL session_replication_role = origin")

    return execute


@pytest.fixture
def differences(workspace):
    """`differences()`: what differs in acme, as (road, key, column, expected, found)."""

    def find(**period) -> list[tuple]:
        return [
            (one.road, one.key, one.column, one.expected, one.found)
            for findings in reconcile(Scope(workspace.pk, workspace.slug, **period))
            for one in findings.differences
        ]

    return find


def repriced(workspace) -> None:
    """The run's call costs 0.0028 now."""
    PriceFactory(workspace=workspace, model="gpt-4o-mini", valid_from=datetime(2020, 1, 1, tzinfo=UTC))
    wanted = RepricingFactory(
        workspace=workspace, start=timezone.now() - timedelta(days=1), status=Repricing.Status.QUEUED
    )
    repricing.step(wanted.pk)


def test_walks_all_roads(run, workspace):
    walked = {one.road: one.groups for one in reconcile(Scope(workspace.pk, workspace.slug))}
    assert walked.keys() >= ROADS
    assert (walked["runs"], walked["sessions"], walked["export"]) == (1, 1, 1)


def test_finds_nothing_where_all_agrees(run, differences):
    assert differences() == []


def test_finds_nothing_after_a_repricing(run, workspace, differences):
    repriced(workspace)
    assert differences() == []


@pytest.mark.parametrize(
    ("column", "expected", "wrong"),
    [
        ("cost", "0.00021", "1"),
        ("input_tokens", "1000", "7"),
        ("output_tokens", "100", "0"),
        ("unpriced_calls", "0", "3"),
    ],
)
def test_names_the_run_and_the_session_whose_totals_are_wrong(
    run, session, differences, column, expected, wrong
):
    Run.objects.filter(pk=run.pk).update(**{column: wrong})
    amounts = (column, Decimal(expected), Decimal(wrong))
    assert differences() == [
        ("runs", {"run_id": str(run.pk)}, *amounts),
        ("sessions", {"session_id": str(session.pk)}, *amounts),
    ]


def test_names_the_run_of_an_entry_that_was_changed(run, differences, by_force):
    by_force("UPDATE billing_usagerecord SET cost = 1")
    assert ("runs", {"run_id": str(run.pk)}, "cost", Decimal(1), Decimal("0.00021")) in differences()


def test_names_the_run_of_an_entry_that_was_removed(run, differences, by_force):
    by_force("DELETE FROM billing_usagerecord")
    assert ("runs", {"run_id": str(run.pk)}, "cost", Decimal(0), Decimal("0.00021")) in differences()


def test_names_the_session_that_an_entry_was_moved_to(run, session, differences, by_force, workspace):
    other = SessionFactory(workspace=workspace)
    by_force("UPDATE billing_usagerecord SET session_id = %s", other.pk)
    wrong = {(key["session_id"], column) for road, key, column, *_ in differences() if road == "sessions"}
    assert wrong == {
        (str(one.pk), column)
        for one in (session, other)
        for column in ("cost", "input_tokens", "output_tokens")
    }


def test_names_the_reversal_that_takes_back_another_amount(run, differences, by_force, workspace):
    repriced(workspace)
    by_force("UPDATE billing_usagerecord SET cost = -1 WHERE is_reversal")
    reversal = UsageRecord.objects.get(is_reversal=True)
    key = {"entry_id": str(reversal.pk)}
    assert ("corrections", key, "cost", Decimal("-0.00021"), Decimal(-1)) in differences()


def test_names_what_the_export_would_have_otherwise(run, differences, monkeypatch):
    columns = roads.as_csv

    def wrong(names, *options, **more):
        made = dict(zip(names, columns(names, *options, **more), strict=True))
        return list((made | {"cost": "input_tokens"}).values())

    monkeypatch.setattr(roads, "as_csv", wrong)
    key = {"agent": "trade-assistant", "provider": "openai", "model": "gpt-4o-mini", "currency": "USD"}
    assert differences() == [("export", key, "cost", Decimal("0.00021"), Decimal(1000))]


def test_names_the_family_whose_totals_are_wrong(run, workspace, differences):
    child = RunFactory(
        workspace=workspace, parent=run, relation="child", status=Status.COMPLETED, cost=Decimal(2)
    )
    UsageRecordFactory(workspace=workspace, run_id=child.pk, cost=Decimal(2), input_tokens=0, output_tokens=0)
    Run.objects.filter(pk=run.pk).update(has_children=True)
    Run.objects.update(updated_at=timezone.now() - timedelta(minutes=2))
    assert differences() == [("families", {"run_id": str(run.pk)}, "child_cost", Decimal(2), Decimal(0))]


def test_leaves_out_runs_that_were_deleted(run, differences):
    Run.objects.filter(pk=run.pk).delete()
    assert differences() == []


def test_compares_runs_that_began_in_the_period(run, differences):
    Run.objects.filter(pk=run.pk).update(cost=1)
    assert differences(start=run.created_at + timedelta(seconds=1)) == []
    assert differences(end=run.created_at + timedelta(seconds=1)) != []


def test_does_not_look_into_another_workspace(run, other_workspace):
    Run.objects.filter(pk=run.pk).update(cost=1)
    findings = list(reconcile(Scope(other_workspace.pk, other_workspace.slug)))
    assert sum(one.groups for one in findings) == 0


def test_names_as_many_as_it_is_asked_for_and_counts_the_rest(workspace):
    for _ in range(3):
        RunFactory(workspace=workspace, cost=Decimal(1))
    [found] = [one for one in reconcile(Scope(workspace.pk, workspace.slug), 2) if one.road == "runs"]
    assert (found.differing, len(found.differences)) == (3, 2)


# Repricing


def test_takes_the_totals_of_runs_along(run, workspace):
    repriced(workspace)
    run.refresh_from_db()
    assert (run.cost, run.unpriced_calls) == (Decimal("0.0028"), 0)


def test_takes_the_totals_of_the_runs_above_along(workspace, run):
    parent = RunFactory(workspace=workspace, has_children=True, status=Status.COMPLETED)
    top = RunFactory(workspace=workspace, has_children=True, status=Status.COMPLETED)
    Run.objects.filter(pk=parent.pk).update(parent=top, relation="child")
    Run.objects.filter(pk=run.pk).update(parent=parent, relation="child")
    repriced(workspace)
    costs = Run.objects.filter(pk__in=[parent.pk, top.pk]).values_list("child_cost", flat=True)
    assert list(costs) == [Decimal("0.0028")] * 2


def test_counts_a_call_once_however_often_it_was_corrected(run, workspace):
    repriced(workspace)
    assert ledger.totals_of_runs([run.pk])[run.pk].calls == 1


# The command and the endpoint


def test_says_that_all_agrees(run, capsys):
    call_command("reconcile", workspace="acme")
    assert "acme: runs: 1 compared, all agree." in capsys.readouterr().out


def test_ends_with_1_and_names_what_differs(run, capsys):
    Run.objects.filter(pk=run.pk).update(cost=1)
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile")
    assert ended.value.code == 1
    assert f"acme: runs: run_id {run.pk}: cost is 1.000000000000, the ledger says 0.000210000000" in (
        capsys.readouterr().out
    )


def test_says_it_as_json(run, capsys):
    Run.objects.filter(pk=run.pk).update(cost=1)
    with pytest.raises(SystemExit):
        call_command("reconcile", "--json", "--workspace", "acme")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [runs] = [line for line in lines if line["road"] == "runs"]
    assert runs["differences"][0]["key"] == {"run_id": str(run.pk)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workspace": "nowhere"}, "no workspace"),
        ({"start": "soon"}, "no date"),
        ({"start": "2026-11-02", "end": "2026-11-01"}, "before"),
    ],
)
def test_says_what_is_wrong_with_a_command(workspace, options, message):
    with pytest.raises(CommandError, match=message):
        call_command("reconcile", **options)


PERIOD = {"start": "2026-11-20T00:00:00Z", "end": "2026-12-10T00:00:00Z"}


def around(run) -> dict[str, str]:
    return {
        "start": (run.created_at - timedelta(days=1)).isoformat(),
        "end": (run.created_at + timedelta(days=1)).isoformat(),
    }


def test_answers_auditors(api, audrey, run):
    Run.objects.filter(pk=run.pk).update(cost=1)
    body = api(audrey).get("/billing/reconciliation", around(run)).json()
    [runs] = [road for road in body["roads"] if road["road"] == "runs"]
    assert (body["agrees"], runs["differences"]) == (
        False,
        [{"key": {"run_id": str(run.pk)}, "column": "cost", "expected": "0.00021", "found": "1"}],
    )


@pytest.mark.parametrize(("name", "status"), [
    ("alice", 200), ("audrey", 200), ("olivia", 403), ("bob", 403), ("vera", 403),
])  # fmt: skip
def test_opens_to_whom_the_role_permits(api, request, name, status):
    assert api(request.getfixturevalue(name)).get("/billing/reconciliation", PERIOD).status_code == status


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({**PERIOD, "start": "soon"}, "start"),
        ({**PERIOD, "end": "2026-11-01T00:00:00Z"}, "start"),
        ({**PERIOD, "end": "2026-12-31T00:00:00Z"}, "end"),
    ],
)
def test_names_what_is_wrong_with_a_query(api, audrey, query, field):
    response = api(audrey).get("/billing/reconciliation", query)
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)
