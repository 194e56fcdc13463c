"""Neighbouring operations of a migration applied as one, with one rendering of the models instead of one for each.

Django renders a model and all that are related to it anew after every operation, which takes most of a first start's
time. The database comes out the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    AlterModelTableComment,
    CreateModel,
    Migration,
)
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ProjectState

# Each looks at how things were before it and how they are after it, and takes no notice of what is made between.
BATCHED = (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    AlterModelOptions,
    AlterModelTableComment,
    CreateModel,
)


class Batch(Operation):
    """Operations none of which needs a state between them."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        # A state without rendered models renders nothing.
        rendered = state.__dict__.pop("apps", None)
        for operation in self.operations:
            operation.state_forwards(app_label, state)
        if rendered is not None:
            state.__dict__["apps"] = rendered
            changed = [(app_label, model) for model in sorted({*map(_model, self.operations)})]
            state.reload_models(changed, delay=not self._changes_relations())

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        made: set[str] = set()
        for operation in self.operations:
            # A table is made with all that the batch adds to it.
            if _model(operation) not in made:
                operation.database_forwards(app_label, schema_editor, from_state, to_state)
            if isinstance(operation, CreateModel):
                made.add(_model(operation))

    def describe(self) -> str:
        return "; ".join(operation.describe() for operation in self.operations)

    def _changes_relations(self) -> bool:
        """Or what relations may point to."""
        fields = [getattr(one, "field", None) for one in self.operations]
        return any(isinstance(one, CreateModel) for one in self.operations) or any(
            field.is_relation or field.unique for field in fields if field
        )


def batch_operations(plan: Sequence[tuple[Migration, bool]], **_: Any) -> None:
    """Batches what is about to be applied: a receiver of `pre_migrate`."""
    for migration, is_backwards in plan:
        if not is_backwards:
            operations = cast(list[Operation], migration.operations)
            operations[:] = list(_batched(operations))


def _batched(operations: Sequence[Operation]) -> Iterator[Operation]:
    batch: list[Operation] = []
    for operation in operations:
        if batch and not _joins(operation, batch):
            yield _one(batch)
            batch = []
        batch.append(operation)
    if batch:
        yield _one(batch)


def _joins(operation: Operation, batch: list[Operation]) -> bool:
    if not isinstance(operation, BATCHED) or not isinstance(batch[0], BATCHED):
        return False
    made = {_model(one) for one in batch if isinstance(one, CreateModel)}
    return (
        _model(operation) in made or _field(operation) is None or _field(operation) not in map(_field, batch)
    )


def _one(batch: list[Operation]) -> Operation:
    return Batch(batch) if len(batch) > 1 else batch[0]


def _model(operation: Operation) -> str:
    named: Any = operation
    return named.name_lower if isinstance(operation, ModelOperation) else named.model_name_lower


def _field(operation: Operation) -> tuple[str, str] | None:
    return (_model(operation), operation.name_lower) if isinstance(operation, FieldOperation) else None
