"""Migrations: processes of the version before go on while a database is migrated under them, and it can be undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import connection, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    DeleteModel,
    Migration,
    RemoveField,
    RemoveIndex,
    RenameField,
    RenameModel,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from agentplatform.lib.migrations import EnsureIndexConcurrently

ROOMS = {"accounts", "agents", "billing", "runs"}
# The last ones from before the first release. No installation has rows that they could have locked, and none of their
# successors is let off: split it (expand, fill in batches, contract; docs/upgrading.md), or say here why it may be.
BEFORE_FIRST_RELEASE = {
    "accounts": "0008_saved_filters",
    "agents": "0007_tried_versions",
    "billing": "0013_more_cuts",
    "runs": "0012_where_runs_come_from",
}
# `app.migration: what`, with the reason in a comment.
ALLOWED: frozenset[str] = frozenset()
INDEX = re.compile(r"CREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", re.IGNORECASE)
REWRITES = re.compile(r"SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE", re.IGNORECASE)


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


def flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    """What is done to the database."""
    for operation in operations:
        if isinstance(operation, SeparateDatabaseAndState):
            yield from flat(operation.database_operations)
        else:
            yield operation


def dangers(migration: Migration, before: ProjectState) -> Iterator[str]:
    """What of a migration holds up processes that work meanwhile, or breaks those of the version before."""
    made = {
        operation.name.lower()
        for operation in flat(migration.operations)
        if isinstance(operation, CreateModel)
    }
    for operation in flat(migration.operations):
        model = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, RunSQL):
            yield from (f"SQL {found}" for found in _of_sql(str(operation.sql)))
        elif model not in made and (found := _of_operation(operation, migration.app_label, before)):
            yield f"{found} {model}"


def _of_sql(sql: str) -> Iterator[str]:
    if INDEX.search(sql):
        yield "makes an index that nobody can write beside: CREATE INDEX CONCURRENTLY"
    if REWRITES.search(sql):
        yield "reads or writes a whole table while it is locked"


def _of_operation(operation: Operation, app: str, before: ProjectState) -> str:
    if isinstance(operation, (RenameField, RenameModel, RemoveField, DeleteModel)):
        return "takes away what the version before uses:"
    if isinstance(operation, (EnsureIndexConcurrently, RemoveIndexConcurrently)):
        return ""
    if isinstance(operation, AddIndexConcurrently):
        return "cannot be begun again where it is broken off (EnsureIndexConcurrently):"
    if isinstance(operation, (AddIndex, RemoveIndex)):
        return "locks a table for an index (EnsureIndexConcurrently):"
    if isinstance(operation, AddConstraint):
        return "reads a whole table while it is locked (AddConstraintNotValid, then ValidateConstraint):"
    if isinstance(operation, AlterField):
        old = before.models[app, operation.model_name_lower].fields[operation.name]
        return f"changes {operation.name} of" if _is_heavy(old, operation.field) else ""
    return ""


def _is_heavy(old: models.Field, new: models.Field) -> bool:
    if (old.null and not new.null) or (new.unique and not old.unique) or (new.db_index and not old.db_index):
        return True
    if type(old) is not type(new):
        return True
    is_shorter = (new.max_length or 10**9) < (old.max_length or 10**9)
    return is_shorter or any(
        getattr(old, name, None) != getattr(new, name, None) for name in ("max_digits", "decimal_places")
    )


def all_dangers(rooms: Iterable[str] = ROOMS) -> dict[str, list[str]]:
    """By app.migration, in the order in which they are applied."""
    loader, found = MigrationLoader(None), {}
    state = ProjectState()
    for key in loader.graph._generate_plan(loader.graph.leaf_nodes(), at_end=True):
        migration = loader.graph.nodes[key]
        if migration.app_label in rooms:
            found[".".join(key)] = list(dangers(migration, state))
        migration.mutate_state(state, preserve=False)
    return found


def test_locks_no_table_for_long_and_takes_nothing_from_the_version_before():
    released = {
        f"{place}: {danger}"
        for place, found in all_dangers().items()
        for danger in found
        if place.partition(".")[2] > BEFORE_FIRST_RELEASE[place.partition(".")[0]]
    }

    assert released == ALLOWED


def test_sees_what_locks_and_what_breaks():
    """It would have found these, were they not from before the first release."""
    found = all_dangers()

    assert found["billing.0014_calls_by_status"] == []
    assert "locks a table for an index (EnsureIndexConcurrently): run" in found["runs.0003_steering"]


class Bad(Migration):
    """What nobody should write."""

    operations = [
        AddIndex("run", models.Index(fields=["status"], name="slow")),
        AddIndexConcurrently("run", models.Index(fields=["status"], name="once")),
        AddConstraint("run", models.CheckConstraint(condition=models.Q(id__isnull=False), name="slow_too")),
        AlterField("run", "output", models.IntegerField()),
        AlterField("run", "same", models.CharField(max_length=30)),
        RemoveField("run", "output"),
        RenameField("run", "output", "result"),
        RenameModel("Run", "Execution"),
        RunSQL("CREATE UNIQUE INDEX one ON runs_run (id)"),
        RunSQL("ALTER TABLE runs_run ALTER COLUMN id SET NOT NULL"),
        RunSQL("CREATE INDEX CONCURRENTLY one ON runs_run (id)", "DROP INDEX one"),
    ]


def test_finds_each_kind_of_danger():
    before = ProjectState()
    fields = {"output": models.TextField(null=True), "same": models.CharField(max_length=20)}
    CreateModel("Run", list(fields.items())).state_forwards("runs", before)

    assert len(list(dangers(Bad("0099_bad", "runs"), before))) == 9


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_can_be_undone(room):
    one_way = [
        f"{name}: {operation}"
        for (app, name), migration in sorted(MigrationLoader(None).disk_migrations.items())
        for operation in flat(migration.operations)
        if app == room and isinstance(operation, (RunPython, RunSQL)) and not operation.reversible
    ]

    assert one_way == []


# --- broken off ---


def ensured() -> Iterator[tuple[str, str]]:
    """The migrations that make indexes beside those who write."""
    for key, migration in sorted(MigrationLoader(None).disk_migrations.items()):
        if any(isinstance(operation, EnsureIndexConcurrently) for operation in migration.operations):
            yield key


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("key", [pytest.param(key, id=".".join(key)) for key in ensured()])
def test_is_begun_again_where_it_was_broken_off(key):
    loader = MigrationLoader(connection)
    migration = loader.disk_migrations[key]
    names = [
        operation.index.name
        for operation in migration.operations
        if isinstance(operation, EnsureIndexConcurrently)
    ]
    made = oids_of(names)
    # As it is where the last index was being built, and the one before had just been.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = to_regclass(%s)", [names[-1]]
        )

    with connection.schema_editor(atomic=False) as editor:
        migration.apply(loader.project_state([key], at_end=False), editor)

    found = oids_of(names)
    assert [found[name] for name in names[:-1]] == [made[name] for name in names[:-1]]
    assert found[names[-1]] not in (None, made[names[-1]])


@pytest.mark.django_db(transaction=True)
def test_makes_the_indexes_that_were_not_begun():
    loader = MigrationLoader(connection)
    key = ("accounts", "0009_lists_of_the_audit_log")
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX audit_of_request, audit_of_subject")

    with connection.schema_editor(atomic=False) as editor:
        loader.disk_migrations[key].apply(loader.project_state([key], at_end=False), editor)

    assert None not in oids_of(["audit_of_action", "audit_of_request", "audit_of_subject"]).values()


def oids_of(names: list[str]) -> dict[str, int | None]:
    """Of these indexes, None where one is not valid or not there."""
    sql = "SELECT (SELECT indexrelid FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid)"
    found = {}
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(sql, [name])
            (found[name],) = cursor.fetchone()
    return found
