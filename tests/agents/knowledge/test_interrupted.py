"""Indexing goes on where a worker was killed, or a document is replaced or deleted meanwhile, and is never doubled."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.db import connections
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from agents.knowledge import documents, indexing
from agents.knowledge.search import search
from agents.models import Chunk, ChunkVector, Document
from tests.processes import worker_process

LEAVE = "# Leave\n\nEverybody has thirty days of leave a year.\n"


def again(document: Document) -> Document:
    document.refresh_from_db()
    return document


@pytest.mark.django_db
class TestAttempts:
    def test_an_attempt_that_was_given_up_writes_nothing_any_more(self, base, add, index_all):
        document = documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
        late = indexing.claim_next()
        Document.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        index_all()
        assert again(document).status == "ready"
        indexing._write(late, 0, [])
        with pytest.raises(indexing.Superseded):
            indexing._advance(late, 0.5)
        with pytest.raises(indexing.Superseded):
            indexing._swap(late, 0)
        indexing._fail(late, "late")
        assert (again(document).status, Chunk.objects.count()) == ("ready", 1)

    def test_nobody_takes_up_what_somebody_is_at(self, base):
        documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
        assert indexing.claim_next() is not None
        assert indexing.claim_next() is None

    def test_a_document_that_kills_its_workers_is_given_up(self, base, index_all):
        document = documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
        for _ in range(indexing.MOST_TRIES):
            assert indexing.claim_next() is not None
            Document.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert indexing.claim_next() is None
        assert (again(document).status, document.error) == ("failed", indexing.LOST)
        documents.index_again(Document.objects.all(), None)
        index_all()
        assert again(document).status == "ready"

    def test_deleting_ends_the_attempt(self, base, index_all, monkeypatch):
        document = documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
        write = indexing._write

        def delete_and_write(claim, start, pieces):
            documents.delete(document)
            write(claim, start, pieces)

        monkeypatch.setattr(indexing, "_write", delete_and_write)
        index_all()
        assert (Document.objects.count(), Chunk.objects.count()) == (0, 0)

    def test_replacing_ends_the_attempt(self, base, index_all, monkeypatch):
        document = documents.add(base, "leave.md", ContentFile(LEAVE.encode()), None)
        write, has_replaced = indexing._write, []

        def replace_and_write(claim, start, pieces):
            write(claim, start, pieces)
            if not has_replaced:
                has_replaced.append(documents.add(base, "leave.md", ContentFile(b"Forty days."), None))

        monkeypatch.setattr(indexing, "_write", replace_and_write)
        index_all()
        assert again(document).status == "ready"
        assert [chunk.text for chunk in Chunk.objects.all()] == ["Forty days."]

    def test_says_when_the_file_is_gone(self, base, add):
        document = add(base, "leave.md", LEAVE)
        documents.forget_files([document.stored_as])
        documents.index_again(Document.objects.all(), None)
        from asgiref.sync import async_to_sync

        async_to_sync(indexing.work)()
        assert (again(document).status, document.error) == ("failed", indexing.FILE_GONE)
        assert len(search(base.workspace_id, [base.pk], "thirty", 5).passages) == 1


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
async def test_another_worker_goes_on_after_a_kill(base, embedding_model, model_endpoint, tmp_path):
    """Killed while it waits for the third batch of vectors: the two that there are are kept."""
    # Where the test has its files.
    here = {"AGENTPLATFORM_DATA_DIR": str(tmp_path)}
    model = await in_thread(embedding_model, "embed-8")
    await in_thread(documents.save_base, base, {"embedding_model": model}, None)
    text = "\n\n".join(f"# Part {number}\n\nThis is what part {number} says." for number in range(200))
    model_endpoint.script("embed-8", "embed-8", "hang")
    document = await in_thread(documents.add, base, "long.md", ContentFile(text.encode()), None)
    with worker_process(**here) as victim:
        await _until(lambda: ChunkVector.objects.count() >= 2 * indexing.EMBEDDED_AT_ONCE)
        victim.send_signal(signal.SIGKILL)
    # As if the lease had run out.
    await in_thread(Document.objects.update, due_at=timezone.now() - timedelta(minutes=1))
    with worker_process(**here):
        await _until(lambda: Document.objects.get().status == "ready")
    embedded = [len(request.body["input"]) for request in model_endpoint.requests]
    assert embedded == [64, 64, 64, 64, 8]
    document = await Document.objects.aget(pk=document.pk)
    assert (document.attempt, document.chunk_count) == (2, 200)
    assert await Chunk.objects.acount() == await ChunkVector.objects.acount() == 200
    await sync_to_async(connections.close_all)()


async def _until(condition) -> None:
    until = time.monotonic() + 60
    while not await in_thread(condition):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
