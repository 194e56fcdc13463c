"""Files in the storage that `STORAGE_URL` names: what goes wrong there is one kind of error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.core.files.storage import default_storage

from agentplatform.lib.errors import ServiceUnavailable

logger = structlog.get_logger(__name__)

BLOCK_BYTES = 256 * 1024


def read_blocks(name: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """A stored file's bytes from `start` on, `length` of them or all, in blocks."""
    # Opening a file of a bucket would fetch it whole; a bucket itself answers a part.
    return (
        _of_bucket(name, start, length)
        if hasattr(default_storage, "bucket")
        else _of_file(name, start, length)
    )


def _of_file(name: str, start: int, length: int | None) -> Iterator[bytes]:
    with default_storage.open(name) as file:
        file.seek(start)
        left = length
        while left != 0:
            block: bytes = file.read(BLOCK_BYTES if left is None else min(BLOCK_BYTES, left))
            if not block:
                return
            if left is not None:
                left -= len(block)
            yield block


def _of_bucket(name: str, start: int, length: int | None) -> Iterator[bytes]:
    if length == 0:
        return
    storage: Any = default_storage
    key = storage._normalize_name(name)
    end = "" if length is None else start + length - 1
    body = storage.bucket.Object(key).get(Range=f"bytes={start}-{end}")["Body"]
    try:
        yield from body.iter_chunks(BLOCK_BYTES)
    finally:
        body.close()


@contextmanager
def reaching_storage(verb: str) -> Iterator[None]:
    """Whatever goes wrong with the storage, of whichever kind it is, is a 503 and a line in the log."""
    try:
        yield
    except Exception as error:
        logger.error("storage_failed", verb=verb, error=f"{type(error).__name__}: {error}"[:500])
        raise ServiceUnavailable("The storage of files does not answer at the moment. Try again.") from error
