"""Live events between processes, over a real Redis: needs the services of `.ci/run`, hence the marker."""

from __future__ import annotations

import asyncio
import os

import pytest

from runs import live
from runs.events import rebuild_text
from tests.engine.support import events_of, finished, start, worker_process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.external]


@pytest.fixture
def without_safety_net(monkeypatch):
    """So that only what Redis delivers arrives."""
    if not os.environ.get("REDIS_URL"):
        pytest.skip("REDIS_URL is not set: .ci/run runs this against a real Redis")
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)


async def test_follows_a_run_of_another_process(agent_on, alice, close_connections, without_safety_net):
    agent = await asyncio.to_thread(agent_on, "slow-20-50")
    with worker_process():
        run = await start(alice, agent)
        events = await events_of(run.pk)

    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert rebuild_text(events) == (await finished(run)).response_content
