"""Passages found by words, and by meaning where the knowledge base has an embedding model.

By words: a question's words are looked for one by one, because no passage has all of them. A rare word tells more than
a frequent one, so each counts by how few passages have it (as BM25 does); headings count double. By meaning: the
nearest vectors. Both lists become one by the ranks that passages have in them (reciprocal rank fusion): the lists' own
scores cannot be compared.
"""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.db import connection, transaction

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Invalid, PlatformError
from agentplatform.lib.words import CJK_RUN
from agents.knowledge import vectors
from agents.knowledge.embedding import Embedder, embedded, embedder_of
from agents.metering import Payer
from agents.models import Chunk, KnowledgeBase
from agents.providers.embeddings import Vector
from agents.providers.faults import ProviderFault

logger = structlog.get_logger(__name__)

LONGEST_QUERY = 1_000
MOST_WORDS = 32
MOST_FOUND = 50
# Passages of each list that are fused, and the constant that says how much the first ranks stand out.
FUSED = 50
FUSION = 60
# Passages that are ranked: of rare words all, of frequent ones only what the rare ones have left room for.
RANKED = 1_500
# Which words are frequent in a large base is known from a sample, kept for a while: counting them takes too long.
SAMPLED_FROM = 5_000
SAMPLE = 1_000
FREQUENT = 0.02
SAMPLE_SECONDS = 600
# The same, in PostgreSQL's order of weights D, C, B, A: text has D, headings have B.
WEIGHTS = "{0.1,0.1,0.2,0.2}"
# What `ts_rank` says of a word that stands in a text once, with the weight D.
ONCE = 0.0607927
SECONDS_FOR_VECTORS = 10.0


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that was found.

    `place` is `{page?, heading?, lines?: [first, last]}`; `matches` are places in `text`, from and to, in characters.
    Scores can be compared within one search only.
    """

    knowledge_base: str
    document: str
    document_id: uuid.UUID
    position: int
    place: dict[str, Any]
    text: str
    score: float
    matches: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Found:
    """The passages, the best first. `warning`: why they were looked for by words alone, where that was not meant."""

    passages: list[Passage] = field(default_factory=list)
    warning: str = ""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A search that is prepared: by words it is done, and vectors of the query are still to come."""

    query: str
    limit: int
    bases: dict[uuid.UUID, str]
    by_words: list[tuple[int, float]]
    words: list[str]
    embedders: dict[uuid.UUID, Embedder]
    """By base."""


def search(
    workspace_id: uuid.UUID, base_ids: Sequence[uuid.UUID], query: str, limit: int, payer: Payer | None = None
) -> Found:
    """What the knowledge bases of a workspace say to `query`. Raises Invalid.

    Those that are gone are left out. `payer` is in whose name the query is embedded.
    """
    wanted = _prepare(workspace_id, base_ids, query, limit, payer or Payer())
    if not wanted.embedders:
        return _finish(wanted, {}, "")
    if not connection.in_atomic_block:
        connection.close()
    known, warning = async_to_sync(_embed)(wanted)
    return _finish(wanted, known, warning)


async def search_async(
    workspace_id: uuid.UUID, base_ids: Sequence[uuid.UUID], query: str, limit: int, payer: Payer | None = None
) -> Found:
    """The same, on an event loop."""
    wanted = await in_thread(_prepare, workspace_id, base_ids, query, limit, payer or Payer())
    known, warning = await _embed(wanted) if wanted.embedders else ({}, "")
    return await in_thread(_finish, wanted, known, warning)


# --- the three parts ---


def _prepare(
    workspace_id: uuid.UUID, base_ids: Sequence[uuid.UUID], query: str, limit: int, payer: Payer
) -> _Wanted:
    text = query.replace("\x00", " ").strip()
    if not text:
        raise Invalid({"q": "Say what is to be found."})
    if len(text) > LONGEST_QUERY:
        raise Invalid({"q": f"Use at most {LONGEST_QUERY} characters."})
    rows = KnowledgeBase.objects.filter(workspace_id=workspace_id, pk__in=base_ids)
    bases = {base.pk: base for base in rows.select_related("embedding_model__version")}
    embedders: dict[uuid.UUID, Embedder] = {}
    for key, base in bases.items():
        if embedder := embedder_of(base, payer):
            embedders[key] = embedder
    words = _words(text)
    by_words = _by_words(list(bases), words) if bases and words else []
    names = {key: base.name for key, base in bases.items()}
    return _Wanted(text, limit, names, by_words, words, embedders)


async def _embed(wanted: _Wanted) -> tuple[dict[uuid.UUID, Vector], str]:
    """The query's vector in each space; and what went wrong, for people."""
    by_space = {embedder.space: embedder for embedder in wanted.embedders.values()}
    known: dict[uuid.UUID, Vector] = {}
    warning = ""
    for space, embedder in by_space.items():
        try:
            async with asyncio.timeout(SECONDS_FOR_VECTORS):
                [known[space]] = await embedded(embedder, [wanted.query], retries=1)
        except (ProviderFault, PlatformError, TimeoutError) as error:
            said = getattr(error, "message", "It did not answer in time.")
            warning = (
                f"The embedding model {embedder.spec.name!r} cannot be used, so only words count: {said}"
            )
            logger.warning("knowledge_query_not_embedded", model=embedder.spec.name, error=said)
    return known, warning


def _finish(wanted: _Wanted, known: dict[uuid.UUID, Vector], warning: str) -> Found:
    lists = [[key for key, _ in wanted.by_words]]
    by_space: defaultdict[uuid.UUID, list[tuple[float, int]]] = defaultdict(list)
    if known and vectors.is_available():
        for base_id, embedder in wanted.embedders.items():
            if vector := known.get(embedder.space):
                near = vectors.nearest(base_id, embedder.space, vector, FUSED)
                by_space[embedder.space] += [(distance, key) for key, distance in near]
    elif known:
        warning = "The database has no pgvector any more, so only words count."
    lists += [[key for _, key in sorted(near)][:FUSED] for near in by_space.values()]
    scores = _fused(lists) if by_space else dict(wanted.by_words)
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[: wanted.limit]
    return Found(_passages(wanted, best), warning)


def _fused(lists: Iterable[Sequence[int]]) -> dict[int, float]:
    scores: defaultdict[int, float] = defaultdict(float)
    for ranked in lists:
        for rank, key in enumerate(ranked[:FUSED], 1):
            scores[key] += 1 / (FUSION + rank)
    return scores


def _passages(wanted: _Wanted, best: Sequence[tuple[int, float]]) -> list[Passage]:
    rows = Chunk.objects.select_related("document").in_bulk([key for key, _ in best])
    places = _pattern(wanted.words)
    return [
        Passage(
            knowledge_base=wanted.bases[chunk.knowledge_base_id],
            document=chunk.document.name,
            document_id=chunk.document_id,
            position=chunk.position,
            place=place_of(chunk),
            text=chunk.text,
            score=round(score, 6),
            matches=[match.span() for match in places.finditer(chunk.text)] if places else [],
        )
        for key, score in best
        if (chunk := rows.get(key))
    ]


def place_of(chunk: Chunk) -> dict[str, Any]:
    """Where a chunk stands, as far as its document knows such places."""
    place: dict[str, Any] = {}
    if chunk.page:
        place["page"] = chunk.page
    if chunk.heading:
        place["heading"] = chunk.heading
    if chunk.first_line:
        place["lines"] = [chunk.first_line, chunk.last_line]
    return place


# --- by words ---


def _words(text: str) -> list[str]:
    """The query's words as they are indexed: stems, without those that say nothing, pairs of Chinese characters."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(agents_words(%s))", [text])
        found: list[str] = cursor.fetchone()[0]
    is_single = [len(word) == 1 and CJK_RUN.match(word) is not None for word in found]
    if any(len(word) > 1 and CJK_RUN.match(word) for word in found):
        # The last character of each run, which is in a pair as well.
        found = [word for word, single in zip(found, is_single, strict=True) if not single]
    return found[:MOST_WORDS]


def _as_query(word: str) -> str:
    """A `tsquery` of one word; of a single Chinese character, of pairs that begin with it too."""
    quoted = word.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted}':*" if len(word) == 1 and CJK_RUN.match(word) else f"'{quoted}'"


# The share of passages that have a word, of the frequent ones.
_SAMPLE = """
WITH sample AS MATERIALIZED (
    SELECT chunk.terms FROM agents_document document
    JOIN agents_chunk chunk ON chunk.document_id = document.id AND chunk.attempt = document.live_attempt
    WHERE document.knowledge_base_id = ANY(%(bases)s::uuid[]) AND chunk.position %% %(step)s = 0 LIMIT %(most)s
), word AS (SELECT unnest(tsvector_to_array(terms)) AS word FROM sample), counted AS (
    SELECT word, count(*)::float8 / (SELECT count(*) FROM sample) AS share FROM word GROUP BY word
)
SELECT word, share FROM counted WHERE share >= %(least)s
"""
# How many passages have each word, counted up to a limit.
_COUNT = """
SELECT ARRAY(
    SELECT (
        SELECT count(*) FROM (
            SELECT FROM agents_chunk WHERE terms @@ (%(place)s::tsquery && wanted.word) LIMIT %(most)s
        ) AS counted
    ) FROM unnest(%(words)s::tsquery[]) WITH ORDINALITY AS wanted (word, place) ORDER BY wanted.place
)
"""
_TOTAL = """
SELECT COALESCE(sum(chunk_count), 0) FROM agents_document WHERE knowledge_base_id = ANY(%(bases)s::uuid[])
"""
_RANK = """
WITH wanted AS MATERIALIZED (
    SELECT word, weight FROM unnest(%(words)s::tsquery[], %(weights)s::float8[]) AS wanted (word, weight)
), candidate AS MATERIALIZED (
    SELECT chunk.id, chunk.terms FROM agents_chunk chunk
    JOIN agents_document document ON document.id = chunk.document_id AND document.live_attempt = chunk.attempt
    WHERE chunk.terms @@ (%(place)s::tsquery && %(any)s::tsquery) LIMIT %(ranked)s
)
SELECT id, (
    SELECT sum(weight * ts_rank(%(importance)s::float4[], terms, word)) FROM wanted
) / %(once)s AS score
FROM candidate ORDER BY score DESC, id LIMIT %(limit)s
"""


def _by_words(base_ids: Sequence[uuid.UUID], words: Sequence[str]) -> list[tuple[int, float]]:
    """Chunks with their scores, the best first."""
    queries = [_as_query(word) for word in words]
    place = " | ".join(f"'base:{key}'" for key in base_ids)
    values: dict[str, Any] = {"bases": list(base_ids), "place": place}
    with transaction.atomic(), connection.cursor() as cursor:
        # With a limit, PostgreSQL likes to walk through the table until it has found enough; in a large one of many
        # tenants that takes seconds.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(_TOTAL, values)
        total = int(cursor.fetchone()[0])
        frequent = _frequent(cursor, base_ids, total)
        shares = [frequent.get(word, 0.0) for word in words]
        rare = [query for query, share in zip(queries, shares, strict=True) if not share]
        # A word that is not in the sample may still be a little more frequent than that.
        cursor.execute(_COUNT, values | {"words": rare, "most": max(SAMPLED_FROM, total // 10)})
        counted = dict(zip(rare, cursor.fetchone()[0], strict=True))
        counts = [
            counted[query] if query in counted else round(share * total)
            for query, share in zip(queries, shares, strict=True)
        ]
        chosen = _chosen(queries, counts)
        if not chosen:
            return []
        cursor.execute(
            _RANK,
            values
            | {
                "words": queries,
                "weights": [_rarity(count, total) for count in counts],
                "any": chosen,
                "ranked": RANKED,
                "importance": WEIGHTS,
                "once": ONCE,
                "limit": max(FUSED, MOST_FOUND),
            },
        )
        return [(row[0], float(row[1])) for row in cursor.fetchall()]


def _frequent(cursor: Any, base_ids: Sequence[uuid.UUID], total: int) -> dict[str, float]:
    """The words that many passages of large bases have, with the share of those; none of small ones."""
    if total < SAMPLED_FROM:
        return {}
    key = "knowledge-words:" + uuid.uuid5(uuid.NAMESPACE_OID, "".join(sorted(map(str, base_ids)))).hex
    known: dict[str, float] | None = cache.get(key)
    if known is None:
        cursor.execute(
            _SAMPLE,
            {"bases": list(base_ids), "step": max(1, total // SAMPLE), "most": 2 * SAMPLE, "least": FREQUENT},
        )
        known = dict(cursor.fetchall())
        cache.set(key, known, SAMPLE_SECONDS)
    return known


def _chosen(queries: Sequence[str], counts: Sequence[int]) -> str:
    """Which passages are ranked: those with any of the rarer words. Where all are frequent, those with all of them."""
    known = sorted((count, query) for query, count in zip(queries, counts, strict=True) if count)
    rare: list[str] = []
    seen = 0
    for count, query in known:
        if seen + count > RANKED:
            break
        rare.append(query)
        seen += count
    return " | ".join(rare) if rare else " & ".join(query for _, query in known)


def _rarity(count: int, total: int) -> float:
    """How much a word tells, as BM25 has it."""
    total = max(total, count)
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


def _pattern(words: Sequence[str]) -> re.Pattern[str] | None:
    """Where the words, which are stems, stand in a text."""
    parts = [
        re.escape(word) if CJK_RUN.match(word) else rf"\b{re.escape(_stem(word))}\w*"
        for word in sorted(words, key=len, reverse=True)
    ]
    return re.compile("|".join(parts), re.IGNORECASE) if parts else None


def _stem(word: str) -> str:
    """Snowball makes `polici` of policy: its last letter need not be in the text."""
    return word[:-1] if len(word) > 3 and word.endswith("i") else word
