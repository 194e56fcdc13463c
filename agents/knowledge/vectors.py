"""Vectors in PostgreSQL: kept as plain arrays, compared by pgvector where it is there.

The extension `vector` comes with the embedded database. Of others it is asked for only when a knowledge base first gets
an embedding model, and none of the tables depends on it. Small bases are walked through; large ones get an index of
their own (HNSW), made beside the work.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import Error, connection, transaction

from agentplatform.lib.errors import Invalid
from agentplatform.lib.locks import lock_name
from agents.models import ChunkVector
from agents.providers.embeddings import MOST_DIMENSIONS, Vector

INDEXED_FROM = 10_000
"""Vectors of a base from which on it gets an index: a walk through fewer takes some 10 ms (docs/performance.md)."""
MOST_AS_VECTOR = 2_000
"""Dimensions that an index takes as `vector`; more go as `halfvec`, with half the bits."""
SEARCHED = 100
"""How many neighbours an index looks at: more find better, and take longer."""


def require_extension(field: str) -> None:
    """Makes sure that vectors can be compared. Raises Invalid where the database server has no pgvector."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            lock_name("agents.knowledge.vectors")
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except Error as error:
        raise Invalid(
            {
                field: "The database server has no extension `vector` (pgvector), or this user may not create it. Ask"
                " its administrator for it, or leave this empty: the base is then searched by words alone."
            }
        ) from error


def is_available() -> bool:
    """Whether the extension has been created in this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')")
        return bool(cursor.fetchone()[0])


def store(base_id: uuid.UUID, space: uuid.UUID, vectors: Sequence[tuple[int, Vector]]) -> None:
    """Writes the vectors of chunks, by the chunks' ids."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO agents_chunkvector (chunk_id, knowledge_base_id, space, embedding)"
            " VALUES (%s, %s, %s, %s::real[]) ON CONFLICT (chunk_id) DO NOTHING",
            [(chunk, base_id, space, list(vector)) for chunk, vector in vectors],
        )


# The limit stands inside: the index knows nothing of documents, and a few of its hits belong to versions on their way
# in or out.
_NEAREST = """
SELECT near.chunk_id, near.distance FROM (
    SELECT chunk_id, embedding::{kind} <=> %(wanted)s::real[]::{kind} AS distance
    FROM agents_chunkvector
    WHERE knowledge_base_id = '{base}' AND space = '{space}'
    ORDER BY embedding::{kind} <=> %(wanted)s::real[]::{kind} LIMIT %(twice)s
) near
JOIN agents_chunk chunk ON chunk.id = near.chunk_id
JOIN agents_document document ON document.id = chunk.document_id AND document.live_attempt = chunk.attempt
ORDER BY near.distance LIMIT %(limit)s
"""


def nearest(base_id: uuid.UUID, space: uuid.UUID, wanted: Vector, limit: int) -> list[tuple[int, float]]:
    """Chunks that are found, nearest first, with their distance (0 to 2)."""
    kind = _kind(len(wanted))
    # Written into the statement, so that it fits the index's condition.
    sql = _NEAREST.format(kind=kind, base=uuid.UUID(str(base_id)), space=uuid.UUID(str(space)))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL hnsw.ef_search = {SEARCHED}")
        cursor.execute(sql, {"wanted": list(wanted), "limit": limit, "twice": 2 * limit})
        return [(row[0], row[1]) for row in cursor.fetchall()]


def dimensions_of(base_id: uuid.UUID, space: uuid.UUID) -> int:
    """Of the vectors that there are; 0: there are none."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cardinality(embedding) FROM agents_chunkvector"
            " WHERE knowledge_base_id = %s AND space = %s LIMIT 1",
            [base_id, space],
        )
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def ensure_index(base_id: uuid.UUID, space: uuid.UUID) -> bool:
    """Makes the index of a large base unless it is there; whether it has made one. Takes minutes, and locks nothing."""
    with connection.cursor() as cursor:
        if _has_index(cursor, _name(base_id, space)) or not _is_large(base_id, space):
            return False
        kind = _kind(dimensions_of(base_id, space))
        operators = f"{kind.partition('(')[0]}_cosine_ops"
        for name in _names(cursor, base_id):
            # Of another model, or one that was broken off.
            cursor.execute(f'DROP INDEX CONCURRENTLY IF EXISTS "{name}"')
        cursor.execute("SELECT set_config('maintenance_work_mem', '256MB', false)")
        try:
            cursor.execute(
                f'CREATE INDEX CONCURRENTLY "{_name(base_id, space)}" ON agents_chunkvector'
                f" USING hnsw ((embedding::{kind}) {operators})"
                f" WHERE knowledge_base_id = '{base_id}' AND space = '{space}'"
            )
        finally:
            cursor.execute("RESET maintenance_work_mem")
    return True


def drop_index(base_id: uuid.UUID) -> None:
    """With its base. Holds a lock on the table until the transaction ends, for a moment."""
    with connection.cursor() as cursor:
        for name in _names(cursor, base_id):
            cursor.execute(f'DROP INDEX IF EXISTS "{name}"')


def _is_large(base_id: uuid.UUID, space: uuid.UUID) -> bool:
    rows = ChunkVector.objects.filter(knowledge_base_id=base_id, space=space).order_by()
    return rows.values("pk")[INDEXED_FROM - 1 : INDEXED_FROM].exists() and is_available()


def _kind(dimensions: int) -> str:
    if dimensions > MOST_DIMENSIONS:
        raise ValueError(f"Vectors of {dimensions} dimensions cannot be compared.")
    return f"vector({dimensions})" if dimensions <= MOST_AS_VECTOR else f"halfvec({dimensions})"


def _name(base_id: uuid.UUID, space: uuid.UUID) -> str:
    return f"knowledge_{base_id.hex}_{space.hex[:12]}"


def _names(cursor: Any, base_id: uuid.UUID) -> list[str]:
    """The indexes of a base, broken ones too."""
    cursor.execute(
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'agents_chunkvector'::regclass"
        " AND indexrelid::regclass::text LIKE %s",
        [f"knowledge_{base_id.hex}_%"],
    )
    return [str(row[0]) for row in cursor.fetchall()]


def _has_index(cursor: Any, name: str) -> bool:
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE relname = %s AND indisvalid)",
        [name],
    )
    return bool(cursor.fetchone()[0])
