"""Loads a dump into the database in one transaction: broken off at any moment, it leaves the database as it was.

`pg_restore` writes the dump as SQL, and `psql` executes it between a BEGIN and a COMMIT of ours, which is sent only
when all of the dump has come through and every table has as many rows as the manifest says.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from threading import Thread
from typing import IO

from agentplatform.backup.archive import BLOCK_BYTES
from agentplatform.backup.errors import BackupError
from agentplatform.backup.making import said
from agentplatform.backup.programs import Programs, address, environment
from agentplatform.backup.state import OF_EXTENSION, SCHEMA

# PostgreSQL 17 and later say it at the beginning of each dump, and those before do not know it.
UNKNOWN_TO_OLDER = b"SET transaction_timeout = 0;\n"
HEAD_BYTES = 4096

# Everything of ours, whatever version of the platform has made it; nothing of an extension.
EMPTY = f"""
DO $empty$
DECLARE statements text;
BEGIN
    SELECT string_agg(format('DROP %s IF EXISTS %s CASCADE', kind, name), '; ' ORDER BY rank) INTO statements FROM (
        SELECT CASE relkind WHEN 'S' THEN 2 ELSE 1 END AS rank, oid::regclass::text AS name,
            CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind
        FROM pg_class one
        WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND NOT {OF_EXTENSION}
        UNION ALL
        SELECT 3, oid::regprocedure::text, 'ROUTINE' FROM pg_proc one
        WHERE pronamespace = '{SCHEMA}'::regnamespace AND NOT {OF_EXTENSION}
        UNION ALL
        SELECT 4, oid::regtype::text, 'TYPE' FROM pg_type one
        WHERE typnamespace = '{SCHEMA}'::regnamespace AND NOT {OF_EXTENSION} AND (typtype IN ('e', 'd')
            OR typtype = 'c' AND EXISTS (SELECT FROM pg_class WHERE pg_class.oid = typrelid AND relkind = 'c'))
    ) things;
    EXECUTE coalesce(statements, 'SELECT 1');
END $empty$;
"""  # noqa: S608
PROOF = """
DO $proof$
DECLARE
    one record;
    found bigint;
BEGIN
    FOR one IN SELECT key AS name, value::bigint AS rows FROM jsonb_each_text({rows}::jsonb) LOOP
        EXECUTE format('SELECT count(*) FROM {schema}.%I', one.name) INTO found;
        IF found <> one.rows THEN
            RAISE EXCEPTION 'The table % has % rows, and the backup says %.', one.name, found, one.rows;
        END IF;
    END LOOP;
END $proof$;
"""


# Indexes of vectors in the dump need it; it is not in the dump, because another server need not have it.
EXTENSION = """
DO $extension$ BEGIN
    CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public;
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'pgvector cannot be created: %', SQLERRM;
END $extension$;
"""


def load(programs: Programs, dump: Iterable[bytes], rows: dict[str, int], *, empties: bool) -> None:
    """Loads `dump`; `empties`: in the place of what is there. Raises BackupError, and then nothing has changed."""
    with ExitStack() as stack:
        complaints = stack.enter_context(tempfile.TemporaryFile())
        options = (
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--no-password",
            f"--dbname={address()}",
        )
        psql = stack.enter_context(
            subprocess.Popen(
                programs.command("psql", *options, "--file=-"),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                env=environment(),
            )
        )
        assert psql.stdin is not None
        try:
            with suppress(BrokenPipeError), psql.stdin as statements:
                statements.write(b"BEGIN;\n" + (EMPTY.encode() if empties else b"") + EXTENSION.encode())
                for block in _as_sql(programs, dump):
                    statements.write(block)
                statements.write(_proof(rows).encode() + b"COMMIT;\n")
        except BaseException:
            # Without its COMMIT the server takes everything back.
            psql.kill()
            raise
        if psql.wait():
            raise BackupError(
                f"The backup could not be loaded; the database is as it was. {said(complaints)}"
            )


def _as_sql(programs: Programs, dump: Iterable[bytes]) -> Iterator[bytes]:
    """What pg_restore makes of the dump. Raises BackupError where it does not come to the dump's end."""
    options = ("--format=custom", "--no-owner", "--no-privileges", "--file=-")
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            programs.command("pg_restore", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=environment(),
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        feeding = Thread(target=_feed, args=(dump, process.stdin), daemon=True)
        feeding.start()
        try:
            head = process.stdout.read(HEAD_BYTES)
            yield head.replace(UNKNOWN_TO_OLDER, b"", 1)
            while block := process.stdout.read(BLOCK_BYTES):
                yield block
        except BaseException:
            process.kill()
            raise
        feeding.join()
        if process.wait():
            raise BackupError(
                f"pg_restore {programs.version} cannot read the backup's dump; the database is as it was."
                f" {said(complaints)}"
            )


def _feed(dump: Iterable[bytes], pipe: IO[bytes]) -> None:
    # Whatever ends it early ends pg_restore with an error, which is what is told.
    with suppress(OSError, ValueError), pipe:
        for block in dump:
            pipe.write(block)


def _proof(rows: dict[str, int]) -> str:
    """A statement that fails unless each table has as many rows as it had."""
    return PROOF.format(rows=_literal(json.dumps(rows)), schema=SCHEMA)


def _literal(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))
