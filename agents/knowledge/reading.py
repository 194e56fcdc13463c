"""Has a document read by a process of its own, with limits, and takes its chunks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings

from agents.knowledge.chunking import Piece
from agents.knowledge.media import Unreadable

MOST_CHUNKS = 50_000
LONGEST_LINE = 1_000_000
# Nothing of the platform's environment, where secrets are. Windows finds its own libraries by this one.
KEPT_VARIABLES = ("SYSTEMROOT", "LD_LIBRARY_PATH", "TMPDIR")


async def read(data: bytes, media_type: str, size: int, overlap: int) -> list[Piece]:
    """The chunks of a document. Raises Unreadable, with what is wrong with it for whoever has sent it."""
    seconds = settings.DOCUMENT_PARSE_SECONDS
    options = {
        "media_type": media_type,
        "size": size,
        "overlap": min(overlap, size // 2),
        "memory": settings.DOCUMENT_PARSE_MEMORY,
        "seconds": seconds,
        "chunks": MOST_CHUNKS,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "agents.knowledge.reader", json.dumps(options)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=LONGEST_LINE,
        cwd=settings.BASE_DIR,
        env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | {"PYTHONUTF8": "1"},
    )
    try:
        async with asyncio.timeout(seconds):
            pieces, end = await _talk(process, data)
    except TimeoutError as error:
        raise Unreadable(f"Reading it takes more than {seconds} seconds. Send it in parts.") from error
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if end is None:
        raise Unreadable("Reading it takes more time or memory than a document may. Send it in parts.")
    if "error" in end:
        raise Unreadable(end["error"])
    return pieces


async def _talk(
    process: asyncio.subprocess.Process, data: bytes
) -> tuple[list[Piece], dict[str, Any] | None]:
    """The chunks, and how it has ended; None: in the middle."""
    assert process.stdin
    assert process.stdout
    # It may be gone before it has taken everything.
    with suppress(ConnectionError):
        process.stdin.write(data)
        await process.stdin.drain()
        process.stdin.close()
    pieces: list[Piece] = []
    while line := await process.stdout.readline():
        said = json.loads(line)
        if isinstance(said, dict):
            return pieces, said
        pieces.append(Piece(*said))
    return pieces, None
