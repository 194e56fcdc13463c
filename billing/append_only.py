"""Rows that are written once. The database refuses changes too, by the trigger of migration 0002."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

from django.db import models

from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.errors import Conflict

Row = TypeVar("Row", bound=models.Model)


def _refuse() -> NoReturn:
    raise Conflict("The ledger is append-only: append an entry that corrects it by the difference.")


class AppendOnlyQuerySet(TenantQuerySet[Row]):
    """Reads and inserts; whatever would change or remove a row raises Conflict."""

    def update(self, **kwargs: Any) -> NoReturn:
        _refuse()

    def delete(self) -> NoReturn:
        _refuse()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()

    def bulk_create(self, objs: Any, *args: Any, update_conflicts: bool = False, **kwargs: Any) -> list[Row]:
        if update_conflicts:
            _refuse()
        return super().bulk_create(objs, *args, **kwargs)


class AppendOnlyModel(TenantModel):
    """A tenant's row that can be inserted and read, and nothing else."""

    objects: ClassVar[models.Manager[Any]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            _refuse()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()
