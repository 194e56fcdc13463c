"""Makes documents findable: read, cut, embedded, and at last put in the place of their earlier version.

A job in the queue only wakes a worker, which then takes up one waiting document after the other. An attempt has a lease
that it renews while it lives; when it has run out, anybody may take the document up again, and the earlier attempt can
write nothing any more: its chunks belong to its number, and nobody finds those. Texts that have been embedded before,
by an earlier attempt or for an earlier version, are not embedded again.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.core.files.storage import default_storage
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import Q
from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.backlog import Backlog
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.text import storable
from agents.knowledge import vectors
from agents.knowledge.chunking import Piece
from agents.knowledge.embedding import Embedder, embedded, embedder_of
from agents.knowledge.media import Unreadable
from agents.knowledge.reading import read
from agents.metering import Payer
from agents.models import Chunk, ChunkVector, Document, KnowledgeBase
from agents.providers.embeddings import Vector
from agents.providers.faults import ProviderFault

logger = structlog.get_logger(__name__)

INDEX = "agents.index_documents"
MAKE_VECTOR_INDEX = "agents.make_vector_index"
QUEUE = "knowledge"
LEASE = timedelta(seconds=30)
BEAT_SECONDS = 10.0
MOST_TRIES = 3
BACKOFF = timedelta(seconds=20)
WRITTEN_AT_ONCE = 500
EMBEDDED_AT_ONCE = 64
# Shares of the work, for the progress that is shown.
READ, WRITTEN = 0.1, 0.3
FILE_GONE = "Its file is gone from the storage. Upload it again."
LOST = "Indexing it has stopped its worker three times, so it is not tried again. Send it in parts, or index it again."


class Superseded(Exception):
    """The document was deleted, or another attempt or version has taken its place."""


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt at a document that this worker has taken up."""

    document_id: uuid.UUID
    base: KnowledgeBase
    attempt: int
    tries: int
    name: str
    media_type: str
    stored_as: str
    embedder: Embedder | None


backlog = Backlog(INDEX, QUEUE, Document.objects.filter(status__in=Document.UNDER_WAY))


async def work() -> None:
    """Indexes documents as long as there are any."""
    await backlog.work(claim_next, index)


# --- one document ---


def claim_next() -> Claim | None:
    """Takes up the document that has waited longest; None: there is none that anybody may take up."""
    now = timezone.now()
    while True:
        with transaction.atomic():
            waiting = Document.objects.select_for_update(of=("self",), skip_locked=True).filter(
                status__in=Document.UNDER_WAY, due_at__lte=now
            )
            document = waiting.order_by("due_at").first()
            if document is None:
                return None
            if document.tries >= MOST_TRIES:
                document.status, document.error, document.due_at = Document.Status.FAILED, LOST, None
                document.save(update_fields=["status", "error", "due_at", "updated_at"])
                continue
            document.status, document.progress, document.error = Document.Status.INDEXING, 0, ""
            document.attempt += 1
            document.tries += 1
            document.due_at = now + LEASE
            document.save()
            base = KnowledgeBase.objects.select_related("embedding_model__version").get(
                pk=document.knowledge_base_id
            )
            embedder = embedder_of(base, _payer(document))
        return Claim(
            document.pk,
            base,
            document.attempt,
            document.tries,
            document.name,
            document.media_type,
            document.stored_as,
            embedder,
        )


async def index(claim: Claim) -> None:
    """Makes the document findable as it is now, or says why it cannot be."""
    log = logger.bind(document=str(claim.document_id), attempt=claim.attempt)
    try:
        async with _alive(claim):
            count = await _index(claim)
        log.info("document_indexed", chunks=count)
    except Superseded:
        await in_thread(_forget_chunks, claim)
        log.info("document_superseded")
    except Unreadable as error:
        await in_thread(_fail, claim, str(error))
    except (ProviderFault, PlatformError) as error:
        may_pass = getattr(error, "retryable", False) and claim.tries < MOST_TRIES
        await in_thread(_put_off if may_pass else _fail, claim, f"The embedding model: {error}")
    except asyncio.CancelledError:
        # The worker stops: another one goes on, and what has been embedded so far is kept for it.
        await asyncio.shield(in_thread(_hand_back, claim))
        raise
    except Exception as error:
        log.exception("document_not_indexed")
        said = (
            f"Something went wrong on our side ({type(error).__name__}). Index it again, or ask the operator."
        )
        await in_thread(_fail, claim, said)


async def _index(claim: Claim) -> int:
    data = await in_thread(_read_file, claim.stored_as)
    pieces = await read(data, claim.media_type, claim.base.chunk_size, claim.base.chunk_overlap)
    del data
    await in_thread(_advance, claim, READ)
    for start in range(0, len(pieces), WRITTEN_AT_ONCE):
        await in_thread(_write, claim, start, pieces[start : start + WRITTEN_AT_ONCE])
        share = (WRITTEN if claim.embedder else 0.99) - READ
        await in_thread(_advance, claim, READ + share * min(1, (start + WRITTEN_AT_ONCE) / len(pieces)))
    if claim.embedder:
        await _embed(claim, claim.embedder)
    await in_thread(_swap, claim, len(pieces))
    return len(pieces)


async def _embed(claim: Claim, embedder: Embedder) -> None:
    await in_thread(_take_over_vectors, claim, embedder.space)
    missing = await in_thread(_without_vector, claim)
    for start in range(0, len(missing), EMBEDDED_AT_ONCE):
        keys = missing[start : start + EMBEDDED_AT_ONCE]
        texts = await in_thread(_texts, keys)
        found = await embedded(embedder, texts)
        await in_thread(_keep_vectors, claim, embedder.space, list(zip(keys, found, strict=True)))
        await in_thread(
            _advance, claim, WRITTEN + (0.99 - WRITTEN) * min(1, (start + len(keys)) / len(missing))
        )


@asynccontextmanager
async def _alive(claim: Claim) -> AsyncIterator[None]:
    """Renews the lease meanwhile. Raises Superseded inside where there is nothing to renew any more."""
    task = asyncio.current_task()
    assert task
    is_over = False

    async def beat() -> None:
        nonlocal is_over
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not await in_thread(_renew, claim):
                is_over = True
                task.cancel()
                return

    beating = asyncio.create_task(beat(), name="document-lease")
    try:
        yield
    except asyncio.CancelledError:
        if is_over and task.uncancel() == 0:
            raise Superseded from None
        raise
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


# --- what is written, each part only as long as the attempt is the document's latest ---


def _own(claim: Claim) -> Q:
    return Q(pk=claim.document_id, attempt=claim.attempt, status=Document.Status.INDEXING)


def _renew(claim: Claim) -> bool:
    return bool(Document.objects.filter(_own(claim)).update(due_at=timezone.now() + LEASE))


def _advance(claim: Claim, progress: float) -> None:
    changed = Document.objects.filter(_own(claim)).update(
        progress=round(progress, 3), due_at=timezone.now() + LEASE
    )
    if not changed:
        raise Superseded


def _read_file(stored_as: str) -> bytes:
    try:
        with default_storage.open(stored_as) as file:
            data: bytes = file.read()
            return data
    except FileNotFoundError as error:
        raise Unreadable(FILE_GONE) from error


def _write(claim: Claim, start: int, pieces: Sequence[Piece]) -> None:
    rows = [_chunk(claim, position, piece) for position, piece in enumerate(pieces, start)]
    try:
        with transaction.atomic():
            Chunk.objects.bulk_create(rows)
            connection.check_constraints()
    except IntegrityError as error:
        # Its document is gone.
        raise Superseded from error


def _chunk(claim: Claim, position: int, piece: Piece) -> Chunk:
    text, heading = storable(piece.text), storable(piece.heading)
    digest = hashlib.sha256(f"{heading}\n{text}".encode()).digest()
    return Chunk(
        document_id=claim.document_id,
        knowledge_base_id=claim.base.pk,
        attempt=claim.attempt,
        position=position,
        text=text,
        heading=heading,
        page=piece.page or None,
        first_line=piece.first_line or None,
        last_line=piece.last_line or None,
        hash=uuid.UUID(bytes=digest[:16]),
    )


_TAKE_OVER = """
INSERT INTO agents_chunkvector (chunk_id, knowledge_base_id, space, embedding)
SELECT DISTINCT ON (new.id) new.id, vector.knowledge_base_id, vector.space, vector.embedding
FROM agents_chunk new
JOIN agents_chunk old ON old.document_id = new.document_id AND old.hash = new.hash AND old.attempt <> new.attempt
JOIN agents_chunkvector vector ON vector.chunk_id = old.id
WHERE new.document_id = %s AND new.attempt = %s AND vector.space = %s
ON CONFLICT (chunk_id) DO NOTHING
"""


def _take_over_vectors(claim: Claim, space: uuid.UUID) -> None:
    """Of the same words, from the document's other attempts."""
    with connection.cursor() as cursor:
        cursor.execute(_TAKE_OVER, [claim.document_id, claim.attempt, space])


def _without_vector(claim: Claim) -> list[int]:
    rows = Chunk.objects.filter(document_id=claim.document_id, attempt=claim.attempt, vector=None)
    return list(rows.order_by("position").values_list("pk", flat=True))


def _texts(keys: Sequence[int]) -> list[str]:
    """As they are embedded: with the headings above them, which say what they are about."""
    rows = Chunk.objects.in_bulk(keys)
    if len(rows) != len(keys):
        raise Superseded
    return [f"{rows[key].heading}\n{rows[key].text}".strip() for key in keys]


def _keep_vectors(claim: Claim, space: uuid.UUID, found: Sequence[tuple[int, Vector]]) -> None:
    known = vectors.dimensions_of(claim.base.pk, space)
    length = len(found[0][1])
    if known and known != length:
        raise ProviderFault(
            "provider_rejected",
            f"its vectors have {length} dimensions, and those that it has made before have {known}. Make another model"
            " of it, and give the knowledge base that one.",
        )
    try:
        with transaction.atomic():
            vectors.store(claim.base.pk, space, found)
            connection.check_constraints()
    except IntegrityError as error:
        raise Superseded from error


def _swap(claim: Claim, count: int) -> None:
    """From now on this attempt's chunks are found, and no others."""
    with transaction.atomic():
        document = Document.objects.select_for_update().filter(_own(claim)).first()
        if document is None:
            raise Superseded
        document.status, document.progress, document.error = Document.Status.READY, 1, ""
        document.live_attempt, document.chunk_count = claim.attempt, count
        document.indexed_at, document.due_at, document.tries = timezone.now(), None, 0
        document.save()
        remove_chunks(Q(document_id=claim.document_id) & ~Q(attempt=claim.attempt))
        if claim.embedder:
            queue.defer(
                MAKE_VECTOR_INDEX,
                queue=QUEUE,
                base_id=str(claim.base.pk),
                space=str(claim.embedder.space),
            )


def _fail(claim: Claim, error: str) -> None:
    """What was found before still is."""
    with transaction.atomic():
        changed = Document.objects.filter(_own(claim)).update(
            status=Document.Status.FAILED,
            error=storable(error)[:1000],
            due_at=None,
            updated_at=timezone.now(),
        )
        if changed:
            remove_chunks(Q(document_id=claim.document_id, attempt=claim.attempt))


def _put_off(claim: Claim, error: str) -> None:
    Document.objects.filter(_own(claim)).update(
        status=Document.Status.PENDING,
        error=storable(error)[:1000],
        due_at=timezone.now() + BACKOFF * 2 ** (claim.tries - 1),
    )


def _hand_back(claim: Claim) -> None:
    """An attempt that was broken off from outside counts for nothing."""
    Document.objects.filter(_own(claim)).update(
        status=Document.Status.PENDING, due_at=timezone.now(), tries=max(0, claim.tries - 1)
    )


def _forget_chunks(claim: Claim) -> None:
    remove_chunks(Q(document_id=claim.document_id, attempt=claim.attempt))


def remove_chunks(which: Q) -> None:
    """Deletes chunks and their vectors, in two statements however many there are."""
    rows = Chunk.objects.filter(which)
    with transaction.atomic():
        vectors_of = ChunkVector.objects.filter(chunk__in=rows.order_by().values("pk"))
        vectors_of._raw_delete(vectors_of.db)
        rows._raw_delete(rows.db)


def _payer(document: Document) -> Payer:
    said = document.payer
    return Payer(
        uuid.UUID(said["user_id"]) if said.get("user_id") else None,
        said.get("user", ""),
        uuid.UUID(said["api_key_id"]) if said.get("api_key_id") else None,
        said.get("api_key", ""),
    )


# --- the index of a large base ---


async def make_vector_index(base_id: uuid.UUID, space: uuid.UUID) -> None:
    """Makes it where one is due and none is there. It takes minutes, so it gets a thread of its own."""
    await asyncio.to_thread(_make_vector_index, base_id, space)


def _make_vector_index(base_id: uuid.UUID, space: uuid.UUID) -> None:
    try:
        if vectors.ensure_index(base_id, space):
            logger.info("vector_index_made", knowledge_base=str(base_id))
    finally:
        connections.close_all()
