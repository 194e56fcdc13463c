"""Query sets as CSV or JSON Lines of any length, in constant memory.

PostgreSQL writes the file: `COPY (query) TO STDOUT` sends rows as they are found and waits while nobody
takes them, so memory stays as constant as with a server-side cursor, while no row is ever decoded,
made into Python objects and encoded again: that is several times as fast. The query is the query
set's own, so an export selects exactly what the totals over the same query set count.

The rows are read in a thread of the stream's own, because a transaction belongs to one thread; it reads
one block ahead and no further, so a slow client slows down the database and fills nothing. The transaction is
REPEATABLE READ and READ ONLY (`snapshot`): the file shows one moment. A failure after the first byte breaks the
connection off, so that a part is never taken for the whole.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

from django.db import close_old_connections, connection, transaction
from django.db.backends.postgresql.psycopg_any import mogrify
from django.db.models import CharField, Func, QuerySet
from django.http import StreamingHttpResponse

from agentplatform.lib.errors import RateLimited

BLOCK_BYTES = 128 * 1024
# Each stream holds a database connection for as long as its client reads.
AT_ONCE = 4
# A client that takes nothing for so long is given up, and so is an export that takes so long as a whole.
IDLE_SECONDS = 60
STATEMENT_TIMEOUT = "30min"

logger = logging.getLogger(__name__)

# A spreadsheet takes a cell for a formula by its first character, full-width forms included, and may
# skip blanks and invisible characters before it.
INVISIBLE = r"\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff"
FORMULA = rf"^([\t\r\n]|[{INVISIBLE}]*[=+\-@\uff1d\uff0b\uff0d\uff20])"


class SafeText(Func):
    """A text column without danger: an apostrophe goes before what a spreadsheet would take for a formula.

    Takes a plain column. Empty text becomes NULL, an empty cell without quotes. Most texts begin with a
    letter: those are told by their byte order, which costs a tenth of the regular expression.
    """

    template = (
        "CASE WHEN %(expressions)s >= 'A' COLLATE \"C\" AND %(expressions)s < '{' COLLATE \"C\""
        " THEN %(expressions)s"
        f" WHEN %(expressions)s ~ '{FORMULA}' THEN '''' || %(expressions)s"
        " ELSE NULLIF(%(expressions)s, '') END"
    )
    output_field = CharField()


class UtcTimestamp(Func):
    """A moment as ISO 8601 in UTC, with milliseconds: `2026-11-21T08:30:00.125Z`."""

    template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
    output_field = CharField()


class LocalTimestamp(Func):
    """A moment as ISO 8601 in the time zone of the transaction, with its offset: `2026-11-21T09:30:00.125+01:00`."""

    template = """to_char(%(expressions)s, 'YYYY-MM-DD"T"HH24:MI:SS.MSTZH:TZM')"""
    output_field = CharField()


class PlainDecimal(Func):
    """A decimal without trailing zeros and never with an exponent."""

    function = "trim_scale"


_under_way: set[object] = set()


def require_room() -> None:
    """Raises RateLimited while as many streams are being read as this process allows."""
    if len(_under_way) >= AT_ONCE:
        raise RateLimited("Other exports are being downloaded. Try again in a few seconds.", retry_after=5)


class RowStream:
    """`head`, and then what a `COPY` sends, in blocks of bytes. Iterate it once.

    `copy` makes the statement. `planner` are PostgreSQL settings for this query, by name.
    """

    def __init__(self, head: bytes, copy: Callable[[], str], planner: Mapping[str, str]) -> None:
        self._head = head
        self._copy = copy
        self._settings = planner
        self._blocks = self._read()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="csv")
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()

        def read_on() -> asyncio.Future[bytes | None]:
            return loop.run_in_executor(self._thread, next, self._blocks, None)

        ahead = read_on()
        try:
            while (block := await ahead) is not None:
                ahead = read_on()
                impatience = loop.call_later(IDLE_SECONDS, self.close)
                try:
                    yield block
                finally:
                    impatience.cancel()
                if self._closed:
                    raise ConnectionAbortedError(f"The client took nothing for {IDLE_SECONDS} seconds.")
        finally:
            ahead.cancel()
            self.close()

    def close(self) -> None:
        """Ends the query and gives the connection back, after the block under way. May be repeated."""
        if not self._closed:
            self._closed = True
            self._thread.submit(self._blocks.close)
            self._thread.shutdown(wait=False)

    def _read(self) -> Generator[bytes]:
        _under_way.add(self)
        try:
            with snapshot(self._settings), closing(copied(self._copy())) as blocks:
                # Asked for before the head is sent: what is wrong with the query is known by then.
                first = next(blocks, b"")
                yield self._head
                if first:
                    yield first
                yield from blocks
        except Exception:
            logger.exception("An export broke off.")
            raise
        finally:
            connection.close()
            _under_way.discard(self)


class CsvStream(RowStream):
    """The rows of a query set (`values_list`) as CSV, the header first."""

    def __init__(self, header: Sequence[str], rows: QuerySet[Any, Any], planner: Mapping[str, str]) -> None:
        super().__init__(csv_head(header), lambda: csv_statement(rows), planner)


@contextmanager
def snapshot(planner: Mapping[str, str]) -> Iterator[None]:
    """A transaction that reads one moment of the database, with these settings of PostgreSQL."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        configure({"statement_timeout": STATEMENT_TIMEOUT, **planner})
        yield


def configure(settings: Mapping[str, str]) -> None:
    """PostgreSQL's settings until the transaction of the caller ends."""
    with connection.cursor() as cursor:
        for name, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def csv_head(header: Sequence[str], delimiter: str = ",") -> bytes:
    return delimiter.join(header).encode() + b"\n"


def csv_statement(rows: QuerySet[Any, Any], delimiter: str = ",") -> str:
    """`COPY` of what the query set selects, as CSV."""
    return f"COPY ({_bound(rows)}) TO STDOUT WITH (FORMAT csv, DELIMITER '{delimiter}')"


def json_lines_statement(rows: QuerySet[Any, Any], names: Sequence[str]) -> str:
    """`COPY` of what the query set selects, as a JSON object per line with these names.

    It is CSV of one column whose quote and delimiter are control characters, which JSON never has in it as they are.
    """
    columns = ", ".join(map(connection.ops.quote_name, names))
    query = f"SELECT row_to_json(line) FROM ({_bound(rows)}) AS line ({columns})"  # noqa: S608
    return f"COPY ({query}) TO STDOUT WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"


def copied(statement: str) -> Generator[bytes]:
    """What a `COPY` sends, in blocks, within the transaction of the caller."""
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        yield from in_blocks(copy)


def _bound(rows: QuerySet[Any, Any]) -> str:
    """The query, its parameters bound as literals, since COPY takes none."""
    sql, parameters = rows.query.get_compiler(connection=connection, elide_empty=False).as_sql()
    connection.ensure_connection()
    return mogrify(sql, parameters, connection)


def in_blocks(pieces: Iterable[Any], size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Joins small pieces to blocks of about `size` bytes."""
    block = bytearray()
    for piece in pieces:
        block += piece
        if len(block) >= size:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def csv_response(
    stream: RowStream, filename: str, content_type: str = "text/csv; charset=utf-8"
) -> StreamingHttpResponse:
    """The stream as a download. Under ASGI it is sent as it is read."""
    # The request's own connection is not needed any more, and would otherwise be held until the client has
    # read everything; after a failure Django would not give it back at all.
    close_old_connections()
    headers = {
        "Content-Disposition": f'attachment; filename="{filename}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
        # A proxy that collects the answer would undo the streaming.
        "X-Accel-Buffering": "no",
    }
    return StreamingHttpResponse(stream, content_type=content_type, headers=headers)
