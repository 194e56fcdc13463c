"""What Django's operations of migrations lack."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_IS_VALID = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid)"


class EnsureIndexConcurrently(AddIndexConcurrently):
    """Adds an index while others write, and can be begun again where it was broken off.

    No transaction takes back what is done so far: indexes that are there already stay, and one that was still being
    built, which PostgreSQL leaves behind as not valid, is built anew.
    """

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(_IS_VALID, [self.index.name])
            (is_valid,) = cursor.fetchone()
        if not is_valid:
            # Where there is none, this does nothing.
            self.database_backwards(app_label, schema_editor, to_state, from_state)
            super().database_forwards(app_label, schema_editor, from_state, to_state)
