"""All that there is of a person, as JSON Lines, in constant memory: read a page of rows at a time.

Each line is `{"kind", "data"}`, with a row's columns as its data. Hashes of keys are left out, and the states of
checkpoints, whose messages stand in the steps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from accounts.models import User
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.json import dumps
from runs.subjects.content import OF_RUNS, Part, Subject, parts

PAGE = 200
RUNS = 20
"""Whose steps, events and the like are read together."""


async def lines(subject: Subject) -> AsyncIterator[bytes]:
    """The file in pieces, a page each."""
    yield await in_thread(_account, subject)
    for part in await in_thread(parts, subject):
        size = RUNS if part.kind == "run" else PAGE
        async for rows in _pages(part, size):
            yield _written(part.kind, rows)
            if part.kind == "run":
                for child in _of_runs(rows):
                    async for below in _pages(child, PAGE):
                        yield _written(child.kind, below)


def _account(subject: Subject) -> bytes:
    names = ("id", "username", "email", "first_name", "last_name", "date_joined", "last_login")
    return _written("account", list(User.objects.filter(pk=subject.user_id).values(*names)))


def _of_runs(rows: list[dict[str, Any]]) -> Iterator[Part]:
    keys = [row["id"] for row in rows]
    for kind, (model, without) in OF_RUNS.items():
        yield Part(kind, model.objects.filter(run_id__in=keys), without)


async def _pages(part: Part, size: int) -> AsyncIterator[list[dict[str, Any]]]:
    after: Any = None
    while page := await in_thread(_page, part, after, size):
        yield page
        after = page[-1]["id"]


def _page(part: Part, after: Any, size: int) -> list[dict[str, Any]]:
    fields = part.rows.model._meta.concrete_fields
    names = [field.attname for field in fields if field.attname not in part.without]
    rows = part.rows.order_by("pk")
    return list((rows.filter(pk__gt=after) if after is not None else rows).values(*names)[:size])


def _written(kind: str, rows: list[dict[str, Any]]) -> bytes:
    return b"".join(dumps({"kind": kind, "data": row}) + b"\n" for row in rows)
