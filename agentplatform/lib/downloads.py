"""Stored files as downloads that can be resumed: one range of bytes, and tags by which a changed file is known.

A request for several ranges, or for one that makes no sense, gets the whole file, as HTTP permits.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import IO

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags

from agentplatform.lib.storage import BLOCK_BYTES, reaching_storage, read_blocks

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the storage, and what is known of it."""

    stored_as: str
    name: str
    content_type: str
    size: int
    sha256: str

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'


class Unsatisfiable(Exception):
    """The range begins behind the end."""


def download(method: str, headers: Mapping[str, str], file: StoredFile) -> HttpResponseBase:
    """The answer to GET or HEAD. Raises ServiceUnavailable where the storage has nothing to give."""
    if file.etag in parse_etags(headers.get("If-None-Match", "")):
        return _finished(HttpResponse(status=304), file)
    try:
        part = _part(headers, file)
    except Unsatisfiable:
        response = HttpResponse(status=416)
        response["Content-Range"] = f"bytes */{file.size}"
        return _finished(response, file)
    start, end = part or (0, file.size)
    response = (
        HttpResponse() if method == "HEAD" else StreamingHttpResponse(_sent(_begun(file, start, end - start)))  # type: ignore[assignment]
    )
    response["Content-Length"] = str(end - start)
    if part:
        response.status_code = 206
        response["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    return _finished(response, file)


def passing(file: IO[bytes], name: str, content_type: str) -> HttpResponseBase:
    """A file without a name, from its beginning, which is closed when it is sent."""
    response = StreamingHttpResponse(_sent(_read(file)), content_type=content_type)
    response["Content-Length"] = str(os.fstat(file.fileno()).st_size)
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response


def _read(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _part(headers: Mapping[str, str], file: StoredFile) -> tuple[int, int] | None:
    """The bytes that are asked for, without the last; None: all."""
    found = _RANGE.match(headers.get("Range", "").strip())
    if not found or headers.get("If-Range", file.etag).strip() != file.etag:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        if not int(last):
            raise Unsatisfiable
        return max(0, file.size - int(last)), file.size
    start, end = int(first), min(int(last) + 1, file.size) if last else file.size
    if last and int(last) < start:
        return None
    if start >= file.size:
        raise Unsatisfiable
    return start, end


def _begun(file: StoredFile, start: int, length: int) -> Iterator[bytes]:
    """The blocks, the first one read already: a file that is not there is an error, not a broken download."""
    blocks = read_blocks(file.stored_as, start, length)
    with reaching_storage("read"):
        first = next(blocks, b"")
    return _chained(first, blocks)


def _chained(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from blocks


async def _sent(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block


def _finished(response: HttpResponseBase, file: StoredFile) -> HttpResponseBase:
    response["Content-Type"] = file.content_type
    disposition = content_disposition_header(True, file.name)
    response["Content-Disposition"] = disposition or "attachment"
    response["ETag"] = file.etag
    response["Accept-Ranges"] = "bytes"
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-cache"
    response["X-Accel-Buffering"] = "no"
    return response
