"""The tenant wall: every tenant's row has a workspace, and is reached only through `visible_to(actor)`."""

from __future__ import annotations

from typing import Self, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.actor import Actor
from accounts.security.noting import note_absent
from agentplatform.lib.errors import NotFound
from agentplatform.lib.ids import as_uuid, uuid7

Row = TypeVar("Row", bound=models.Model)


class TenantQuerySet(models.QuerySet[Row]):
    """A query set that can be narrowed to what an actor may see."""

    def visible_to(self, actor: Actor) -> Self:
        """The rows of the actor's workspace; models with owners narrow it further."""
        return self.filter(workspace_id=actor.workspace_id)

    def named(self, actor: Actor, identifier: object) -> Row:
        """The one visible row with this id or, for models that have one, this name. Raises NotFound."""
        resource = getattr(self.model, "resource", self.model.__name__)
        if key := as_uuid(identifier):
            found = self.visible_to(actor).filter(pk=key).first()
        elif hasattr(self.model, "name"):
            found = self.visible_to(actor).filter(name=str(identifier)).first()
        else:
            found = None
        if found is None:
            if key:
                note_absent(self.model, key, actor.address, actor.key)
            raise NotFound(resource, identifier)
        return found

    def locked(self, actor: Actor, identifier: object) -> Row:
        """The same, locked until the caller's transaction ends. Raises NotFound.

        The row is locked by itself and read afterwards: a statement that has waited for somebody's change sees the row
        as it is now, and all that is joined to it as it was before, so that it may find nothing.
        """
        alone = type(self)(self.model).only("pk").select_for_update()
        return self.named(actor, alone.named(actor, identifier).pk)


class TenantModel(models.Model):
    """A row that belongs to exactly one workspace."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        "accounts.Workspace",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        verbose_name=_("workspace"),
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True
