"""The database's schema: what is missing of it, and how it is brought up to date."""

from __future__ import annotations

from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models.signals import pre_migrate

from agentplatform.batching import batch_operations


def missing_migrations() -> list[str]:
    """The migrations that are still to be applied, as `app.name`, in their order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def migrate_if_needed() -> int:
    """Apply what is missing; the number of migrations applied. `migrate` in vain would cost far more."""
    missing = missing_migrations()
    if missing:
        pre_migrate.connect(batch_operations)
        call_command("migrate", interactive=False, verbosity=0)
    return len(missing)
