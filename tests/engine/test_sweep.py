"""The sweep and the pulse: what is moved on though its wake-up was lost, and what must not hold them up."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from billing import ledger
from runs.engine.sweep import sweep
from runs.models import Approval, Run, Session, Status, Worker
from tests.engine.support import at_rest, finished, start, start_now, until
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)


async def test_wakes_a_run_whose_turn_nobody_has_told(worker, agent_on, alice, session):
    """As when a worker dies with the job that was to look at the session again."""
    agent = await in_thread(agent_on, "text-5")
    run = await in_thread(_queued_without_a_job, alice, agent, session)

    assert (await finished(run)).status == Status.COMPLETED


def _queued_without_a_job(alice, agent, session: Session) -> Run:
    with transaction.atomic():
        run = start_now(alice, agent, session_id=session.pk)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [run.job_id])
        Run.objects.filter(pk=run.pk).update(job_id=None)
    return run


async def test_beats_on_while_somebody_holds_what_is_due(worker, agent_on, http_tool, alice):
    refund = await in_thread(lambda: http_tool("refund", requires_approval=True))
    agent = await in_thread(agent_on, "text-5", tools=[refund])
    run = await at_rest(await start(alice, agent, 'call refund {"amount": 2}'))
    beside = await until(await start(alice, await in_thread(agent_on, "slow-60-100")), _is_under_way)
    await Approval.objects.filter(run=run).aupdate(deadline=timezone.now() - timedelta(seconds=1))
    is_over = threading.Event()
    holding = asyncio.create_task(in_thread(_hold, run, is_over))
    await asyncio.sleep(4)
    beats = await in_thread(lambda: Worker.objects.filter(beat_at__gt=Now() - timedelta(seconds=2)).count())
    is_over.set()
    await holding

    assert (beats, (await finished(beside)).attempt) == (1, 1)


def _is_under_way(run: Run) -> bool:
    return run.status == Status.RUNNING and run.last_seq >= 4


def _hold(run: Run, is_over: threading.Event) -> None:
    with transaction.atomic():
        Run.objects.select_for_update().get(pk=run.pk)
        is_over.wait(20)


def test_takes_up_the_runs_of_others_though_one_cannot_be_taken_up(
    workspace, other_workspace, alice, charlie, monkeypatch
):
    runs = []
    for who, place in ((alice, workspace), (charlie, other_workspace)):
        run = start_now(who, AgentFactory(workspace=place))
        Run.objects.filter(pk=run.pk).update(status=Status.RUNNING, worker_id=uuid7())
        runs.append(run)
    poisoned, other = runs
    settle = ledger.settle_open

    def settle_open(run_ids, *given):
        if poisoned.pk in run_ids:
            raise IntegrityError("poison")
        return settle(run_ids, *given)

    monkeypatch.setattr(ledger, "settle_open", settle_open)
    sweep()

    assert set(Run.objects.values_list("pk", "status")) == {
        (poisoned.pk, Status.RUNNING),
        (other.pk, Status.QUEUED),
    }
