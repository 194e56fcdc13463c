"""Workers that are given up, or asked to stop, while they have runs in hand and another worker is there."""

from __future__ import annotations

import signal

import pytest
from django.apps import apps
from django.db.models import Model

from billing.models import UsageRecord
from runs.models import Run, Status, Worker
from tests.crash.proof import all_faults, query
from tests.crash.waits import until, until_at_rest
from tests.engine.support import start_now
from tests.processes import Process, worker_process

RUNS = 20
# What a row may name its run by.
NAMES_OF_RUNS = {"run": "pk", "run_id": "pk", "thread_id": "thread_id"}


def all_values(run: Run) -> dict[str, object]:
    """Every value that is stored about the run, by table, row and column."""
    return {
        f"{model._meta.db_table} {row['id']} {column}": value
        for model in [*apps.get_app_config("runs").get_models(), UsageRecord]
        if (condition := _condition(model, run))
        for row in model._default_manager.filter(**condition).values()
        for column, value in row.items()
    }


def _condition(model: type[Model], run: Run) -> dict[str, object]:
    """What finds the rows of a table that are about the run; empty for tables that are about no run."""
    if model is Run:
        return {"pk": run.pk}
    names = {field.name for field in model._meta.get_fields() if field.concrete}
    return {name: getattr(run, source) for name, source in NAMES_OF_RUNS.items() if name in names}


def owner_first(run: Run, processes: list[Process]) -> list[Process]:
    pid = Worker.objects.get(pk=Run.objects.get(pk=run.pk).worker_id).pid
    return sorted(processes, key=lambda process: process.pid != pid)


def test_writes_nothing_when_it_comes_back_after_it_was_given_up(notifier, alice, transactional_db):
    with worker_process() as one, worker_process() as other:
        run = start_now(alice, notifier(model="slow-30-100"), query("stale"))
        until(lambda: run.events.filter(type="step_started").exists(), lambda: "it has not begun")
        owner, _ = owner_first(run, [one, other])
        owner.send_signal(signal.SIGSTOP)
        until_at_rest()
        told = all_values(run)
        owner.send_signal(signal.SIGCONT)
        stale = Worker.objects.filter(pid=owner.pid)
        came_back = stale.values_list("beat_at").first()
        until(lambda: stale.exclude(beat_at=came_back[0]).exists(), lambda: "it does not beat")
        # It would write now, were it not for the fence: what it had in hand is given up, and its journal emptied.
        owner.send_signal(signal.SIGTERM)
        owner.wait(timeout=20)

    assert Run.objects.get(pk=run.pk).status == Status.COMPLETED
    assert all_values(run) == told


@pytest.mark.parametrize("drain_seconds", [0, 20], ids=["hands back", "finishes"])
def test_loses_and_repeats_nothing_when_it_is_drained_under_load(
    notifier, alice, witnesses, transactional_db, drain_seconds
):
    agent = notifier(model="slow-10-100")
    with worker_process(WORKER_DRAIN_SECONDS=str(drain_seconds)) as drained, worker_process():
        for number in range(RUNS):
            start_now(alice, agent, query(f"drained-{number}"))
        in_hand = Run.objects.filter(worker_id=Worker.objects.get(pid=drained.pid).pk)
        until(in_hand.exists, lambda: "it has taken none")
        drained.send_signal(signal.SIGTERM)
        code = drained.wait(timeout=30)
        until_at_rest()

    assert code == 0
    assert {run.status for run in Run.objects.all()} == {Status.COMPLETED}
    assert all_faults(witnesses) == {}
