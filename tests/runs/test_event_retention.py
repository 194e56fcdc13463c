"""How long the events of runs that ended are kept, and what whoever follows such a run later is told."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agentplatform.lib.housekeeping import chores
from runs.events import EventType
from runs.history import events
from runs.models import RunEvent, RunPayload, Status
from tests.factories import RunEventFactory, RunFactory, RunStepFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _kept(settings):
    settings.RUN_EVENTS_KEPT_DAYS = 30


@pytest.fixture
def ended(workspace, bob):
    """`ended(days, …)`: a run that ended so many days ago, with five events."""

    def make(days: float = 31, **fields):
        at = timezone.now() - timedelta(days=days)
        run = RunFactory(workspace=workspace, user=bob, created_at=at, finished_at=at, **fields)
        for kind in ("run_queued", "run_started", "content_delta", "content_delta", "run_completed"):
            RunEventFactory(run=run, type=kind, data={"run_id": str(run.pk)})
        return run

    return make


def told(run) -> list[tuple[int, str]]:
    return list(RunEvent.objects.filter(run=run).order_by("seq").values_list("seq", "type"))


def test_one_stands_in_the_place_of_all_but_the_last(ended):
    run = ended()
    events.remove_some()
    assert told(run) == [(4, "events_removed"), (5, "run_completed")]


def test_it_says_up_to_where(ended):
    run = ended()
    events.remove_some()
    assert RunEvent.objects.get(run=run, seq=4).data == {"run_id": str(run.pk), "up_to_seq": 4}


def test_those_that_are_young_enough_stay(ended):
    run = ended(days=29)
    events.remove_some()
    assert len(told(run)) == 5


def test_those_of_a_run_that_goes_on_stay(ended):
    run = ended(status=Status.RUNNING)
    events.remove_some()
    assert len(told(run)) == 5


def test_all_stay_by_default(ended, settings):
    settings.RUN_EVENTS_KEPT_DAYS = 0
    run = ended()
    events.remove_some()
    assert len(told(run)) == 5


def test_a_run_is_looked_at_once(ended, django_assert_max_num_queries):
    run = ended()
    events.remove_some()
    events.remove_some()
    assert told(run) == [(4, "events_removed"), (5, "run_completed")]


def test_steps_stay(ended):
    run = ended()
    RunStepFactory(run=run)
    events.remove_some()
    assert run.steps.count() == 1


def test_large_payloads_go_but_that_of_the_last_event(ended):
    run = ended()
    gone, kept = (RunPayload.objects.create(run=run, data={}) for _ in range(2))
    RunEvent.objects.filter(run=run, seq=2).update(data={"payload_id": str(gone.pk)})
    RunEvent.objects.filter(run=run, seq=5).update(data={"payload_id": str(kept.pk)})
    events.remove_some()
    assert list(RunPayload.objects.values_list("pk", flat=True)) == [kept.pk]


def test_batches_are_bounded(ended, monkeypatch):
    monkeypatch.setattr(events, "BATCH", 2)
    runs = [ended(days=40 - number) for number in range(3)]
    assert events.remove_some()
    assert [len(told(run)) for run in runs] == [2, 2, 5]
    assert not events.remove_some()


def test_the_api_tells_that_they_were_removed(ended, api, bob):
    run = ended()
    events.remove_some()
    answer = api(bob).get(f"/runs/{run.pk}/events").json()
    assert [event["type"] for event in answer["events"]] == ["events_removed", "run_completed"]


def test_it_is_a_chore():
    assert {"remove_old_events", "remove_old_figures"} <= chores.keys()


def test_its_type_is_known():
    assert EventType("events_removed") == EventType.EVENTS_REMOVED
