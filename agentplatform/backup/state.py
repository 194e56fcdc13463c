"""What a database holds, so that a copy of it can be compared: tables with their rows, migrations, ends of chains."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from accounts.audit.models import PLATFORM
from accounts.models import Workspace
from agentplatform.lib.hash_chain import chains, head

SCHEMA = "public"
# What an extension has made belongs to it, and to whoever installs it.
OF_EXTENSION = "EXISTS (SELECT FROM pg_depend WHERE objid = one.oid AND deptype = 'e')"
TABLES = f"""
    SELECT relname FROM pg_class one
    WHERE relnamespace = '{SCHEMA}'::regnamespace AND relkind = 'r' AND NOT {OF_EXTENSION}
    ORDER BY relname
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class State:
    """`rows` by table; `migrations` as app.name; `heads` by the chain's name and workspace, as POSITION:HASH."""

    rows: dict[str, int]
    migrations: list[str]
    heads: dict[str, dict[str, str]]

    @classmethod
    def read(cls) -> Self:
        """The state in the transaction that this is called in. It counts every row."""
        return cls(rows=count_rows(), migrations=applied_migrations(), heads=ends_of_chains())

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Self:
        return cls(manifest["rows"], manifest["migrations"], manifest["heads"])

    def document(self) -> dict[str, Any]:
        return asdict(self)


def table_names() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        return [name for (name,) in cursor.fetchall()]


def count_rows() -> dict[str, int]:
    quote = connection.ops.quote_name
    counts = " UNION ALL ".join(
        f"SELECT '{name}', count(*) FROM {SCHEMA}.{quote(name)}"  # noqa: S608
        for name in table_names()
    )
    if not counts:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(counts)
        return dict(cursor.fetchall())


def applied_migrations() -> list[str]:
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def known_migrations() -> set[str]:
    """Those that this version of the platform can apply, or has replaced by others."""
    loader = MigrationLoader(None)
    return {f"{app}.{name}" for app, name in loader.disk_migrations}


def ends_of_chains() -> dict[str, dict[str, str]]:
    workspaces = [*Workspace.objects.order_by("pk").values_list("pk", flat=True), PLATFORM]
    return {
        name: {
            str(workspace): str(end) for workspace in workspaces if (end := head(chain, workspace)).position
        }
        for name, chain in sorted(chains.items())
    }
