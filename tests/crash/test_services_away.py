"""Twenty slow runs on two workers and two web processes: a worker dies, the database restarts, Redis hangs and goes.

No run is lost, every client sees every event once, and who asks meanwhile is told within two seconds to come back.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from django.db import connection

from accounts.models import User
from accounts.tokens import AccessToken
from agentplatform.lib.concurrency import in_thread
from agents.models import Agent
from runs.models import Run, Status
from tests.crash.followers import EventSource, Follower, Socket, client_of
from tests.crash.probes import Probe, probe
from tests.crash.proof import faults_of_events
from tests.crash.services import Database, RedisServer
from tests.processes import Process, web_process, worker_process

RUNS = 20
PATIENCE_SECONDS = 60
AWAY_SECONDS = 4
HANGING_SECONDS = 10
ENVIRONMENT = {"CHAT_RATE": "1000/minute", "LOGIN_RATE": "1/minute"}
LOGIN = {"username": "mallory", "password": "a guess"}


@dataclass(frozen=True, slots=True)
class Platform:
    """Two web processes, two workers, and the Redis between them."""

    webs: list[str]
    workers: list[Process]
    redis: RedisServer


@pytest.fixture
def platform(transactional_db) -> Iterator[Platform]:
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        environment = {**ENVIRONMENT, "REDIS_URL": redis.url}
        processes = [start(**environment) for start in (web_process, worker_process) for _ in range(2)]
        # Side by side: most of a start is importing.
        with ThreadPoolExecutor() as pool:
            one, other, *workers = pool.map(stack.enter_context, processes)
        yield Platform([one, other], workers, redis)
    # The test's own connection may be to a server that has died meanwhile.
    connection.close()


@dataclass(frozen=True, slots=True)
class Crowd:
    """Runs under way, and the clients that follow them."""

    run_ids: list[str]
    clients: list[Follower]
    token: str


@asynccontextmanager
async def crowd(platform: Platform, agent: Agent, user: User) -> AsyncIterator[Crowd]:
    """Starts the runs, each followed by a client of either kind; waits at the end until all clients have seen it."""
    token = str(AccessToken.for_user(user))
    run_ids = await _start_runs(platform, agent.name, token)
    clients = [
        kind(url, token, run_id)
        for run_id in run_ids
        for kind, url in zip((EventSource, Socket), platform.webs, strict=True)
    ]
    following = [asyncio.create_task(client.follow()) for client in clients]
    try:
        while not all(client.last > 5 for client in clients):
            await asyncio.sleep(0.05)
        yield Crowd(run_ids, clients, token)
        # Whose client has not seen its end by then is named by `wrong_in`.
        await asyncio.wait(following, timeout=PATIENCE_SECONDS)
    finally:
        for client in following:
            client.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _start_runs(platform: Platform, agent: str, token: str) -> list[str]:
    body = {"agent_id": agent, "message": "hello"}
    headers = {"Authorization": f"Bearer {token}"}
    async with client_of(headers) as client:
        answers = [
            await client.post(f"{platform.webs[number % 2]}/api/v1/runs", json=body) for number in range(RUNS)
        ]
    return [answer.raise_for_status().json()["id"] for answer in answers]


def wrong_in(crowd: Crowd) -> dict[str, list[str]]:
    """What is wrong with the runs, and with what their clients were sent."""
    runs = {str(run.pk): run for run in Run.objects.all()}
    wrong = {run_id: [*faults_of_events(runs[run_id])] for run_id in crowd.run_ids}
    for client in crowd.clients:
        run = runs[str(client.run_id)]
        if client.seen != list(range(1, run.last_seq + 1)):
            seen = (
                f"{len(client.seen)} events in {client.connections} connections, the last was {client.last}"
            )
            wrong[str(run.pk)].append(f"of {run.last_seq} a {type(client).__name__} has seen {seen}")
        if run.status != Status.COMPLETED:
            wrong[str(run.pk)].append(f"it is {run.status}: {run.error}")
    return {run_id: found for run_id, found in wrong.items() if found}


DATABASE_AWAY = (
    Probe("GET", "/api/v1/runs", {503}),
    Probe("POST", "/api/v1/runs", {503}, {"message": "hello"}),
    Probe("POST", "/api/v1/chat", {503}, {"message": "hello"}),
    Probe("GET", f"/api/v1/runs/{uuid.uuid4()}/stream", {503}),
    Probe("POST", "/api/v1/auth/login", {429, 503}, LOGIN, is_open=True),
    Probe("GET", "/admin/login/", {200, 503}, is_open=True),
    Probe("GET", "/api/v1/health", {503}, is_open=True),
    Probe("GET", "/api/v1/health/readiness", {503}, is_open=True),
    Probe("GET", "/api/v1/health/liveness", {200}, is_open=True),
)
REDIS_AWAY = (
    Probe("GET", "/api/v1/runs", {200}),
    Probe("POST", "/api/v1/chat", {404}, {"message": "hello", "agent_id": "nobody"}),
    # The first ones have their password hashed, which takes as long as the processor needs.
    Probe("POST", "/api/v1/auth/login", {401, 429}, LOGIN, is_open=True, within=6),
    Probe("GET", "/api/v1/health", {200}, is_open=True),
    Probe("GET", "/api/v1/health/readiness", {503}, is_open=True),
    Probe("GET", "/api/v1/health/liveness", {200}, is_open=True),
)


async def test_loses_no_run_and_no_event_with_a_killed_worker(platform, agent_on, alice, close_connections):
    agent = await in_thread(agent_on, "slow-50-100")
    async with crowd(platform, agent, alice) as under_way:
        platform.workers[0].kill()

    assert await in_thread(wrong_in, under_way) == {}
    assert await in_thread(Run.objects.filter(attempt__gt=1).exists), "the worker had some of them in hand"


async def test_loses_no_run_and_no_event_with_its_services(platform, agent_on, alice, close_connections):
    agent = await in_thread(agent_on, "slow-150-100")
    async with crowd(platform, agent, alice) as under_way:
        async with Database().away():
            without_database = await probe(platform.webs, under_way.token, DATABASE_AWAY, AWAY_SECONDS)
        async with platform.redis.hanging():
            with_silent_redis = await probe(platform.webs, under_way.token, REDIS_AWAY, HANGING_SECONDS)
        async with platform.redis.away():
            without_redis = await probe(platform.webs, under_way.token, REDIS_AWAY, AWAY_SECONDS)

    wrong = await in_thread(wrong_in, under_way)
    assert wrong == {}
    assert [*with_silent_redis.wrong, *without_redis.wrong] == []
    assert ("/api/v1/auth/login", 429) in with_silent_redis.statuses
    assert without_database.wrong == []
