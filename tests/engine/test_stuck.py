"""Runs that nothing would move on: workers find them by themselves, and people may find them first."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from runs import lifecycle
from runs.engine.sweep import sweep
from runs.models import Run, Status, Worker
from runs.queueing import stuck
from tests.engine.support import start_now
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run(alice, workspace) -> Run:
    """A run whose job waits in the queue, since a minute ago."""
    run = start_now(alice, AgentFactory(workspace=workspace))
    Run.objects.filter(pk=run.pk).update(queued_at=timezone.now() - timedelta(minutes=1))
    return run


def changed(run: Run, **values) -> Run:
    Run.objects.filter(pk=run.pk).update(**values)
    run.refresh_from_db()
    return run


def test_are_woken_when_their_job_is_gone(run):
    queue.forget([run.job_id])
    sweep()

    assert changed(run).job_id is not None
    assert not Run.objects.filter(stuck.is_stuck()).exists()


def test_are_not_those_whose_job_waits(run):
    assert (sweep(), changed(run).losses) == ({}, 0)


def test_are_taken_out_of_lost_hands(run):
    changed(run, status=Status.RUNNING, worker_id=uuid7())
    sweep()

    assert (changed(run).status, run.losses) == (Status.QUEUED, 1)


def test_are_left_in_living_hands(run):
    worker = Worker.objects.create(host="host", pid=1, concurrency=1, beat_at=timezone.now())
    changed(run, status=Status.RUNNING, worker_id=worker.pk)

    assert (sweep(), changed(run).status) == ({}, Status.RUNNING)


def test_are_let_go_where_they_have_ended(run):
    changed(run, status=Status.COMPLETED, worker_id=uuid7())
    sweep()

    assert (changed(run).status, run.worker_id) == (Status.COMPLETED, None)


def test_are_left_while_something_else_is_done_to_them(run, actor, olivia):
    queue.forget([run.job_id])
    operator = actor(olivia)
    with transaction.atomic():
        lifecycle.lock([run.pk])
        outcome = asyncio.run(in_thread(stuck.requeue, operator, [run.pk]))

    assert [left.reason for left in outcome.left] == [stuck.BUSY]
