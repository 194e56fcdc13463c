"""The file of a backup: written from beginning to end, so that it can go through a pipe; proven before it is read."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Self

from agentplatform.backup.errors import BackupError

DATABASE, SECRETS, SUMS, MANIFEST = "database.dump", "secrets.json", "SHA256SUMS", "manifest.json"
FILES = "files/"
FORMAT = 1
BLOCK_BYTES = 256 * 1024


@contextmanager
def complete_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file that gets its name when the block has ended well. Raises BackupError where there is one already."""
    if path.exists():
        raise BackupError(f"{path} exists already. Choose another name, or remove it first.")
    try:
        descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    except OSError as error:
        raise BackupError(f"{path.parent} cannot be written to: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(scratch)


class ArchiveWriter:
    """Writes the parts one after the other into any stream. `close` writes the sums and the manifest."""

    def __init__(self, stream: IO[bytes]) -> None:
        # What pg_dump writes is compressed already, and so is most of what people upload.
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED)
        self._sums: list[str] = []

    def add(self, name: str, blocks: Iterable[bytes]) -> int:
        """Writes a part; the number of its bytes."""
        size, digest = 0, hashlib.sha256()
        with self._zip.open(_entry(name), "w", force_zip64=True) as part:
            for block in blocks:
                part.write(block)
                digest.update(block)
                size += len(block)
        self._sums.append(f"{digest.hexdigest()}  {name}\n")
        return size

    def close(self, manifest: dict[str, Any]) -> str:
        """Ends the file; the manifest's SHA-256."""
        sums = "".join(self._sums).encode()
        text = (
            json.dumps({**manifest, "sums_sha256": hashlib.sha256(sums).hexdigest()}, indent=2).encode()
            + b"\n"
        )
        self._zip.writestr(_entry(SUMS), sums)
        self._zip.writestr(_entry(MANIFEST), text)
        self._zip.close()
        return hashlib.sha256(text).hexdigest()


class ArchiveReader:
    """A backup that is opened for reading. Raises BackupError where it is none, or not a whole one."""

    def __init__(self, path: Path) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
            self.manifest: dict[str, Any] = json.loads(self._zip.read(MANIFEST))
        except FileNotFoundError as error:
            raise BackupError(f"{path}: there is no such file.") from error
        except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
            raise BackupError(
                f"{path} is not a whole backup: it was broken off, or is something else ({error})."
            ) from error
        if self.manifest.get("format") != FORMAT:
            raise BackupError(
                f"{path} has format {self.manifest.get('format')}, and this version reads {FORMAT}."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def verify(self) -> None:
        """Reads all of it. Raises BackupError unless every part is there, and is what was written."""
        try:
            sums = self._zip.read(SUMS)
            known = {name: digest for digest, name in map(_split, sums.decode().splitlines())}
            is_right = hashlib.sha256(sums).hexdigest() == self.manifest["sums_sha256"]
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise BackupError(f"The backup is damaged: {SUMS} cannot be read.") from error
        names = [info.filename for info in self._zip.infolist() if info.filename not in (SUMS, MANIFEST)]
        if not is_right or sorted(known) != sorted(names) or DATABASE not in known:
            raise BackupError("The backup is damaged: its parts are not those that its manifest knows.")
        for name, digest in known.items():
            if self._digest(name) != digest:
                raise BackupError(f"The backup is damaged: {name} is not what was written.")

    def blocks(self, name: str) -> Iterator[bytes]:
        with self._zip.open(name) as part:
            while block := part.read(BLOCK_BYTES):
                yield block

    def files(self) -> Iterator[str]:
        """The names, in the storage, of the files that are in it."""
        for info in self._zip.infolist():
            if info.filename.startswith(FILES):
                yield info.filename.removeprefix(FILES)

    def open_file(self, name: str) -> IO[bytes]:
        return self._zip.open(FILES + name)

    def _digest(self, name: str) -> str | None:
        digest = hashlib.sha256()
        try:
            for block in self.blocks(name):
                digest.update(block)
        except zipfile.BadZipFile:
            return None
        return digest.hexdigest()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, time.gmtime()[:6])
    entry.external_attr = 0o600 << 16
    return entry


def _split(line: str) -> tuple[str, str]:
    digest, _, name = line.partition("  ")
    return digest, name
