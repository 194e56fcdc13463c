"""The database: whether it answers, safely and soon, knows the schema, and has room and rights for the platform."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
from django.db import connection

from agentplatform.doctor.examination import Check, Finding, ok, problem, warning
from agentplatform.migrating import missing_migrations
from runs.models import Worker

OLDEST_MAJOR = 14
SLOW_MILLISECONDS = 20
CONNECT_SECONDS = 5
SKEW_SECONDS, BAD_SKEW_SECONDS = 2, 30
FULL = 0.8
# What a worker has besides its pool: the queue's connections, and the heartbeat's.
OF_WORKER = 5
APPEND_ONLY = ("billing_usagerecord", "billing_ledgerseal")
REACH = "database.reach"
REMEDY = "Check DATABASE_URL, the server, and the network between: psql must get in with the same address."


def ask(query: str, *arguments: Any) -> Any:
    """The only row of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchone()


def look_at_reach() -> Iterator[Finding]:
    """With a connection of its own: the pool would only say that it has none."""
    parameters = connection.get_connection_params() | {"connect_timeout": CONNECT_SECONDS}
    with psycopg.connect(**{**parameters, "autocommit": True}) as server:
        started = time.perf_counter()
        row = server.execute("SELECT current_setting('server_version'), 1").fetchone()
        milliseconds = (time.perf_counter() - started) * 1000
    assert row
    version = row[0].split()[0]
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        yield problem(f"The server is PostgreSQL {version}.", f"Use PostgreSQL {OLDEST_MAJOR} or newer.")
    if milliseconds > SLOW_MILLISECONDS:
        yield warning(
            f"A query takes {milliseconds:.0f} ms.",
            "Move the platform and its database into one network, close together.",
        )
    yield ok(f"PostgreSQL {version} answers in {milliseconds:.1f} ms.")


def look_at_encryption() -> Iterator[Finding]:
    encrypted, address = ask(
        "SELECT ssl, host(inet_server_addr()) FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    )
    if encrypted:
        yield ok("The connection is encrypted.")
    elif address in (None, "127.0.0.1", "::1"):
        yield ok("The database is on this machine.")
    else:
        yield warning(
            f"The connection to {address} is not encrypted.",
            "Add ?sslmode=verify-full&sslrootcert=… to DATABASE_URL, unless the network is private.",
        )


def look_at_migrations() -> Iterator[Finding]:
    if missing := missing_migrations():
        yield problem(
            f"{len(missing)} migrations are not applied: {', '.join(missing[:5])}.", "Run manage.py init_db."
        )
    else:
        yield ok("All migrations are applied.")


def look_at_rights() -> Iterator[Finding]:
    role, is_superuser = ask("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
    (closed,) = ask(
        "SELECT string_agg(relname, ', ') FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT'))"
    )
    if closed:
        yield problem(
            f"The role {role} may not read and write {closed}.", "Grant it again: docs/ledger.md says how."
        )
    (mutable,) = ask(
        "SELECT bool_or(has_table_privilege(oid, 'UPDATE') OR has_table_privilege(oid, 'DELETE')"
        " OR has_table_privilege(oid, 'TRUNCATE')) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)",
        list(APPEND_ONLY),
    )
    if is_superuser:
        yield warning(f"The role {role} is a superuser.", "Use a role that only has rights to this database.")
    elif mutable:
        yield warning(
            f"The role {role} could change the ledger if somebody took its triggers away.",
            "Let another role own the tables: docs/ledger.md says how.",
        )
    else:
        yield ok(f"The role {role} has the rights that it needs, and none to change the ledger.")


def look_at_room(web_processes: int) -> Iterator[Finding]:
    """Connections: those that all processes may open together, and those that the server lets in."""
    limit, reserved, used = ask(
        "SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int,"
        " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    places, pool = limit - reserved, connection.settings_dict["OPTIONS"]["pool"]["max_size"]
    workers = Worker.objects.alive().count()
    most = web_processes * pool + workers * (pool + OF_WORKER)
    if most > places:
        yield warning(
            f"{web_processes} web processes and {workers} workers may open {most} connections, and the server has"
            f" {places} places.",
            f"Raise max_connections above {most + reserved}, or lower DATABASE_POOL_SIZE ({pool}).",
        )
    if used > places * FULL:
        yield warning(
            f"{used} of {places} connections are in use.",
            "See who holds them: SELECT * FROM pg_stat_activity.",
        )
    yield ok(
        f"{most} connections at most for {web_processes} web processes and {workers} workers; {places} places."
    )


def look_at_clock() -> Iterator[Finding]:
    started = time.time()
    (there,) = ask("SELECT extract(epoch FROM clock_timestamp())::float8")
    skew = abs(there - (started + time.time()) / 2)
    if skew > BAD_SKEW_SECONDS:
        yield problem(
            f"The database's clock is {skew:.0f} seconds apart from this machine's.", "Run NTP on both."
        )
    elif skew > SKEW_SECONDS:
        yield warning(
            f"The database's clock is {skew:.1f} seconds apart from this machine's.", "Run NTP on both."
        )
    else:
        yield ok("The clocks of the database and of this machine agree.")


def look_at_planner() -> Iterator[Finding]:
    (jit,) = ask("SELECT current_setting('jit')")
    if jit == "on":
        yield warning(
            "The server compiles queries (jit), which takes longer than the platform's short ones.",
            "ALTER DATABASE … SET jit = off",
        )
    else:
        yield ok("The planner is set as it should be.")


def checks(web_processes: int) -> tuple[Check, ...]:
    return (
        Check(REACH, look_at_reach, remedy=REMEDY),
        Check("database.encryption", look_at_encryption, REACH, REMEDY),
        Check("database.migrations", look_at_migrations, REACH, REMEDY),
        Check("database.rights", look_at_rights, REACH, REMEDY),
        Check("database.connections", lambda: look_at_room(web_processes), REACH, REMEDY),
        Check("database.clock", look_at_clock, REACH, REMEDY),
        Check("database.planner", look_at_planner, REACH, REMEDY),
    )
