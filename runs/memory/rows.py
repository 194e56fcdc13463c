"""Memories as rows: found, written within their limits, and searched by their words."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.models import BooleanField, FloatField, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from agentplatform.lib.errors import Conflict, Invalid
from agentplatform.lib.ids import uuid7
from agentplatform.lib.text import storable
from runs.conversations.search import any_term, terms
from runs.memory.owners import Owner
from runs.models import Memory

NAMESPACE = ("memories",)
"""Of what the built-in tools and people write."""
MOST_BYTES = 4096
"""Of a value, as JSON in UTF-8."""
MOST_MEMORIES = 1_000
"""Of a user, and of each end user."""
MOST_LEVELS = 8
LONGEST_NAMESPACE = 200
"""Characters of all its levels together: with key and end user it has to fit into an index."""


@dataclass(frozen=True, slots=True)
class Writing:
    """What is to stand at a place; `value` None removes it."""

    namespace: tuple[str, ...]
    key: str
    value: Mapping[str, Any] | None


def of(owner: Owner) -> QuerySet[Memory]:
    """All that the owner's agents may see."""
    found = _of_person(owner)
    return found.filter(agent_id=owner.agent_id) if owner.agent_id else found.filter(agent=None)


def _of_person(owner: Owner) -> QuerySet[Memory]:
    """Whatever agent they are for."""
    return Memory.objects.filter(
        workspace_id=owner.workspace_id, user_id=owner.user_id, end_user=owner.end_user
    )


def matching(memories: QuerySet[Memory], query: str) -> QuerySet[Memory]:
    """Those that match as people search: all words, `or`, `-word`, texts in quotes; the best first. Raises Invalid."""
    words, single = terms(query)
    return _ranked(
        memories, "websearch_to_tsquery('simple', %s) && to_tsquery('simple', %s)", [words, single]
    )


def resembling(memories: QuerySet[Memory], text: str) -> QuerySet[Memory]:
    """Those that share a word with `text`, whatever it is; the more the first."""
    found = any_term(text)
    return _ranked(memories, "to_tsquery('simple', %s)", [found]) if found else memories.none()


def _ranked(memories: QuerySet[Memory], query: str, values: list[str]) -> QuerySet[Memory]:
    matches = RawSQL(f"runs_memory.terms @@ ({query})", values, output_field=BooleanField())  # noqa: S611
    rank = RawSQL(f"ts_rank(runs_memory.terms, ({query}))", values, output_field=FloatField())  # noqa: S611
    return memories.alias(matches=matches).filter(matches=True).annotate(rank=rank).order_by("-rank", "-id")


def write(owner: Owner, writings: Sequence[Writing], run_id: uuid.UUID | None = None) -> list[Memory]:
    """Makes, replaces and removes what `writings` say, all or nothing; the rows that were written.

    Raises Invalid where a value is too large or a place has no proper name, Conflict where the owner has as many as one
    may have.
    """
    for writing in writings:
        _check(writing)
    with transaction.atomic():
        _lock(owner)
        written = [row for writing in writings if (row := _write(owner, writing, run_id))]
        if any(row.created_at == row.updated_at for row in written):
            _check_number(owner)
    return written


def _check(writing: Writing) -> None:
    # NUL would be refused by the database, which is too late to say so.
    path = writing.namespace
    is_named = 1 <= len(path) <= MOST_LEVELS and all(path) and "\x00" not in "".join(path)
    if not is_named or sum(map(len, path)) > LONGEST_NAMESPACE:
        raise Invalid(
            {"namespace": f"Use 1 to {MOST_LEVELS} texts, of {LONGEST_NAMESPACE} characters together."}
        )
    if not 1 <= len(writing.key) <= 200 or "\x00" in writing.key:
        raise Invalid({"key": "Use 1 to 200 characters."})
    if writing.value is None:
        return
    size = len(orjson.dumps(storable(dict(writing.value))))
    if size > MOST_BYTES:
        raise Invalid(
            {"content": f"A memory takes up to {MOST_BYTES:,} bytes; this has {size:,}. Shorten it."}
        )


def _lock(owner: Owner) -> None:
    """One writer at a time for each owner, so that counting and making are one."""
    name = f"memory:{owner.workspace_id}:{owner.user_id}:{owner.end_user}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [name])


def _write(owner: Owner, writing: Writing, run_id: uuid.UUID | None) -> Memory | None:
    place = of(owner).filter(namespace=list(writing.namespace), key=writing.key)
    if writing.value is None:
        place.delete()
        return None
    value, now = storable(dict(writing.value)), timezone.now()
    if (row := place.first()) is None:
        return Memory.objects.create(
            id=uuid7(),
            workspace_id=owner.workspace_id,
            user_id=owner.user_id,
            end_user=owner.end_user,
            agent_id=owner.agent_id,
            namespace=list(writing.namespace),
            key=writing.key,
            value=value,
            run_id=run_id,
            created_at=now,
            updated_at=now,
        )
    row.value, row.run_id, row.updated_at = value, run_id, now
    row.save(update_fields=["value", "run_id", "updated_at"])
    return row


def _check_number(owner: Owner) -> None:
    """Of all agents together: the limit is the person's."""
    if _of_person(owner).count() > MOST_MEMORIES:
        raise Conflict(
            f"There are {MOST_MEMORIES:,} memories already, and no more are kept. Remove some that are of no use."
        )


def namespaces(owner: Owner) -> Iterable[tuple[str, ...]]:
    """Each once, in order."""
    found = of(owner).order_by("namespace").values_list("namespace", flat=True).distinct()
    return [tuple(parts) for parts in found]
