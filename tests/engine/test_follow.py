"""Following a run: from any point on, while it is being written, without hole or repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from django.utils import timezone

from runs import lifecycle, live
from runs.engine.entries import Attempt
from runs.engine.journal import Journal
from runs.events import Event, EventType
from runs.follow import Follower, follow
from runs.live import hub
from runs.models import Run
from tests.engine.support import events_of, start
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)

EVENTS = 300


@pytest_asyncio.fixture
async def journal(close_connections) -> AsyncIterator[Journal]:
    journal = Journal(publish=hub().publish)
    yield journal
    await journal.stop()


@pytest_asyncio.fixture
async def begun(journal, alice, agent) -> tuple[Run, Attempt]:
    run = await start(alice, agent)
    return await journal.begin(run.pk, run.pk)


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace)


def event(number: int) -> Event:
    # Every other one a different type, so that neighbours are not joined.
    kind = EventType.CONTENT_DELTA if number % 2 else EventType.THOUGHT_DELTA
    return Event(kind, {"content": str(number)}, timezone.now(), 1, "model")


async def write_slowly(journal: Journal, attempt: Attempt, count: int = EVENTS) -> None:
    for number in range(count):
        journal.append(attempt, events=[event(number)])
        if number % 10 == 0:
            await asyncio.sleep(0.002)
    await journal.write(attempt, transition=lifecycle.finish("done"))


def numbers(events) -> list[int]:
    return [item.seq for item in events]


async def test_sees_everything_that_is_written_meanwhile(journal, begun):
    run, attempt = begun
    writing = asyncio.create_task(write_slowly(journal, attempt))

    seen = numbers(await events_of(run.pk))
    await writing

    assert seen == list(range(1, EVENTS + 4))


async def test_sees_what_was_written_before(journal, begun):
    run, attempt = begun
    await write_slowly(journal, attempt)

    assert numbers(await events_of(run.pk)) == list(range(1, EVENTS + 4))


async def test_goes_on_where_it_was_when_it_is_cut_off_again_and_again(journal, begun):
    run, attempt = begun
    writing = asyncio.create_task(write_slowly(journal, attempt))
    seen: list[int] = []
    while not seen or seen[-1] < EVENTS + 3:
        batches = follow(run.pk, seen[-1] if seen else 0)
        async for batch in batches:
            seen.extend(numbers(batch))
            if len(seen) % 7 == 0:
                break
        await batches.aclose()
    await writing

    assert seen == list(range(1, EVENTS + 4))


async def test_serves_many_followers_alike(journal, begun):
    run, attempt = begun
    following = [asyncio.create_task(events_of(run.pk, after)) for after in range(0, 50, 5)]
    await write_slowly(journal, attempt)

    seen = [numbers(await task) for task in following]

    assert seen == [list(range(after + 1, EVENTS + 4)) for after in range(0, 50, 5)]


async def test_misses_nothing_when_its_queue_overflows(journal, begun, monkeypatch):
    monkeypatch.setattr(live, "QUEUE_SIZE", 5)
    run, attempt = begun
    seen: list[int] = []

    async def read_slowly() -> None:
        async for batch in follow(run.pk):
            seen.extend(numbers(batch))
            await asyncio.sleep(0.02)

    reading = asyncio.create_task(read_slowly())
    await write_slowly(journal, attempt)
    await reading

    assert seen == list(range(1, EVENTS + 4))


async def test_keeps_no_more_than_its_bound_for_a_reader_that_stopped(journal, begun, monkeypatch):
    monkeypatch.setattr(live, "QUEUE_SIZE", 20)
    run, attempt = begun
    follower = Follower(run.pk)

    await write_slowly(journal, attempt)

    assert len(follower._subscription.take()) <= 20
    follower.close()


async def test_finds_what_live_delivery_has_lost(journal, begun, monkeypatch):
    monkeypatch.setattr(live, "CHECK_SECONDS", 0.05)
    run, attempt = begun
    monkeypatch.setattr(hub(), "deliver", lambda run_id, events: None)
    following = asyncio.create_task(events_of(run.pk))
    await write_slowly(journal, attempt)

    assert numbers(await following) == list(range(1, EVENTS + 4))


async def test_fills_a_hole_from_the_rows(journal, begun, monkeypatch):
    run, attempt = begun
    deliver, calls = hub().deliver, []

    def lose_every_third(run_id, events):
        calls.append(events)
        if len(calls) % 3:
            deliver(run_id, events)

    monkeypatch.setattr(hub(), "deliver", lose_every_third)
    following = asyncio.create_task(events_of(run.pk))
    await write_slowly(journal, attempt)

    assert numbers(await following) == list(range(1, EVENTS + 4))


async def test_ends_at_once_for_a_run_that_has_ended(journal, begun):
    run, attempt = begun
    await write_slowly(journal, attempt, count=1)

    assert await events_of(run.pk, after=4) == []


async def test_leaves_no_subscription_behind(journal, begun):
    run, attempt = begun
    await write_slowly(journal, attempt, count=1)
    await events_of(run.pk)

    assert hub().followers == 0


async def test_ends_when_the_process_drains(journal, begun):
    run, _ = begun
    following = asyncio.create_task(events_of(run.pk))
    await asyncio.sleep(0.05)

    hub().drain()

    assert numbers(await following) == [1, 2]
