"""LangGraph's store over the memories of one owner: what a graph reaches is what its run's user may see.

Search is by words, not by vectors: `query` finds what shares words with it, the best first, and `index` is ignored.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from langgraph.store.base import (
    BaseStore,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from agentplatform.lib.concurrency import in_thread
from runs.memory import rows
from runs.memory.filters import conditions
from runs.memory.owners import Owner
from runs.memory.rows import Writing
from runs.models import Memory

Namespace = tuple[str, ...]


class MemoryStore(BaseStore):
    """As in LangGraph's own stores, reads of a batch see what was there before its writes."""

    def __init__(self, owner: Owner, run_id: uuid.UUID | None = None) -> None:
        self.owner = owner
        self.run_id = run_id

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Raises what `rows.write` raises; then nothing is written."""
        asked = list(ops)
        results = [None if isinstance(op, PutOp) else self._read(op) for op in asked]
        # Of several writes to one place the last counts.
        puts = {(op.namespace, op.key): op for op in asked if isinstance(op, PutOp)}
        writings = [Writing(op.namespace, op.key, op.value) for op in puts.values()]
        if writings:
            rows.write(self.owner, writings, self.run_id)
        return results

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await in_thread(self.batch, list(ops))

    def _read(self, op: Op) -> Result:
        match op:
            case GetOp():
                found = rows.of(self.owner).filter(namespace=list(op.namespace), key=op.key).first()
                return _item(found) if found else None
            case SearchOp():
                return [_search_item(row) for row in self._search(op)]
            case ListNamespacesOp():
                return self._namespaces(op)
        raise ValueError(f"Unknown operation type: {type(op)}")

    def _search(self, op: SearchOp) -> QuerySet[Memory]:
        found = rows.of(self.owner).order_by("-updated_at", "-id")
        if op.namespace_prefix:
            size = len(op.namespace_prefix)
            found = found.filter(**{f"namespace__0_{size}": list(op.namespace_prefix)})
        for sql, values in conditions(op.filter or {}):
            found = found.filter(RawSQL(sql, values, output_field=BooleanField()))  # noqa: S611
        if op.query:
            found = rows.resembling(found, op.query)
        return found[op.offset : op.offset + op.limit]

    def _namespaces(self, op: ListNamespacesOp) -> list[Namespace]:
        wanted = op.match_conditions or ()
        found = [
            one[: op.max_depth]
            for one in rows.namespaces(self.owner)
            if all(_matches(condition, one) for condition in wanted)
        ]
        return sorted(set(found))[op.offset : op.offset + op.limit]


def _matches(condition: MatchCondition, namespace: Namespace) -> bool:
    path = condition.path
    if len(path) > len(namespace):
        return False
    there = namespace[: len(path)] if condition.match_type == "prefix" else namespace[-len(path) :]
    return all(wanted in ("*", part) for wanted, part in zip(path, there, strict=True))


def _item(row: Memory) -> Item:
    return Item(**_shape(row))


def _search_item(row: Memory) -> SearchItem:
    return SearchItem(**_shape(row), score=getattr(row, "rank", None))


def _shape(row: Memory) -> dict[str, Any]:
    return {
        "value": row.value,
        "key": row.key,
        "namespace": tuple(row.namespace),
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
