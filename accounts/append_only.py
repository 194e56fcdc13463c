"""Rows that are written once. The database refuses changes too, by a trigger that the table's migration makes."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

from django.db import models

from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.errors import Conflict

Row = TypeVar("Row", bound=models.Model)


class AppendOnlyQuerySet(TenantQuerySet[Row]):
    """Reads and inserts; whatever would change or remove a row raises Conflict."""

    def _refuse(self) -> NoReturn:
        raise Conflict(getattr(self.model, "append_only", AppendOnlyModel.append_only))

    def update(self, **kwargs: Any) -> NoReturn:
        self._refuse()

    def delete(self) -> NoReturn:
        self._refuse()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        self._refuse()

    def bulk_create(self, objs: Any, *args: Any, update_conflicts: bool = False, **kwargs: Any) -> list[Row]:
        if update_conflicts:
            self._refuse()
        return super().bulk_create(objs, *args, **kwargs)


class AppendOnlyModel(TenantModel):
    """A tenant's row that can be inserted and read, and nothing else. `append_only` says so, with the remedy."""

    append_only: ClassVar[str] = "These rows are append-only: nobody changes or removes one."
    objects: ClassVar[models.Manager[Any]] = AppendOnlyQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise Conflict(self.append_only)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise Conflict(self.append_only)
