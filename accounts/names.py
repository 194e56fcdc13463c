"""Names that append-only rows refer to: in tables apart, because they can be erased and the rows cannot.

A trigger puts them there as a row is written, whoever writes it, and leaves their columns in the row empty.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.utils import timezone

from accounts.pseudonyms import pseudonym


def name_reference(names: Any, label: Any) -> models.ForeignKey[Any, Any]:
    """A row's reference to a name. Without a constraint: names are never deleted, and checking would cost every row."""
    return models.ForeignKey(
        names,
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
        editable=False,
        verbose_name=label,
    )


def put_pseudonym(names: models.QuerySet[Any], user_id: uuid.UUID) -> int:
    """Puts a pseudonym in the place of all of a user's names among these; how many there were."""
    known = names.filter(user_id=user_id, erased_at=None)
    return known.update(name=pseudonym(user_id), erased_at=timezone.now())
