"""Requests that are made while a service is away: what they answer, and how soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import httpx

from tests.crash.followers import client_of

ANSWERS_WITHIN_SECONDS = 2.0
EVERY_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Probe:
    """A request, and the statuses that are right while something is away.

    `is_open`: it needs no credential. `within`: seconds that the answer may take.
    """

    method: str
    path: str
    statuses: Set[int]
    body: dict[str, object] | None = None
    is_open: bool = False
    within: float = ANSWERS_WITHIN_SECONDS


@dataclass(slots=True)
class Answers:
    """What has come back so far, and what of it was not right."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)
    statuses: set[tuple[str, int]] = field(default_factory=set)


async def probe(urls: Sequence[str], token: str, probes: Sequence[Probe], seconds: float) -> Answers:
    """Sends all `probes` to each of the web processes, again and again for so many seconds."""
    answers = Answers()
    until = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {token}"}
    async with client_of({}) as client:
        while time.monotonic() < until:
            await asyncio.gather(
                *(
                    _ask(client, url, {} if one.is_open else headers, one, answers)
                    for url in urls
                    for one in probes
                )
            )
            await asyncio.sleep(EVERY_SECONDS)
    return answers


async def _ask(
    client: httpx.AsyncClient, url: str, headers: dict[str, str], one: Probe, answers: Answers
) -> None:
    began = time.monotonic()
    answer = await client.request(one.method, f"{url}{one.path}", headers=headers, json=one.body)
    took = time.monotonic() - began
    answers.count += 1
    answers.statuses.add((one.path, answer.status_code))
    what = f"{one.method} {one.path} answered {answer.status_code} after {took:.1f} s"
    if answer.status_code not in one.statuses:
        answers.wrong.append(f"{what}: {answer.text[:200]}")
    elif took > one.within:
        answers.wrong.append(what)
    elif answer.status_code == 503 and "health" not in one.path and "Retry-After" not in answer.headers:
        answers.wrong.append(f"{what} without Retry-After")
