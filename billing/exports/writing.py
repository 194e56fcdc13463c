"""Writes an export into a file, with its manifest, from one snapshot of the database and in constant memory."""

from __future__ import annotations

import gzip
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import IO, Any

from django.conf import settings

from agentplatform.lib.csv_stream import configure, copied, snapshot
from agentplatform.lib.errors import PayloadTooLarge
from billing.exports import manifests, streams
from billing.exports.columns import raw
from billing.exports.manifests import Json, Order
from billing.exports.workbooks import MOST_ROWS, Workbook

FETCHED_AT_ONCE = 2_000
BLOCK_BYTES = 1024 * 1024
MOST_SHEETS = 4
MOST_SMALL_ROWS = 20_000
# Of gzip: nearly as small as the best, in a fraction of the time.
GZIP_LEVEL = 4

Progress = Callable[[int], None]
"""Is told how many rows are written, about; may raise to stop."""


def write(order: Order, file: IO[bytes], progress: Progress) -> Json:
    """Writes the file and answers its manifest. Raises PayloadTooLarge."""
    with snapshot(streams.planner(order.of_one_run)):
        manifest = manifests.begun(order)
        sink = _Sink(file)
        if order.options.format == "xlsx":
            _write_workbook(order, manifest, file, progress)
            sink.take_all()
        else:
            _write_lines(order, sink, progress)
    name = order.options.filename(order.workspace.slug, order.period)
    return manifests.finished(manifest, name, sink.size, sink.digest.hexdigest())


@contextmanager
def scratch() -> Iterator[IO[bytes]]:
    """A file without a name, so that nothing is left of it whatever happens to this process."""
    with tempfile.TemporaryFile(dir=settings.EXPORT_TEMP_DIR or None) as file:
        yield file


def small_workbook(order: Order) -> IO[bytes]:
    """A workbook while somebody waits, as a file without a name, at its beginning. Raises PayloadTooLarge.

    It is small, because nothing of it can be sent before all of it is made.
    """
    if order.records.order_by()[: MOST_SMALL_ROWS + 1].count() > MOST_SMALL_ROWS:
        raise PayloadTooLarge(
            f"A workbook is made at once of at most {MOST_SMALL_ROWS:,} rows. Take a shorter period, or csv or "
            "jsonl, or have it made in the background: POST /billing/exports."
        )
    file = tempfile.TemporaryFile(dir=settings.EXPORT_TEMP_DIR or None)  # noqa: SIM115
    try:
        write(order, file, lambda rows: None)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


class _Sink:
    """Counts and hashes what is written into a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()

    def write(self, block: bytes) -> int:
        self._file.write(block)
        self._count(block)
        return len(block)

    def take_all(self) -> None:
        """Of a file that somebody else has written."""
        self._file.seek(0)
        while block := self._file.read(BLOCK_BYTES):
            self._count(block)

    def flush(self) -> None:
        self._file.flush()

    def _count(self, block: bytes) -> None:
        self.size += len(block)
        self.digest.update(block)
        require_size(self.size)


def require_size(size: int) -> None:
    if size > settings.EXPORT_MAX_BYTES:
        raise PayloadTooLarge(
            f"The file would have more than {settings.EXPORT_MAX_BYTES:,} bytes. Take a shorter period, fewer columns "
            "or compression, or raise EXPORT_MAX_BYTES."
        )


def _write_lines(order: Order, sink: _Sink, progress: Progress) -> None:
    rows = 0
    out: Any = sink
    if order.options.compression == "gzip":
        # Without a time of its own, so that the same rows make the same file.
        out = gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=GZIP_LEVEL, mtime=0)
    out.write(streams.head(order.options))
    configure(streams.zone(order.options))
    statement = streams.statement(order.records, order.workspace.slug, order.options)
    with closing(copied(statement)) as blocks:
        for block in blocks:
            out.write(block)
            rows += block.count(b"\n")
            progress(rows)
    if out is not sink:
        out.close()
    sink.flush()


def _write_workbook(order: Order, manifest: Json, file: IO[bytes], progress: Progress) -> None:
    if manifest["rows"] > MOST_SHEETS * MOST_ROWS:
        raise PayloadTooLarge(
            f"A workbook has at most {MOST_SHEETS * MOST_ROWS:,} rows here, on {MOST_SHEETS} sheets, and these are "
            f"{manifest['rows']:,}. Take a shorter period, or csv or jsonl."
        )
    columns, slug = order.options.chosen, order.workspace.slug
    found = order.records.order_by("timestamp", "id").values_list(*raw(columns, slug))
    with tempfile.TemporaryDirectory(dir=settings.EXPORT_TEMP_DIR or None) as folder:
        book = Workbook(file, columns, order.options.tz, folder)
        for rows, _ in enumerate(book.write(found.iterator(chunk_size=FETCHED_AT_ONCE)), start=1):
            if rows % FETCHED_AT_ONCE == 0:
                progress(rows)
        book.close(about(manifest))


def about(manifest: Json) -> dict[str, str]:
    """What a workbook says of itself; amounts exactly."""
    found = {
        "Workspace": manifest["workspace"],
        "Snapshot at": manifest["snapshot_at"],
        "Time zone": manifest["options"]["tz"],
        "Rows": str(manifest["rows"]),
    }
    found |= {f"Filter {name}": str(value) for name, value in manifest["filters"].items()}
    found |= {f"Sum of {name}": str(value) for name, value in manifest["sums"].items() if name != "cost"}
    return found | {f"Cost in {name}": value for name, value in manifest["sums"]["cost"].items()}
