"""Files that nobody but their owner reads."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write `path` with mode 0600, whole or not at all; an older file is replaced, a missing folder made (0700)."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.replace(_scratch(path, text), path)


def create_private(path: Path, text: str) -> None:
    """Write `path` with mode 0600 unless it exists. Several processes may do this at once: one is first."""
    scratch = _scratch(path, text)
    try:
        with suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        scratch.unlink()


def _scratch(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(name)
