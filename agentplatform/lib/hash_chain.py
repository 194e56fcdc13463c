"""Hash chains: proof that rows which are written once were neither changed, removed nor inserted since.

Each workspace has a chain. A row that is committed lies in an outbox first (a trigger of its table puts it there);
seconds later one sealer at a time gives it the next position of its workspace and a hash over its content and the hash
before it:

    digest = SHA-256 of the row's columns as the text of a JSON array (`digest_sql`)
    hash   = SHA-256 of previous hash (32 zero bytes at first), position (8 bytes, big-endian), digest

The last hash of each batch is signed with SECRET_KEY, so that a chain made anew by somebody who has only the
database does not pass. What is removed at the very end is found by a head that was noted down before.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

GENESIS = bytes(32)
GENESIS_ID = uuid.UUID(int=0)
# Rows that are verified with one query.
BATCH = 5_000
# Rows that are sealed in one transaction: the more there are, the fewer writes have those that follow for each.
SEALED_AT_ONCE = 20_000
SALT = "agentplatform.hash_chain"
MICROSECONDS = 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'

Follower = Callable[[Sequence[uuid.UUID]], None]
"""Is given the ids of rows in the very transaction that seals them: each row once, whatever happens."""


class Seal(models.Model):
    """The place of a row in its workspace's chain. A subclass adds `workspace`, and the two as its key."""

    position = models.BigIntegerField(db_comment="1, 2, 3 … without a gap")
    record_id = models.UUIDField(unique=True)
    hash = models.BinaryField(max_length=32, db_comment="Over the hash before, the position and the row")
    format = models.PositiveSmallIntegerField(db_comment="Which columns it covers")
    signature = models.BinaryField(
        max_length=32, null=True, db_comment="HMAC of the hash with SECRET_KEY, of the last row of each batch"
    )
    sealed_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        abstract = True


class Unsealed(models.Model):
    """A committed row that waits for its seal. A trigger of its table puts it here."""

    record_id = models.UUIDField(primary_key=True)
    workspace_id = models.UUIDField()

    class Meta:
        abstract = True


@dataclass(frozen=True, slots=True)
class Chain:
    """The tables of a chain. `formats` are the columns that seals cover, by number; the highest is the one in use.

    A new column of the table is a new format; what is sealed keeps the one that it was sealed with.
    """

    records: type[models.Model]
    seals: type[Any]
    """A `Seal` with its workspace."""
    unsealed: type[models.Model]
    formats: Mapping[int, Sequence[str]]
    followers: list[Follower] = field(default_factory=list)

    @property
    def format(self) -> int:
        return max(self.formats)

    def seals_of(self, workspace_id: uuid.UUID) -> QuerySet[Any]:
        return self.seals._default_manager.filter(workspace_id=workspace_id)


chains: dict[str, Chain] = {}


def register(name: str, chain: Chain) -> Chain:
    """Makes a chain one of those that `manage.py verify_ledger` looks at."""
    chains[name] = chain
    return chain


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a workspace's chain; position 0 where nothing is sealed yet."""

    position: int = 0
    hash: bytes = GENESIS
    signature: bytes | None = None

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"


@dataclass(frozen=True, slots=True)
class Fault:
    """The first row that is not as it was sealed. `problem`: changed, removed, inserted or unsigned."""

    problem: str
    position: int | None
    record_id: uuid.UUID | None

    def __str__(self) -> str:
        place = f"position {self.position}" if self.position else "no position"
        return f"{self.problem}: row {self.record_id or 'unknown'} at {place}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. `head` is the last position that is right; without a fault all up to it are."""

    head: Head
    fault: Fault | None = None
    is_whole: bool = True
    """False: there are later positions, which were not asked for."""


def seal_next(chain: Chain) -> bool:
    """Seals up to SEALED_AT_ONCE rows that wait, those of each workspace in order of id; whether there may be more."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [chain.seals._meta.db_table]
        )
        if not cursor.fetchone()[0]:
            return False
        cursor.execute(_waiting_sql(chain), [SEALED_AT_ONCE])
        rows = cursor.fetchall()
        if not rows:
            return False
        seals = [
            seal
            for workspace_id, of_workspace in groupby(rows, key=itemgetter(0))
            for seal in _linked(chain, workspace_id, of_workspace)
        ]
        cursor.execute(_sealing_sql(chain), _columns(seals))
        ids = [seal[2] for seal in seals]
        for follow in chain.followers:
            follow(ids)
        cursor.execute(
            f"DELETE FROM {_table(chain.unsealed)} WHERE record_id = ANY(%s)",  # noqa: S608
            [ids],
        )
    return len(rows) == SEALED_AT_ONCE


def lock(chain: Chain) -> None:
    """Keeps others from sealing until the transaction ends; waits for a batch that is being sealed."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [chain.seals._meta.db_table])


def head(chain: Chain, workspace_id: uuid.UUID) -> Head:
    """The end of a workspace's chain."""
    return _head_of(chain.seals_of(workspace_id).order_by("-position"))


def waiting(chain: Chain, workspace_id: uuid.UUID) -> int:
    """How many committed rows of a workspace have no place in its chain yet."""
    return chain.unsealed._default_manager.filter(workspace_id=workspace_id).count()


def verify(
    chain: Chain, workspace_id: uuid.UUID, after: Head | None = None, limit: int | None = None
) -> Verdict:
    """Recomputes a workspace's chain from `after` on (or from its beginning), at most `limit` positions of it.

    `after` also proves that nothing was removed up to a head that was noted down earlier: where the chain has
    another hash at its position, or has not come as far, the fault says so.
    """
    known, lowest = Head(), GENESIS_ID
    if after and after.position:
        lowest = _record_at(chain, workspace_id, after.position)
        known = _at(chain, workspace_id, after.position)
        if known.hash != after.hash:
            return Verdict(Head(), _differs(chain, workspace_id, after))
    checked = 0
    while limit is None or checked < limit:
        size = BATCH if limit is None else min(BATCH, limit - checked)
        rows = _sealed(chain, workspace_id, known.position, size)
        for row in rows:
            if fault := _fault(known, row):
                return Verdict(known, fault)
            known = Head(row.position, row.hash, row.signature)
        checked += len(rows)
        if len(rows) < size:
            return Verdict(known, _fault_at_the_end(chain, workspace_id, known, lowest))
    is_whole = not chain.seals_of(workspace_id).filter(position__gt=known.position).exists()
    if is_whole:
        return Verdict(known, _fault_at_the_end(chain, workspace_id, known, lowest))
    highest = _record_at(chain, workspace_id, known.position)
    stray = _stray(chain, workspace_id, lowest, highest)
    return Verdict(known, Fault("inserted", None, stray) if stray else None, is_whole=False)


def digest_sql(chain: Chain, number: int, alias: str = "record") -> str:
    """The digest of a row of `alias`, as an SQL expression, over the columns of a format.

    Times are text in UTC with microseconds, decimals and ids text, the rest as PostgreSQL writes it into JSON.
    """
    meta = chain.records._meta
    columns = ", ".join(_canonical(meta.get_field(name), alias) for name in chain.formats[number])
    return f"sha256(convert_to(jsonb_build_array({columns})::text, 'UTF8'))"


@dataclass(frozen=True, slots=True)
class _Sealed:
    position: int
    record_id: uuid.UUID
    hash: bytes
    signature: bytes | None
    digest: bytes | None


def _linked(chain: Chain, workspace_id: uuid.UUID, rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The seals of a workspace's next rows (workspace, id, digest), the last one signed; see `_sealing_sql`.

    A row that waits and is not in its table any more gets a place all the same, so that a verification misses it.
    """
    last = head(chain, workspace_id)
    seals: list[tuple[Any, ...]] = []
    for _workspace, record_id, digest in rows:
        position = last.position + 1
        last = Head(position, _link(last.hash, position, bytes(digest or GENESIS)))
        seals.append((workspace_id, position, record_id, last.hash, chain.format, None))
    seals[-1] = (*seals[-1][:-1], _sign(last.hash, settings.SECRET_KEY))
    return seals


def _link(previous: bytes, position: int, digest: bytes) -> bytes:
    return hashlib.sha256(previous + position.to_bytes(8, "big") + digest).digest()


def _sign(hash_: bytes, key: str | bytes) -> bytes:
    return salted_hmac(SALT, hash_, secret=key, algorithm="sha256").digest()


def _is_signed(last: Head) -> bool:
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return last.signature is not None and any(
        hmac.compare_digest(_sign(last.hash, key), last.signature) for key in keys
    )


def _fault(before: Head, row: _Sealed) -> Fault | None:
    if row.position != before.position + 1:
        return Fault("removed", before.position + 1, None)
    if row.digest is None:
        return Fault("removed", row.position, row.record_id)
    if _link(before.hash, row.position, row.digest) != row.hash:
        return Fault("changed", row.position, row.record_id)
    return None


def _fault_at_the_end(chain: Chain, workspace_id: uuid.UUID, last: Head, lowest: uuid.UUID) -> Fault | None:
    """What the end of a chain can show: that nobody signed it, and rows from `lowest` on that are in no chain."""
    if last.position and not _is_signed(last):
        return Fault("unsigned", last.position, None)
    stray = _stray(chain, workspace_id, lowest)
    return Fault("inserted", None, stray) if stray else None


def _at(chain: Chain, workspace_id: uuid.UUID, position: int) -> Head:
    """The chain up to a position; its beginning where it has not come as far."""
    return _head_of(chain.seals_of(workspace_id).filter(position=position))


def _head_of(seals: QuerySet[Any]) -> Head:
    found = seals.values_list("position", "hash", "signature").first()
    return Head(found[0], bytes(found[1]), found[2] and bytes(found[2])) if found else Head()


def _differs(chain: Chain, workspace_id: uuid.UUID, noted: Head) -> Fault:
    """What is wrong where the chain is not, at a noted position, what it was."""
    here = chain.seals_of(workspace_id).filter(position=noted.position).values_list("record_id", flat=True)
    if record_id := here.first():
        return Fault("changed", noted.position, record_id)
    last = head(chain, workspace_id).position
    return Fault("removed", min(last + 1, noted.position), None)


def _record_at(chain: Chain, workspace_id: uuid.UUID, position: int) -> uuid.UUID:
    found = chain.seals_of(workspace_id).filter(position=position).values_list("record_id", flat=True)
    return found.first() or GENESIS_ID


def _stray(
    chain: Chain, workspace_id: uuid.UUID, lowest: uuid.UUID, highest: uuid.UUID | None = None
) -> uuid.UUID | None:
    """A row of these ids that has no seal and does not wait for one. Ids grow with time, more or less as positions do,
    so that a verification in parts looks at each row once.
    """
    sql = f"""
        SELECT record.id FROM {_table(chain.records)} record
        WHERE record.workspace_id = %s AND record.id >= %s AND (%s::uuid IS NULL OR record.id <= %s)
        AND NOT EXISTS (SELECT FROM {_table(chain.seals)} seal WHERE seal.record_id = record.id)
        AND NOT EXISTS (SELECT FROM {_table(chain.unsealed)} waiting WHERE waiting.record_id = record.id)
        LIMIT 1
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [workspace_id, lowest, highest, highest])
        found = cursor.fetchone()
    return found[0] if found else None


def _waiting_sql(chain: Chain) -> str:
    # The row of the smallest ids first, so that what has waited longest is sealed first.
    return f"""
        WITH batch AS (SELECT record_id, workspace_id FROM {_table(chain.unsealed)} ORDER BY record_id LIMIT %s)
        SELECT batch.workspace_id, batch.record_id,
            CASE WHEN record.id IS NOT NULL THEN {digest_sql(chain, chain.format)} END
        FROM batch LEFT JOIN {_table(chain.records)} record ON record.id = batch.record_id
        ORDER BY 1, 2
    """  # noqa: S608


def _sealing_sql(chain: Chain) -> str:
    # Thousands of rows as six arrays: ten times as fast as a bulk_create.
    return f"""
        INSERT INTO {_table(chain.seals)}
            (workspace_id, position, record_id, hash, format, signature, sealed_at)
        SELECT seal.*, now()
        FROM unnest(%s::uuid[], %s::bigint[], %s::uuid[], %s::bytea[], %s::smallint[], %s::bytea[]) seal
    """  # noqa: S608


def _columns(seals: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*seals, strict=True)]


def _sealed(chain: Chain, workspace_id: uuid.UUID, after: int, limit: int) -> list[_Sealed]:
    """The seals after a position, with the digest that their row has now; None where it is gone."""
    by_format = " ".join(f"WHEN {number} THEN {digest_sql(chain, number)}" for number in chain.formats)
    sql = f"""
        SELECT seal.position, seal.record_id, seal.hash, seal.signature,
            CASE WHEN record.id IS NULL THEN NULL ELSE CASE seal.format {by_format} END END
        FROM {_table(chain.seals)} seal LEFT JOIN {_table(chain.records)} record ON record.id = seal.record_id
        WHERE seal.workspace_id = %s AND seal.position > %s ORDER BY seal.position LIMIT %s
    """  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [workspace_id, after, limit])
        return [
            _Sealed(position, record_id, bytes(hash_), _bytes(signature), _bytes(digest))
            for position, record_id, hash_, signature, digest in cursor.fetchall()
        ]


def _bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def _canonical(column: Any, alias: str) -> str:
    name = f"{alias}.{connection.ops.quote_name(column.column)}"
    if isinstance(column, models.DateTimeField):
        return f"to_char({name} AT TIME ZONE 'UTC', '{MICROSECONDS}')"
    return f"{name}::text" if isinstance(column, models.DecimalField) else name


def _table(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)
