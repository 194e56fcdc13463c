"""Many rows of many tables in one round trip.

For hot paths where `bulk_create` costs more than the database does: rows are plain dictionaries, each table's go
as one JSON parameter that PostgreSQL takes apart itself (`jsonb_to_recordset`), and all statements travel
together. Types and columns come from the models, so a new field needs no change here.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
from django.db import connection, models

from agentplatform.lib.text import storable

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A row to insert: its model and its values by column attribute (`run_id`, not `run`)."""

    model: type[models.Model]
    values: Values


@dataclass(frozen=True, slots=True)
class Conflict:
    """What happens to a row that is there already by `unique` columns: with no `update` columns it stays as it is."""

    unique: tuple[str, ...]
    update: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    parameters: tuple[Any, ...]


def row(model: type[models.Model], **values: Any) -> Row:
    """A row with the model's defaults for what is not given."""
    return Row(model, {**{name: make() for name, make in _defaults(model)}, **values})


def from_instance(instance: models.Model) -> Row:
    """The row of an unsaved model instance."""
    return Row(type(instance), {name: getattr(instance, name) for name in _columns(type(instance))})


def insert(model: type[models.Model], rows: Sequence[Values], conflict: Conflict | None = None) -> Statement:
    """One INSERT of all `rows`. A statement may touch a row once, so of rows that replace each other the last stays."""
    if conflict and conflict.update:
        rows = list(
            {tuple(str(values[name]) for name in conflict.unique): values for values in rows}.values()
        )
    return Statement(_insert_sql(model, tuple(rows[0]), conflict), (dumps(rows),))


def execute(statements: Iterable[Statement]) -> None:
    """Sends all statements at once, in order. Nothing happens without any."""
    wanted = list(statements)
    if not wanted:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            ";".join(statement.sql for statement in wanted),
            [parameter for statement in wanted for parameter in statement.parameters],
        )


def dumps(rows: Sequence[Values]) -> str:
    """The rows as JSON text that PostgreSQL takes; texts that it does not are cleaned."""
    try:
        text = _encode(rows)
    except orjson.JSONEncodeError:
        return _encode(storable(rows))
    return _encode(storable(rows)) if "\\u0000" in text else text


def _encode(rows: Any) -> str:
    return orjson.dumps(rows, default=_plain, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal | str):
        return str(value)
    raise TypeError(f"A column can't hold {type(value).__name__}.")


@functools.cache
def _columns(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    """The fields that an INSERT fills, by attribute name; serial keys fill themselves."""
    return {
        field.attname: field
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField)
    }


@functools.cache
def _defaults(model: type[models.Model]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, field.get_default) for name, field in _columns(model).items())


@functools.cache
def _insert_sql(model: type[models.Model], names: tuple[str, ...], conflict: Conflict | None) -> str:
    fields = [_columns(model)[name] for name in names]
    quote = connection.ops.quote_name
    columns = ", ".join(quote(_column(field)) for field in fields)
    binary = {field.column for field in fields if isinstance(field, models.BinaryField)}
    # The names in the JSON are attributes, the record's columns carry the same names.
    record = ", ".join(f"{quote(name)} {_type(field)}" for name, field in zip(names, fields, strict=True))
    taken = ", ".join(
        f"decode({quote(name)}, 'base64')" if field.column in binary else quote(name)
        for name, field in zip(names, fields, strict=True)
    )
    table = quote(model._meta.db_table)
    source = f"SELECT {taken} FROM jsonb_to_recordset(%s::jsonb) AS new({record})"  # noqa: S608
    sql = f"INSERT INTO {table} ({columns}) {source}"
    return sql + (_conflict_sql(model, conflict) if conflict else "")


def _column(field: models.Field[Any, Any]) -> str:
    return str(field.column)


def _type(field: models.Field[Any, Any]) -> str:
    return "text" if isinstance(field, models.BinaryField) else str(field.cast_db_type(connection))


def _conflict_sql(model: type[models.Model], conflict: Conflict) -> str:
    quote = connection.ops.quote_name
    if not conflict.update:
        return " ON CONFLICT DO NOTHING"
    column = {name: quote(_column(field)) for name, field in _columns(model).items()}
    changes = ", ".join(f"{column[name]} = EXCLUDED.{column[name]}" for name in conflict.update)
    return f" ON CONFLICT ({', '.join(column[name] for name in conflict.unique)}) DO UPDATE SET {changes}"
