"""A conversation as a file, in constant memory: read a page of messages at a time, and written as it is read.

JSON, JSON Lines, CSV (safe for spreadsheets) and Markdown. A message that comes while the file is written is in it or
not, none is twice.
"""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db.models import QuerySet

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.csv_stream import FORMULA
from runs.models import Message, Session

PAGE = 200
COLUMNS = ("id", "created_at", "source", "type", "content", "thought", "run_id", "models_usage", "metadata")
# PostgreSQL's regular expressions write characters as Python's do.
_FORMULA = re.compile(FORMULA)
_HEADING = re.compile(r"^(#{1,6} )", re.MULTILINE)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Format:
    """How a conversation is written: `begin`, then each page with `write`, then `end`."""

    content_type: str
    begin: Callable[[Session], str]
    write: Callable[[list[Json], bool], str]
    """Gets the messages, and whether they are the first."""
    end: str = ""


async def pieces(session: Session, messages: QuerySet[Message], name: str) -> AsyncIterator[bytes]:
    """The file in pieces. `messages` are narrowed already, in any order."""
    chosen = formats[name]
    yield chosen.begin(session).encode()
    ordered, after, is_first = messages.order_by("created_at", "id"), None, True
    while page := await in_thread(_page, ordered, after):
        yield chosen.write([_values(message) for message in page], is_first).encode()
        after, is_first = (page[-1].created_at, page[-1].pk), False
    yield chosen.end.encode()


def filename(session: Session, name: str) -> str:
    """Of ASCII letters, whatever the conversation is called."""
    title = re.sub(r"[^A-Za-z0-9]+", "-", session.title).strip("-").lower()[:50]
    return f"{title or 'session'}-{str(session.pk)[:8]}.{name}"


def _page(messages: QuerySet[Message], after: tuple[Any, uuid.UUID] | None) -> list[Message]:
    if after:
        created_at, key = after
        messages = messages.extra(
            where=["(runs_message.created_at, runs_message.id) > (%s, %s)"], params=[created_at, key]
        )
    return list(messages[:PAGE])


def _values(message: Message) -> Json:
    return {name: getattr(message, name) for name in COLUMNS}


def _head(session: Session) -> Json:
    return {"id": session.pk, "name": session.title, "created_at": session.created_at}


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def _json_page(messages: list[Json], is_first: bool) -> str:
    return ("" if is_first else ",") + ",".join(map(_text, messages))


def _lines(messages: list[Json], is_first: bool) -> str:
    return "".join(f"{_text(message)}\n" for message in messages)


def _csv_page(messages: list[Json], is_first: bool) -> str:
    return _csv([[_cell(message[name]) for name in COLUMNS] for message in messages])


def _csv(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """Without danger: an apostrophe goes before what a spreadsheet would take for a formula."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return _text(value).strip('"')


def _markdown_page(messages: list[Json], is_first: bool) -> str:
    return "".join(map(_markdown, messages))


def _markdown(message: Json) -> str:
    """Headings of a message would read as the document's own, so they are put off by a backslash."""
    said = _HEADING.sub(r"\\\1", message["content"])
    moment = message["created_at"].isoformat(timespec="seconds")
    return f"## {_one_line(message['source'])} · {moment}\n\n{said}\n\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


formats: dict[str, Format] = {
    "json": Format(
        "application/json",
        lambda session: f'{{"session":{_text(_head(session))},"messages":[',
        _json_page,
        "]}\n",
    ),
    "jsonl": Format("application/x-ndjson", lambda session: "", _lines),
    "csv": Format("text/csv; charset=utf-8", lambda session: _csv([COLUMNS]), _csv_page),
    "md": Format(
        "text/markdown; charset=utf-8", lambda session: f"# {_one_line(session.title)}\n\n", _markdown_page
    ),
}
