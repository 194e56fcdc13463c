"""Whose rows they are, and what holds what a run refers to."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import ProtectedError

from accounts.actor import Actor
from accounts.tenancy import TenantQuerySet
from runs.models.states import ACTIVE, Status


def protect_while_active(collector: Any, field: Any, runs: Any, using: str) -> None:
    """on_delete: refuses while one of the runs has not ended, otherwise lets go of the finished ones."""
    if active := list(runs.filter(status__in=(Status.CREATED, *ACTIVE))[:20]):
        raise ProtectedError("Runs that have not ended use it.", set(active))
    models.SET_NULL(collector, field, runs, using)


protect_while_active.lazy_sub_objs = True  # type: ignore[attr-defined]


class OwnedQuerySet(TenantQuerySet[Any]):
    """Rows that belong to a user: others see them only with the permission `all_permission`."""

    all_permission = ""

    def visible_to(self, actor: Actor) -> OwnedQuerySet:
        rows = super().visible_to(actor)
        return rows if actor.may(self.all_permission) else rows.filter(user_id=actor.user_id)


class SessionQuerySet(OwnedQuerySet):
    all_permission = "read:all-sessions"


class RunQuerySet(OwnedQuerySet):
    all_permission = "read:all-runs"
