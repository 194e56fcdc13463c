"""How long figures are kept, what an erased person leaves, and what had ended before figures were counted."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from runs.analytics import folding, retention
from runs.analytics.periods import Period
from runs.analytics.reading import Whose, read
from runs.models import Figures, Kind, Measurement
from runs.subjects.erase import erase_content
from runs.subjects.people import Subject
from tests.factories import RunFactory, RunStepFactory, ToolCallFactory, UsageRecordFactory

COUNTING = import_module("runs.migrations.0011_count_what_has_ended")


@pytest.fixture
def ended(workspace, bob):
    """`ended(days)`: a run that ended so many days ago."""

    def make(days: float, **fields):
        at = timezone.now() - timedelta(days=days)
        return RunFactory(
            workspace=workspace, user=bob, created_at=at, started_at=at, finished_at=at, **fields
        )

    return make


def count(workspace, days: float, bucket=None) -> int:
    period = Period.of(timezone.now() - timedelta(days=days), None)
    return sum(sums.count for _, sums in read(Whose(workspace.pk), period, [Kind.RUN], bucket=bucket))


@pytest.mark.django_db
def test_old_quarters_of_an_hour_go(ended, settings):
    settings.METRICS_QUARTERS_KEPT_DAYS = 10
    for days in (5, 20):
        ended(days)
    folding.fold_all()
    retention.remove_some()
    assert Figures.objects.filter(minutes=15).count() == 3  # of the agent, of all, and of bob
    assert Figures.objects.filter(minutes=1440).count() == 6


@pytest.mark.django_db
@pytest.mark.parametrize("bucket", [None, ("day", "Asia/Kolkata"), ("week", "UTC")])
def test_what_has_gone_is_read_from_days(ended, workspace, settings, bucket):
    settings.METRICS_QUARTERS_KEPT_DAYS = 10
    for days in (5, 20, 25):
        ended(days)
    folding.fold_all()
    retention.remove_some()
    assert count(workspace, 30, bucket) == 3


@pytest.mark.django_db
def test_old_days_go_where_that_is_wanted(ended, settings):
    settings.METRICS_KEPT_DAYS = 10
    ended(20)
    folding.fold_all()
    retention.remove_some()
    assert not Figures.objects.filter(minutes=1440).exists()


@pytest.mark.django_db
def test_all_stay_where_nothing_is_to_go(ended, settings):
    settings.METRICS_QUARTERS_KEPT_DAYS = 0
    ended(1000)
    folding.fold_all()
    assert not retention.remove_some()
    assert Figures.objects.count() == 6


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fold", [False, True])
def test_an_erased_persons_own_figures_go_and_the_sums_stay(ended, workspace, bob, fold):
    ended(1)
    if fold:
        folding.fold_all()
    erase_content(Subject(bob.pk, workspace.pk))
    folding.fold_all()
    assert not Figures.objects.filter(user_id=bob.pk).exists()
    assert count(workspace, 2) == 1


@pytest.mark.django_db(transaction=True)
def test_what_ended_before_is_counted_once(ended, workspace):
    run = ended(3)
    RunStepFactory(run=run)
    ToolCallFactory(run=run)
    UsageRecordFactory(workspace=workspace, run_id=run.pk)
    Measurement.objects.all().delete()
    with connection.schema_editor() as editor:
        COUNTING.forget(apps, editor)
    untold = ended(2)
    with connection.schema_editor(atomic=False) as editor:
        COUNTING.note(apps, editor)
    ended(1)
    folding.fold_all()
    period = Period.of(timezone.now() - timedelta(days=5), None)
    found = {common["kind"]: sums.count for common, sums in read(Whose(workspace.pk), period, Kind, ["kind"])}
    assert found == {"run": 3, "step": 1, "tool_call": 1, "model_call": 1}
    assert untold.pk
