"""Live events between processes, over a real Redis: needs the services of `.ci/run`, hence the marker."""

from __future__ import annotations

import asyncio
import json
import os
import uuid

import pytest
from django.utils import timezone
from redis.asyncio import Redis

from runs import live, relay
from runs.events import StoredEvent, rebuild_text
from runs.relay import Relay
from tests.engine.support import events_of, finished, start
from tests.processes import worker_process

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.external]


class Heard:
    """A process's end of the relay, and what it has been told."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.missed: list[uuid.UUID | None] = []

    async def __aenter__(self) -> Heard:
        self.relay = Relay(
            os.environ["REDIS_URL"], lambda _, events: self.events.extend(events), self.missed.append
        )
        self.tasks = [asyncio.create_task(work) for work in (self.relay.send(), self.relay.listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.relay.close()

    async def until(self, condition) -> None:
        async with asyncio.timeout(10):
            while not condition(self):
                await asyncio.sleep(0.01)


def event(run_id: uuid.UUID, seq: int, content: str = "x") -> StoredEvent:
    return StoredEvent(
        run_id, seq, 1, 1, "model", "content_delta", timezone.now(), json.dumps({"content": content})
    )


@pytest.fixture
def with_redis():
    if not os.environ.get("REDIS_URL"):
        pytest.skip("REDIS_URL is not set: .ci/run runs this against a real Redis")


@pytest.fixture
def without_safety_net(with_redis, monkeypatch):
    """So that only what Redis delivers arrives."""
    monkeypatch.setattr(live, "CHECK_SECONDS", 3600)


async def test_brings_events_as_they_are_to_who_has_joined(with_redis):
    run_id, sent = uuid.uuid4(), []
    async with Heard() as here, Heard() as there:
        await there.relay.join(run_id)
        await there.until(lambda heard: heard.missed == [run_id])
        for seq in range(1, 201):
            sent.append(event(run_id, seq))
            here.relay.publish(run_id, sent[-1:])
            here.relay.publish(uuid.uuid4(), [event(run_id, 1)])
        await there.until(lambda heard: len(heard.events) == 200)

    assert there.events == sent


async def test_hears_nothing_of_what_it_has_left(with_redis):
    run_id = uuid.uuid4()
    async with Heard() as here, Heard() as there:
        await there.relay.join(run_id)
        await there.until(lambda heard: heard.missed)
        await there.relay.leave(run_id)
        here.relay.publish(run_id, [event(run_id, 1)])
        await asyncio.sleep(0.2)

    assert there.events == []


async def test_sends_a_notice_in_place_of_what_is_very_large(with_redis):
    run_id = uuid.uuid4()
    async with Heard() as here, Heard() as there:
        await there.relay.join(run_id)
        await there.until(lambda heard: heard.missed)
        here.relay.publish(run_id, [event(run_id, 1, "x" * relay.LARGEST_MESSAGE)])
        await there.until(lambda heard: heard.missed == [run_id, run_id])

    assert there.events == []


async def test_hears_again_after_its_connection_was_cut(with_redis, monkeypatch):
    monkeypatch.setattr(relay, "RETRY_SECONDS", 0.05)
    run_id = uuid.uuid4()
    async with Heard() as here, Heard() as there, Redis.from_url(os.environ["REDIS_URL"]) as admin:
        await there.relay.join(run_id)
        await there.until(lambda heard: heard.missed)
        await admin.client_kill_filter(_type="pubsub")
        await there.until(lambda heard: len(heard.missed) > 1)
        await there.until(lambda heard: heard.missed[-1] == run_id)
        here.relay.publish(run_id, [event(run_id, 1)])
        await there.until(lambda heard: heard.events)

    assert [known.seq for known in there.events] == [1]


async def test_drops_what_redis_does_not_take(monkeypatch):
    """The rows are there; memory is not to fill up with them."""
    monkeypatch.setattr(relay, "MOST_WAITING", 3)
    unreachable = Relay("redis://127.0.0.1:1", lambda *_: None, lambda _: None)
    for _ in range(10):
        unreachable.publish(uuid.uuid4(), [event(uuid.uuid4(), 1)])

    assert len(unreachable._waiting) <= 3


async def test_follows_a_run_of_another_process(agent_on, alice, close_connections, without_safety_net):
    agent = await asyncio.to_thread(agent_on, "slow-20-50")
    with worker_process():
        run = await start(alice, agent)
        events = await events_of(run.pk)

    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert rebuild_text(events) == (await finished(run)).response_content
