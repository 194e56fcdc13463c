"""What an entry keeps of an object: which fields changed, and of those that may be shown the values.

Nothing is shown that could be a secret, what was said to an agent, or a person's name or address. So a field is shown
where its type can hold none of them (numbers, times, choices, references), or where the model names it in `audited`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import orjson
from django.db import models

from agentplatform.lib.json import dumps

HIDDEN = "••••"
Values = dict[str, Any]

LONGEST_TEXT = 1_000
LARGEST = 16_000
"""Bytes of `before` and of `after`, as JSON."""
TELLTALE = re.compile(
    r"authori[sz]ation|cookie|cred(s\b|ential)|pass(?![a-z])|pass(word|phrase|wd|code)|pwd|secret|bearer"
    r"|token(?!s|i[sz])"
    r"|(api|access|account|auth|deploy|encryption|license|master|private|service|shared|signing|ssh|storage)[-_]?key"
    r"|connection[-_]?string|(?<![a-z])(dsn|jwt|pat)(?![a-z])",
    re.IGNORECASE,
)
# Of what an MCP server is started with any value may be a secret, whatever its name.
OPAQUE = re.compile(r"(arguments|environment)(\.|\Z)")
URL_SECRETS = re.compile(r"(?<=://)[^/@\s]*@|(?<=[?&])([^=&\s]+)=[^&#\s]*")
PLAIN = (
    models.IntegerField,
    models.FloatField,
    models.DecimalField,
    models.BooleanField,
    models.DateTimeField,
    models.DateField,
    models.UUIDField,
    models.ForeignKey,
)
# When a row was written says the entry itself.
UNTOLD = frozenset({"id", "workspace_id", "created_at", "updated_at", "password", "last_login"})


def state_of(instance: models.Model) -> Values:
    """An object's columns by name, what is not to be shown as HIDDEN and what is empty as it is."""
    return {
        field.attname: _shown(field, instance)
        for field in instance._meta.concrete_fields
        if field.attname not in UNTOLD and field.attname not in instance.get_deferred_fields()
    }


def fingerprint_of(instance: models.Model) -> Values:
    """The same with the values that are not shown, to see what has changed. Never stored."""
    deferred = instance.get_deferred_fields()
    return {
        field.attname: getattr(instance, field.attname)
        for field in instance._meta.concrete_fields
        if field.attname not in deferred and (field.attname not in UNTOLD or field.attname == "password")
    }


def change(
    before: Values | None, after: Values | None, shown: Iterable[str] | None = None
) -> tuple[Any, Any]:
    """What two objects' columns differ in, bounded and without secrets: the columns before, and after.

    None stands for no object. `shown` are the columns that may be shown; None: all.
    """
    old, new = before or {}, after or {}
    names = [
        name for name in {**old, **new} if before is None or after is None or old.get(name) != new.get(name)
    ]
    allowed = names if shown is None else set(shown)

    def told(values: Values) -> Values:
        return {
            name: values[name] if name in allowed else _masked(values[name])
            for name in names
            if name in values
        }

    return (
        None if before is None else bounded(told(old)),
        None if after is None else bounded(told(new)),
    )


def bounded(values: Mapping[str, Any]) -> Values:
    """As JSON holds it: secrets by their names hidden, long texts cut, and no more than LARGEST bytes."""
    told = {
        name: (_all_masked if OPAQUE.match(name) else partial(_cleaned, name))(orjson.loads(dumps(value)))
        for name, value in values.items()
    }
    if len(orjson.dumps(told)) <= LARGEST:
        return told
    return {
        name: value if len(orjson.dumps(value)) <= 200 else "…" for name, value in list(told.items())[:50]
    }


def is_shown(field: models.Field[Any, Any], model: type[models.Model]) -> bool:
    """Whether an entry may hold the values of a column."""
    if field.attname in getattr(model, "audited", ()):
        return True
    return isinstance(field, PLAIN) or (type(field) is models.CharField and bool(field.choices))


def shown_columns(model: type[models.Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields if is_shown(field, model)]


def _shown(field: models.Field[Any, Any], instance: models.Model) -> Any:
    value = getattr(instance, field.attname)
    return value if is_shown(field, type(instance)) else _masked(value)


def _masked(value: Any) -> Any:
    """Whether there is a value is no secret."""
    return HIDDEN if value else value


def _all_masked(value: Any) -> Any:
    """Names, and how many values there are, are no secrets."""
    if isinstance(value, dict):
        return {key: _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else _masked(value)


def _cleaned(name: str, value: Any) -> Any:
    if TELLTALE.search(name) and not isinstance(value, bool | int | float | None):
        return _masked(value)
    if isinstance(value, dict):
        return {key: _cleaned(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(name, item) for item in value]
    return _cut(URL_SECRETS.sub(_without_value, value)) if isinstance(value, str) else value


def _without_value(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN}" if found[1] else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({len(text)} characters)"
