"""Messages found by their words: ranked, with the places that match. Of conversations with branches, the one shown.

Words are found as they are written, whatever their case; texts in quotes as they stand; `or` and `-word` work as
people know them. Of Chinese, Japanese and Korean any part of a text is found: pairs of characters are indexed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid
from agentplatform.lib.words import CJK_RUN, WORD, pairs
from runs.models import Message

LONGEST_QUERY = 200
# Ranked are the newest that match; of a word that stands in everything the others are of no more use.
RANKED = 1_000
MOST_TERMS = 100
"""Of a query that looks for any of them."""
SNIPPET = 240
"""Characters."""
INDEXED = 50_000
"""Characters of a message that are searched, as the migration says it."""


@dataclass(frozen=True, slots=True)
class Found:
    """A message that matches. `matches` are places in `snippet`, from and to, in characters."""

    message: Message
    snippet: str
    matches: list[tuple[int, int]]
    rank: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for, and where. `session_id` None: in every session that the actor may see."""

    query: str
    session_id: uuid.UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    mine: bool = False
    """Only in the actor's own sessions."""


def search(actor: Actor, wanted: Wanted, limit: int, offset: int) -> tuple[list[Found], int]:
    """A page of messages, the best match first, and how many of the newest RANKED match. Raises Invalid."""
    words, single = terms(wanted.query)
    own = None if actor.may("read:all-sessions") and not wanted.mine else actor.user_id
    values: dict[str, Any] = {
        "words": words,
        "single": single,
        "workspace": actor.workspace_id,
        "owner": own,
        "session": wanted.session_id,
        "in_session": f"'session:{wanted.session_id}'" if wanted.session_id else "",
        "since": wanted.since,
        "until": wanted.until,
        "ranked": RANKED,
        "limit": limit,
        "offset": offset,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH, values)
        rows = cursor.fetchall()
    messages = Message.objects.select_related("session").in_bulk([row[0] for row in rows])
    places = _pattern(wanted.query)
    found = [_found(messages[key], rank, places) for key, rank, _ in rows if key in messages]
    return found, rows[0][2] if rows else 0


def terms(query: str) -> tuple[str, str]:
    """The query for `websearch_to_tsquery`, with runs of characters as phrases of pairs; and the single ones, which are
    looked for as the beginning of a pair.
    """
    text = query.strip()
    if not text:
        raise Invalid({"q": "Say what is to be found."})
    if len(text) > LONGEST_QUERY:
        raise Invalid({"q": f"Use at most {LONGEST_QUERY} characters."})
    single = [run for run in CJK_RUN.findall(text) if len(run) == 1]
    words = CJK_RUN.sub(lambda run: f" {_pairs(run[0])} ", text.replace("\x00", " "))
    return words, " & ".join(f"'{letter}':*" for letter in single)


def any_term(text: str) -> str:
    """A text for `to_tsquery` that finds whatever shares a word, or a pair of characters, with it; empty: nothing."""
    found: dict[str, None] = {}
    for word in WORD.findall(text[:INDEXED]):
        is_run = bool(CJK_RUN.match(word)) and len(word) > 1
        parts = pairs(word) if is_run else [word]
        found.update(dict.fromkeys(parts))
        if len(found) >= MOST_TERMS:
            break
    return " | ".join(f"'{word}'" for word in list(found)[:MOST_TERMS])


def _pairs(run: str) -> str:
    if len(run) == 1:
        return ""
    return '"' + " ".join(pairs(run)) + '"'


def _found(message: Message, rank: float, places: re.Pattern[str] | None) -> Found:
    content = message.content[:INDEXED]
    found = [match.span() for match in places.finditer(content)] if places else []
    start = max(0, found[0][0] - SNIPPET // 4) if found else 0
    snippet = content[start : start + SNIPPET]
    matches = [(one - start, other - start) for one, other in found if other - start <= len(snippet)]
    return Found(message, snippet, matches, round(rank, 6))


def _pattern(query: str) -> re.Pattern[str] | None:
    """Where the words of a query stand in a text."""
    words = sorted(set(_words(query)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None


def _words(query: str) -> Iterator[str]:
    for part in query.split():
        if part.lower() != "or" and not part.startswith("-"):
            yield from WORD.findall(part)


_SEARCH = """
WITH wanted AS (
    SELECT websearch_to_tsquery('simple', %(words)s) AS words,
        to_tsquery('simple', %(single)s) AS single,
        %(in_session)s::tsquery AS place
), matching AS (
    SELECT message.id, message.terms, wanted.words && wanted.single AS query
    FROM runs_message message
    JOIN runs_session session ON session.id = message.session_id, wanted
    WHERE message.terms @@ (wanted.words && wanted.single && wanted.place)
    AND message.active
    AND numnode(wanted.words && wanted.single) > 0
    AND session.workspace_id = %(workspace)s
    AND (%(owner)s::uuid IS NULL OR session.user_id = %(owner)s::uuid)
    AND (%(session)s::uuid IS NULL OR session.id = %(session)s::uuid)
    AND (%(since)s::timestamptz IS NULL OR message.created_at >= %(since)s::timestamptz)
    AND (%(until)s::timestamptz IS NULL OR message.created_at < %(until)s::timestamptz)
    ORDER BY message.id DESC
    LIMIT %(ranked)s
)
SELECT id, ts_rank_cd(terms, query) AS rank, count(*) OVER () AS total
FROM matching ORDER BY rank DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s
"""
