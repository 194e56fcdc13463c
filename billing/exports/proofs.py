"""Whether a file is as it was exported, and the ledger still as it was then; otherwise what differs.

The hash decides. Only where it or the signature does not fit, rows and sums are counted anew from the file, to say
where to look: those of CSV and JSON Lines. A workbook's hash has to do.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, DecimalException
from typing import Any

import orjson

from agentplatform.lib.decimals import plain
from agentplatform.lib.ids import as_uuid
from billing.exports.manifests import SUMMED, is_signed
from billing.exports.options import DELIMITERS
from billing.sealing import LEDGER

Json = dict[str, Any]
Blocks = Callable[[], Iterable[bytes]]
"""The file's bytes, from the beginning each time."""
UNREADABLE = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    DecimalException,
    csv.Error,
    OSError,
    EOFError,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """`check`: signature, size, sha256, rows, sums.<name>, content or ledger."""

    check: str
    message: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found. Without differences the file is as it was exported."""

    differences: list[Difference] = field(default_factory=list)

    @property
    def is_intact(self) -> bool:
        return not self.differences


def prove(manifest: Mapping[str, Any], blocks: Blocks, *, recount: bool = True) -> Proof:
    """Compares a file, the manifest and the ledger's chain. Raises ValueError where it is no manifest of ours."""
    _require_shape(manifest)
    found = list(_of_manifest(manifest))
    found += _of_bytes(manifest, blocks())
    if found and recount:
        found += _of_content(manifest, blocks())
    return Proof([*found, *_of_ledger(manifest)])


def _require_shape(manifest: Mapping[str, Any]) -> None:
    shape = {"file": dict, "options": dict, "sums": dict, "columns": list, "ledger": dict, "rows": int}
    if wrong := [name for name, kind in shape.items() if not isinstance(manifest.get(name), kind)]:
        raise ValueError(f"It is no manifest of an export: {', '.join(wrong)} is missing.")
    if as_uuid(manifest.get("workspace_id")) is None or not isinstance(
        manifest["ledger"].get("position"), int
    ):
        raise ValueError("It is no manifest of an export: workspace_id or ledger.position is missing.")


def _of_manifest(manifest: Mapping[str, Any]) -> Iterator[Difference]:
    if not is_signed(manifest):
        yield Difference(
            "signature",
            "The manifest was changed, or another platform (another SECRET_KEY) has signed it.",
        )


def _of_bytes(manifest: Mapping[str, Any], blocks: Iterable[bytes]) -> Iterator[Difference]:
    size, digest = 0, hashlib.sha256()
    for block in blocks:
        size += len(block)
        digest.update(block)
    expected = manifest["file"]
    if size != expected.get("size"):
        yield Difference("size", f"The file has {size} bytes, exported were {expected.get('size')}.")
    if digest.hexdigest() != expected.get("sha256"):
        yield Difference(
            "sha256", f"The file's hash is {digest.hexdigest()}, exported was {expected.get('sha256')}."
        )


def _of_ledger(manifest: Mapping[str, Any]) -> Iterator[Difference]:
    """Whether the workspace's chain still has the hash at the position where it stood then."""
    said = manifest["ledger"]
    if not said.get("position"):
        return
    seals = LEDGER.seals_of(manifest["workspace_id"]).filter(position=said["position"])
    found = seals.values_list("hash", flat=True).first()
    if found is None:
        yield Difference("ledger", f"The ledger's chain does not reach position {said['position']} any more.")
    elif bytes(found).hex() != said.get("hash"):
        yield Difference(
            "ledger", f"The ledger's chain has another hash at position {said['position']} than then."
        )


# --- counting anew ---


def _of_content(manifest: Mapping[str, Any], blocks: Iterable[bytes]) -> Iterator[Difference]:
    if manifest.get("format") not in ("csv", "jsonl"):
        return
    counted = _Counted()
    try:
        for row in _rows(manifest, blocks):
            counted.add(row)
    except UNREADABLE as error:
        yield Difference("content", f"Row {counted.rows + 1} cannot be read: {error}.")
        return
    if counted.rows != manifest["rows"]:
        yield Difference("rows", f"The file has {counted.rows} rows, exported were {manifest['rows']}.")
    yield from _of_sums(manifest, counted)


@dataclass(slots=True)
class _Counted:
    rows: int = 0
    sums: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    cost: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, row: Mapping[str, Any]) -> None:
        for name in SUMMED:
            if name in row:
                self.sums[name] += int(row[name])
        if row.get("cost") and "currency" in row:
            self.cost[row["currency"]] += Decimal(row["cost"])
        self.rows += 1


def _of_sums(manifest: Mapping[str, Any], counted: _Counted) -> Iterator[Difference]:
    said, columns = manifest["sums"], set(manifest["columns"])
    for name in SUMMED:
        if name in columns and counted.sums[name] != said.get(name):
            yield Difference(
                f"sums.{name}", f"{name} adds up to {counted.sums[name]}, exported were {said.get(name)}."
            )
    if columns >= {"cost", "currency"}:
        found = {currency: plain(amount) for currency, amount in counted.cost.items()}
        if found != said.get("cost"):
            yield Difference("sums.cost", f"cost adds up to {found}, exported were {said.get('cost')}.")


def _rows(manifest: Mapping[str, Any], blocks: Iterable[bytes]) -> Iterator[Json]:
    options = manifest["options"]
    file: Any = io.BufferedReader(_Joined(blocks))
    if options.get("compression") == "gzip":
        file = gzip.GzipFile(fileobj=file)
    if manifest["format"] == "jsonl":
        yield from (orjson.loads(line) for line in file)
        return
    text = io.TextIOWrapper(file, encoding="utf-8-sig" if options.get("bom") else "utf-8", newline="")
    comma = options.get("decimal") == "comma"
    for row in csv.DictReader(text, delimiter=DELIMITERS[options["delimiter"]], strict=True):
        if comma and row.get("cost"):
            row["cost"] = row["cost"].replace(",", ".")
        yield dict(row)


class _Joined(io.RawIOBase):
    """Blocks as a file to read."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = block
        taken = self._left[: len(buffer)]
        self._left = self._left[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)
