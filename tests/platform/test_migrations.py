"""Migrations: processes of the version before go on while a database is migrated under them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import models
from django.db.migrations import AddField
from django.db.migrations.loader import MigrationLoader

ROOMS = {"accounts", "agents", "billing", "runs"}


def added_fields() -> Iterator[tuple[str, models.Field]]:
    """Every column that a migration adds to a table which was there before it."""
    for (room, name), migration in sorted(MigrationLoader(None).disk_migrations.items()):
        if room not in ROOMS:
            continue
        made = {operation.name.lower() for operation in migration.operations if hasattr(operation, "fields")}
        for operation in migration.operations:
            if isinstance(operation, AddField) and operation.model_name.lower() not in made:
                yield f"{room}.{name}: {operation.model_name}.{operation.name}", operation.field


@pytest.mark.parametrize(("place", "field"), [pytest.param(*one, id=one[0]) for one in added_fields()])
def test_fills_a_new_column_for_those_who_do_not_know_it(place, field):
    assert field.null or field.has_db_default()
