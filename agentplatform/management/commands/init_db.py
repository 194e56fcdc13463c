"""Creates the database where it is missing, and brings its schema up to date."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from psycopg import sql

from accounts.audit.commands import Audited
from agentplatform.migrating import migrate_if_needed, missing_migrations


class Command(Audited, BaseCommand):
    """`--env FILE` is read before the settings are, in agentplatform/bootstrap.py."""

    help = "Create the database where it is missing, and apply the migrations that are."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--env", metavar="FILE", help="read settings from this file; they override the environment"
        )
        parser.add_argument(
            "--no-fix",
            action="store_true",
            help="change nothing; say what is missing and end with exit code 1",
        )

    def handle(self, *args: object, no_fix: bool, **options: Any) -> None:
        name = connection.settings_dict["NAME"]
        if not _database_exists(name):
            if no_fix:
                raise CommandError(
                    f"The database {name!r} is missing. Run init_db without --no-fix to create it."
                )
            _create_database(name)
            self.stdout.write(f"Created the database {name!r}.")
        if no_fix and (missing := missing_migrations()):
            raise CommandError(f"{len(missing)} migrations are not applied: {', '.join(missing)}.")
        applied = migrate_if_needed()
        self.has_effect = applied > 0
        self.stdout.write(f"The database {name!r} is up to date ({applied} migrations applied).")


def create_database_if_missing() -> None:
    name = connection.settings_dict["NAME"]
    if not _database_exists(name):
        _create_database(name)


def _maintenance() -> psycopg.Connection[tuple[Any, ...]]:
    """A connection to the server's own database, with our parameters."""
    parameters = connection.get_connection_params() | {"dbname": "postgres"}
    try:
        return psycopg.connect(**parameters, autocommit=True)
    except psycopg.OperationalError as error:
        raise CommandError(f"The database server cannot be reached; check DATABASE_URL. {error}") from error


def _database_exists(name: str) -> bool:
    with _maintenance() as server:
        return server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _create_database(name: str) -> None:
    with _maintenance() as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name))
        )
