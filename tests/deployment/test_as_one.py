"""Two web processes and two workers behind a proxy are one platform, also while all of them are restarted."""

from __future__ import annotations

import asyncio
import os
import shutil

import httpx
import pytest

from accounts.tokens import AccessToken
from agentplatform.lib.concurrency import in_thread
from runs.models import Run, Status
from tests.crash.followers import EventSource, Follower, Socket, client_of
from tests.crash.proof import faults_of_events
from tests.deployment.rolling import API, Installation, Load

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.external,
    pytest.mark.skipif(
        not (os.environ.get("REDIS_URL") and shutil.which("caddy") and shutil.which("redis-server")),
        reason="takes minutes, caddy and redis-server: .ci/run does it once, on a PostgreSQL of its own",
    ),
]
PATIENCE_SECONDS = 60
# Every so many requests one starts a run, which a client follows.
STARTS_ONE_OF = 10


async def test_is_one_platform_and_stays_it_while_everything_is_restarted(agent_on, alice, close_connections):
    agent = await in_thread(agent_on, "slow-40-100")
    headers = {"Authorization": f"Bearer {AccessToken.for_user(alice)}"}
    body = {"agent_id": agent.name, "message": "hello"}
    clients: list[Follower] = []
    following: list[asyncio.Task[None]] = []

    def follow(url: str, kind: type[Follower], run_id: str) -> Follower:
        client = kind(url, str(AccessToken.for_user(alice)), run_id)
        clients.append(client)
        following.append(asyncio.create_task(client.follow()))
        return client

    async with Installation() as installation:

        async def request(client: httpx.AsyncClient, number: int) -> httpx.Response:
            if number % STARTS_ONE_OF:
                return await client.get(f"{installation.url}{API}/agents", headers=headers)
            answer = await client.post(f"{installation.url}{API}/runs", json=body, headers=headers)
            if answer.status_code == 202:
                kind = (EventSource, Socket)[number // STARTS_ONE_OF % 2]
                follow(installation.url, kind, answer.json()["id"])
            return answer

        # What is started on one web process is followed on the other, while a third process executes it.
        async with client_of(headers) as client:
            started = await client.post(f"{installation.webs[1]}{API}/runs", json=body)
        beside = follow(installation.webs[0], EventSource, started.raise_for_status().json()["id"])
        async with asyncio.timeout(PATIENCE_SECONDS):
            await following[0]
        assert beside.ended

        async with Load(request, clients=3) as load:
            for name in ("web-1", "worker-1", "web-2", "worker-2"):
                await installation.restart(name)
        await asyncio.wait(following, timeout=PATIENCE_SECONDS)

        async with client_of({}) as client:
            assert (await client.get(f"{installation.url}/metrics")).status_code == 404

    assert load.failed == []
    runs = {str(run.pk): run async for run in Run.objects.all()}
    assert len(runs) == len(clients)
    assert await in_thread(wrong, runs, clients) == []


def wrong(runs: dict[str, Run], clients: list[Follower]) -> list[str]:
    """What is not as it should be with the runs, and with what their clients were sent."""
    found = [f"{run.pk}: {fault}" for run in runs.values() for fault in faults_of_events(run)]
    found += [
        f"{run.pk} is {run.status}: {run.error}" for run in runs.values() if run.status != Status.COMPLETED
    ]
    for client in clients:
        if client.seen != list(range(1, runs[client.run_id].last_seq + 1)):
            found.append(f"{client.run_id}: a {type(client).__name__} has seen {client.seen}")
    return found
