"""A schedule's run is started by the sweep of a worker and executed like any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from django.db import transaction
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from runs.engine.sweep import sweep
from runs.models import Run, Schedule, Status
from tests.engine.support import PATIENCE_SECONDS, finished
from tests.factories import AgentFactory, ScheduleFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schedule(workspace, alice) -> Schedule:
    """One that is due."""
    agent = AgentFactory(workspace=workspace)
    return ScheduleFactory(workspace=workspace, user=alice, agent=agent, next_run_at=timezone.now())


async def test_is_executed(worker, schedule):
    await in_thread(sweep)

    run = await finished(await Run.objects.aget())
    assert (run.status, run.metadata["schedule_id"]) == (Status.COMPLETED, str(schedule.pk))


async def test_is_left_for_the_next_sweep_while_somebody_changes_it(worker, schedule):
    async with held(schedule):
        await in_thread(sweep)
        assert not await Run.objects.aexists()

    await in_thread(sweep)
    assert await Run.objects.acount() == 1


@asynccontextmanager
async def held(schedule: Schedule) -> AsyncIterator[None]:
    """Somebody else has locked it meanwhile."""
    locked, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Schedule.objects.select_for_update().get(pk=schedule.pk)
            locked.set()
            done.wait(PATIENCE_SECONDS)

    holding = asyncio.create_task(in_thread(hold))
    await asyncio.to_thread(locked.wait, PATIENCE_SECONDS)
    try:
        yield
    finally:
        done.set()
        await holding
