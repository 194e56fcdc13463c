"""Writes stored secrets anew under the first of FIELD_ENCRYPTION_KEYS, so that older keys can go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import Model, TextField
from django.db.models.functions import Cast

from agentplatform.lib.secrets import EncryptedTextField, WrongKey, decrypt, is_current

BATCH = 500


@dataclass(slots=True)
class Rotation:
    """What became of a column's values: written anew, current before, or opened by no key."""

    written: int = 0
    current: int = 0
    locked: int = 0


def encrypted_columns() -> Iterator[tuple[type[Model], str]]:
    """Every encrypted column of the installation, as its model and the field's name."""
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield model, field.name


def locked_values(model: type[Model], name: str) -> int:
    """How many of a column's values no key of FIELD_ENCRYPTION_KEYS opens."""
    tokens = model._base_manager.annotate(token=Cast(name, TextField())).values_list("token", flat=True)
    return sum(token is not None and not _opens(token) for token in tokens.iterator(BATCH))


def _opens(token: str) -> bool:
    try:
        decrypt(token)
    except WrongKey:
        return False
    return True


def rotate(model: type[Model], name: str) -> Rotation:
    """Writes a column's values anew, BATCH rows in a transaction. May be broken off and repeated at any time."""
    rotation, last = Rotation(), None
    while (last := _rotate_batch(model, name, last, rotation)) is not None:
        pass
    return rotation


@transaction.atomic
def _rotate_batch(model: type[Model], name: str, last: Any, rotation: Rotation) -> Any:
    """The rows after the one whose key is `last`; answers the last one's key, or None where there were none."""
    rows = model._base_manager.order_by("pk").select_for_update()
    following = rows.filter(pk__gt=last) if last is not None else rows
    # Read as plain text: the field itself would open the value under any key, and not say which.
    tokens = following.annotate(token=Cast(name, TextField())).values_list("pk", "token")[:BATCH]
    stale: list[Model] = []
    for last, token in tokens:
        if token is None:
            continue
        if is_current(token):
            rotation.current += 1
            continue
        try:
            stale.append(model(pk=last, **{name: decrypt(token)}))
        except WrongKey:
            rotation.locked += 1
    rotation.written += model._base_manager.bulk_update(stale, [name])
    return last if tokens else None
