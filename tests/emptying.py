"""Empties the tables after a test that has committed, in a tenth of the time of Django's flush.

The flush truncates every table and makes all content types and permissions anew, 0.2 seconds for each of some thousand
tests. Here only tables that have rows are emptied, in one transaction, and what migrations have made stays.
"""

from __future__ import annotations

import os
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection, transaction
from django.test import TransactionTestCase
from psycopg.errors import DeadlockDetected

# What every test finds, and none changes.
LASTING = {"django_content_type", "auth_permission"}
# Jobs of a test's rows go with them: one that a killed worker has left in hand would never end. The queue's workers
# stay, because some live longer than a test.
JOBS = {"procrastinate_jobs", "procrastinate_events", "procrastinate_periodic_defers"}


def empty_tables(_: Any = None) -> None:
    """Deletes all rows that tests have committed. Rows that refuse it by a trigger, as the ledger's, go too."""
    for attempt in range(3):
        try:
            return _empty_tables()
        except OperationalError as error:
            # A process that lives longer than the test takes locks in another order, as outboxes are worked off.
            if not isinstance(error.__cause__, DeadlockDetected) or attempt == 2:
                raise


def _empty_tables() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        names = sorted({*tables, *JOBS} - LASTING)
        # As the flush does, it waits for whoever is still writing: their rows would come after it otherwise.
        cursor.execute(f"LOCK TABLE {', '.join(map(_quoted, names))} IN ACCESS EXCLUSIVE MODE")
        cursor.execute(
            " UNION ALL ".join(f"(SELECT '{name}' FROM {_quoted(name)} LIMIT 1)" for name in names)
        )
        if full := [name for (name,) in cursor.fetchall()]:
            # As a replica's, the transaction's statements wake no trigger and no foreign key.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("; ".join(map(_deletion, full)))
    ContentType.objects.clear_cache()


def _deletion(name: str) -> str:
    # A worker of this process lives on: without its row, the runs that it takes next would be taken for lost.
    those = f" WHERE pid <> {os.getpid()}" if name == "runs_worker" else ""
    return f"DELETE FROM {_quoted(name)}{those}"


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def install() -> None:
    """Puts it in the flush's place for tests marked `transaction=True`."""
    TransactionTestCase._fixture_teardown = empty_tables  # type: ignore[method-assign]
