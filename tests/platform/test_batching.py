"""Batches of a migration's operations: the same statements, with fewer states between them."""

from __future__ import annotations

import pytest
from django.db import connection, models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    Migration,
    RemoveField,
    RunPython,
    RunSQL,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from agentplatform.batching import Batch, batch_operations

pytestmark = pytest.mark.django_db

AUTHOR = CreateModel("Author", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())])
BOOK = CreateModel("Book", [("id", models.BigAutoField(primary_key=True))])
TITLE = AddField("book", "title", models.CharField(max_length=20, db_default="", default=""))
BY = AddField("book", "author", models.ForeignKey("library.author", models.CASCADE, null=True))
SHORT = AlterField("book", "title", models.CharField(max_length=10, db_default="", default=""))
TITLES = AddIndex("book", models.Index(fields=["title"], name="library_title"))
ONCE = AddConstraint("book", models.UniqueConstraint(fields=["author", "title"], name="library_once"))


def migration(*operations) -> Migration:
    made = Migration("0001_initial", "library")
    made.operations = list(operations)
    return made


def batched(*operations) -> list:
    made = migration(*operations)
    batch_operations([(made, False)])
    return made.operations


def shape(*operations) -> list:
    """Batches as lists, other operations as they are."""
    return [list(one.operations) if isinstance(one, Batch) else one for one in batched(*operations)]


def after(*operations) -> ProjectState:
    """Once these have been applied."""
    state = migration(*operations).mutate_state(ProjectState())
    assert state.apps
    return state


def statements(before: ProjectState, made: Migration) -> list[str]:
    with connection.schema_editor(collect_sql=True) as editor:
        made.apply(before.clone(), editor)
        sql = [*map(str, editor.collected_sql), *map(str, editor.deferred_sql)]
    return [line for line in sql if not line.startswith("--")]


def columns() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        return {
            table: [column.name for column in connection.introspection.get_table_description(cursor, table)]
            + sorted(connection.introspection.get_constraints(cursor, table))
            for table in ("library_author", "library_book")
        }


def applied(made: Migration) -> tuple[ProjectState, dict[str, list[str]]]:
    """The state afterwards, and what is then in the database, in which nothing is left of it."""
    with connection.schema_editor() as editor:
        state = made.apply(after(), editor)
    found = columns()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE library_book, library_author")
    return state, found


def test_puts_neighbours_together():
    assert shape(AUTHOR, BOOK, BY) == [[AUTHOR, BOOK, BY]]


@pytest.mark.parametrize(
    "closer",
    [RunSQL("SELECT 1"), RunPython(RunPython.noop), RemoveField("book", "title")],
    ids=lambda one: type(one).__name__,
)
def test_ends_a_batch_before_what_looks_closer(closer):
    assert shape(TITLE, BY, closer, TITLES, ONCE) == [[TITLE, BY], closer, [TITLES, ONCE]]


def test_keeps_two_changes_of_one_field_apart():
    assert shape(TITLE, BY, SHORT) == [[TITLE, BY], SHORT]


def test_leaves_one_that_stands_alone_as_it_is():
    assert shape(TITLE) == [TITLE]


def test_leaves_the_way_back_as_it_is():
    made = migration(AUTHOR, BOOK)
    batch_operations([(made, True)])

    assert made.operations == [AUTHOR, BOOK]


def test_gives_the_database_the_same_statements_in_the_same_order():
    before = after(AUTHOR, BOOK)
    operations = [TITLE, BY, TITLES, ONCE]

    assert statements(before, migration(*batched(*operations))) == statements(before, migration(*operations))


def test_makes_a_new_table_with_all_that_is_added_to_it():
    operations = [AUTHOR, BOOK, TITLE, BY, SHORT, TITLES, ONCE]

    assert applied(migration(*batched(*operations)))[1] == applied(migration(*operations))[1]


def test_leads_to_the_same_state():
    operations = [AUTHOR, BOOK, TITLE, BY, SHORT, TITLES, ONCE]

    assert applied(migration(*batched(*operations)))[0] == applied(migration(*operations))[0]


def test_leaves_models_that_know_each_other():
    state, _ = applied(migration(*batched(AUTHOR, BOOK, TITLE, BY)))
    author, book = (state.apps.get_model("library", name) for name in ("author", "book"))

    assert book._meta.get_field("author").related_model is author


def test_renders_a_model_once(monkeypatch):
    rendered = []
    render = ModelState.render
    monkeypatch.setattr(
        ModelState, "render", lambda self, apps: rendered.append(self.name) or render(self, apps)
    )
    applied(migration(*batched(AUTHOR, BOOK, TITLE, BY, SHORT, TITLES, ONCE)))

    assert sorted(rendered) == ["Author", "Book"]


def test_batches_the_rooms_own_migrations():
    """Or a new installation would take seconds longer."""
    plan = [(one, False) for one in MigrationLoader(None).disk_migrations.values()]
    before = sum(len(one.operations) for one, _ in plan)
    batch_operations(plan)

    assert sum(len(one.operations) for one, _ in plan) < before / 2
