"""LangGraph's checkpoint saver on Django models, writing through the journal.

A graph that a run executes carries its `Recorder` in `configurable["__recorder"]`; then checkpoints are fenced
by the run's attempt and commit together with the step they end. Without one (the conformance suite,
tools of operators) rows are written unfenced. Values are msgpack of a strict allow-list of types: reading a
checkpoint never runs code.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, cast

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.base import Checkpoint as State
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT

from agentplatform.lib import bulk
from agentplatform.lib.concurrency import in_thread
from runs.engine.journal import Journal
from runs.engine.recorder import Recorder
from runs.engine.states import EMPTY, strict_serializer
from runs.models import Checkpoint, CheckpointBlob, CheckpointWrite

RECORDER = "__recorder"
# What a task writes that has not come to its end.
UNFINISHED = (INTERRUPT, ERROR)
# LangGraph's `NULL_TASK_ID`: what no task has written, but the feed of a graph that goes on (`ends.feed`).
FEED = "00000000-0000-0000-0000-000000000000"
INLINE = (str, int, float, bool, type(None))
PAGE = 100


class CheckpointSaver(BaseCheckpointSaver[str]):
    """Asynchronous only: graphs run on the worker's event loop."""

    def __init__(self, journal: Journal) -> None:
        super().__init__(serde=strict_serializer())
        self.journal = journal

    # --- writing ---

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: State,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Stores a checkpoint and the changed channels' values.

        With a recorder it returns before the commit: the next effect (model call, tool call, the run's end) waits
        for it, so nothing that the world can see is ever ahead of the last checkpoint.
        """
        place = config["configurable"]
        thread_id, namespace = place["thread_id"], place.get("checkpoint_ns", "")
        inline = {
            name: value for name, value in checkpoint["channel_values"].items() if isinstance(value, INLINE)
        }
        blobs = [
            self._blob(thread_id, namespace, channel, str(version), checkpoint["channel_values"])
            for channel, version in new_versions.items()
            if channel not in inline
        ]
        recorder: Recorder | None = place.get(RECORDER)
        row = bulk.row(
            Checkpoint,
            thread_id=thread_id,
            namespace=namespace,
            checkpoint_id=checkpoint["id"],
            parent_checkpoint_id=place.get("checkpoint_id") or "",
            run_id=recorder.run.id if recorder else None,
            step_num=recorder.step if recorder else 0,
            checkpoint={**checkpoint, "channel_values": inline},
            metadata=get_serializable_checkpoint_metadata(config, metadata),
            message_count=len(checkpoint["channel_values"].get("messages") or ()),
            total_tokens=recorder.tokens if recorder else 0,
            created_at=timezone.now(),
        )
        if recorder:
            ends_step = metadata.get("source") == "loop" and not namespace
            recorder.save_checkpoint(row, blobs, ends_step=ends_step)
        else:
            await self.journal.write_rows([row, *blobs])
        return {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Stores what a finished task wrote. Not waited for by LangGraph; the journal keeps the run's order.

        A run's feed is not stored: until its first checkpoint, which holds it, each attempt is fed anew, and both
        would write the same field in one step.
        """
        place = config["configurable"]
        recorder: Recorder | None = place.get(RECORDER)
        if recorder and task_id == FEED:
            return
        rows = [
            bulk.row(
                CheckpointWrite,
                thread_id=place["thread_id"],
                namespace=place.get("checkpoint_ns", ""),
                checkpoint_id=place["checkpoint_id"],
                task_id=task_id,
                task_path=task_path,
                index=WRITES_IDX_MAP.get(channel, index),
                channel=channel,
                **self._dump(value),
            )
            for index, (channel, value) in enumerate(writes)
        ]
        if recorder is None:
            await self.journal.write_rows(rows)
        elif any(channel in UNFINISHED for channel, _ in writes):
            recorder.hold_writes(rows)
        else:
            recorder.end_task(task_path.rpartition(", ")[2], rows)

    def get_next_version(self, current: str | int | None, channel: None) -> str:
        """Counts up; the random part keeps two branches of one thread from sharing a blob."""
        number = int(str(current).split(".")[0]) if current is not None else 0
        return f"{number + 1:032}.{random.getrandbits(52):016}"

    def _blob(
        self, thread_id: str, namespace: str, channel: str, version: str, values: dict[str, Any]
    ) -> bulk.Row:
        content = self._dump(values[channel]) if channel in values else {"type": EMPTY, "blob": b""}
        place = {"thread_id": thread_id, "namespace": namespace}
        return bulk.row(CheckpointBlob, **place, channel=channel, version=version, **content)

    def _dump(self, value: Any) -> dict[str, Any]:
        kind, blob = self.serde.dumps_typed(value)
        return {"type": kind, "blob": blob}

    # --- reading ---

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The named checkpoint, or the thread's newest."""
        recorder: Recorder | None = config["configurable"].get(RECORDER)
        if recorder and recorder.starts_empty_thread:
            return None
        return await in_thread(self._find, config)

    def _find(self, config: RunnableConfig) -> CheckpointTuple | None:
        place = config["configurable"]
        rows = Checkpoint.objects.automatic().filter(
            thread_id=place["thread_id"], namespace=place.get("checkpoint_ns", "")
        )
        if checkpoint_id := get_checkpoint_id(config):
            rows = rows.filter(checkpoint_id=checkpoint_id)
        row = rows.order_by("-checkpoint_id").first()
        return self._tuples([row])[0] if row else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first, read in pages."""
        rows = Checkpoint.objects.automatic().order_by("-checkpoint_id")
        if config:
            place = config["configurable"]
            rows = rows.filter(thread_id=place["thread_id"])
            if "checkpoint_ns" in place:
                rows = rows.filter(namespace=place["checkpoint_ns"])
            if checkpoint_id := get_checkpoint_id(config):
                rows = rows.filter(checkpoint_id=checkpoint_id)
        if filter:
            rows = rows.filter(metadata__contains=filter)
        if before and (checkpoint_id := get_checkpoint_id(before)):
            rows = rows.filter(checkpoint_id__lt=checkpoint_id)
        start = 0
        while limit is None or start < limit:
            end = start + PAGE if limit is None else min(start + PAGE, limit)
            page = await in_thread(self._page, rows, start, end)
            for item in page:
                yield item
            if len(page) < end - start:
                return
            start = end

    def _page(self, rows: QuerySet[Checkpoint], start: int, end: int) -> list[CheckpointTuple]:
        return self._tuples(list(rows[start:end]))

    def _tuples(self, rows: Sequence[Checkpoint]) -> list[CheckpointTuple]:
        """Rows with their blobs and pending writes: two queries, however many rows."""
        blobs = self._blobs(rows)
        writes = self._writes(rows)
        return [
            CheckpointTuple(
                _config(row, row.checkpoint_id),
                cast(
                    State,
                    {**row.checkpoint, "channel_values": {**row.checkpoint["channel_values"], **blobs(row)}},
                ),
                row.metadata,
                _config(row, row.parent_checkpoint_id) if row.parent_checkpoint_id else None,
                writes.get((row.thread_id, row.namespace, row.checkpoint_id), []),
            )
            for row in rows
        ]

    def _blobs(self, rows: Sequence[Checkpoint]) -> Any:
        wanted = Q(pk__in=[])
        for row in rows:
            versions = row.checkpoint["channel_versions"]
            wanted |= Q(
                thread_id=row.thread_id,
                namespace=row.namespace,
                channel__in=list(versions),
                version__in=[str(version) for version in versions.values()],
            )
        found = {
            (blob.thread_id, blob.namespace, blob.channel, blob.version): blob
            for blob in CheckpointBlob.objects.filter(wanted).exclude(type=EMPTY)
        }

        def values(row: Checkpoint) -> dict[str, Any]:
            keys = {
                channel: (row.thread_id, row.namespace, channel, str(version))
                for channel, version in row.checkpoint["channel_versions"].items()
            }
            return {channel: self._load(found[key]) for channel, key in keys.items() if key in found}

        return values

    def _writes(self, rows: Sequence[Checkpoint]) -> dict[tuple[str, str, str], list[tuple[str, str, Any]]]:
        wanted = Q(pk__in=[])
        for row in rows:
            wanted |= Q(thread_id=row.thread_id, namespace=row.namespace, checkpoint_id=row.checkpoint_id)
        writes: dict[tuple[str, str, str], list[tuple[str, str, Any]]] = {}
        for write in CheckpointWrite.objects.filter(wanted).order_by("task_path", "task_id", "index"):
            place = (write.thread_id, write.namespace, write.checkpoint_id)
            writes.setdefault(place, []).append((write.task_id, write.channel, self._load(write)))
        return writes

    def _load(self, row: CheckpointBlob | CheckpointWrite) -> Any:
        return self.serde.loads_typed((row.type, bytes(row.blob)))

    # --- housekeeping ---

    async def adelete_thread(self, thread_id: str) -> None:
        await self.aprune([thread_id], strategy="delete")

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Deletes the checkpoints whose metadata name one of these runs, and their pending writes."""
        await in_thread(_delete_for_runs, list(run_ids))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copies all checkpoints, values and pending writes of a thread into another."""
        await in_thread(_copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """`keep_latest` keeps the newest checkpoint of each namespace, `delete` none."""
        await in_thread(_prune, list(thread_ids), strategy)


TABLES = (Checkpoint, CheckpointBlob, CheckpointWrite)


def _config(row: Checkpoint, checkpoint_id: str) -> RunnableConfig:
    place = {"thread_id": row.thread_id, "checkpoint_ns": row.namespace, "checkpoint_id": checkpoint_id}
    return {"configurable": place}


def _delete_for_runs(run_ids: list[str]) -> None:
    with transaction.atomic():
        for row in Checkpoint.objects.filter(metadata__run_id__in=run_ids):
            CheckpointWrite.objects.filter(
                thread_id=row.thread_id, namespace=row.namespace, checkpoint_id=row.checkpoint_id
            ).delete()
            row.delete()


def _copy_thread(source: str, target: str) -> None:
    with transaction.atomic():
        for table in TABLES:
            fresh = table._meta.get_field("id").get_default
            for rows in _pages(table.objects.filter(thread_id=source)):
                for row in rows:
                    row.pk, row.thread_id = fresh(), target
                table.objects.bulk_create(rows, ignore_conflicts=True)


def _pages(rows: Any) -> Iterable[list[Any]]:
    page: list[Any] = []
    for row in rows.iterator(chunk_size=PAGE):
        page.append(row)
        if len(page) == PAGE:
            yield page
            page = []
    if page:
        yield page


def _prune(thread_ids: list[str], strategy: str) -> None:
    if strategy not in ("keep_latest", "delete"):
        raise ValueError(f"Unknown prune strategy: {strategy!r}")
    with transaction.atomic():
        if strategy == "delete":
            for table in TABLES:
                table.objects.filter(thread_id__in=thread_ids).delete()
            return
        heads = Checkpoint.objects.automatic().filter(thread_id__in=thread_ids)
        heads = heads.order_by("thread_id", "namespace", "-checkpoint_id")
        for head in heads.distinct("thread_id", "namespace"):
            _keep_only(head)


def _keep_only(head: Checkpoint) -> None:
    """Deletes the older checkpoints of the head's namespace, their writes, and blobs that only they used.

    Only what is older goes: what a run saves meanwhile is neither seen nor deleted.
    """
    place = {"thread_id": head.thread_id, "namespace": head.namespace}
    Checkpoint.objects.filter(**place, checkpoint_id__lt=head.checkpoint_id).delete()
    CheckpointWrite.objects.filter(**place, checkpoint_id__lt=head.checkpoint_id).delete()
    for channel, version in head.checkpoint["channel_versions"].items():
        CheckpointBlob.objects.filter(**place, channel=channel, version__lt=str(version)).delete()
