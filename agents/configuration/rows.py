"""What sections of rows share: rows are found behind the tenant wall, and written by the serializer of their API."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework.serializers import BaseSerializer

from accounts.actor import Actor
from agentplatform.lib.errors import NotFound
from agents.configuration.sections import Json, Lookup, Reference, no_secrets

SerializerClass = type[BaseSerializer[Any]]


class RowSection(ABC):
    """A section (see `sections.Section`) whose components are rows of one table, with unique names."""

    type: str
    key: str
    resource: str
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any]
    kept: Mapping[str, Any] = {}
    loose: frozenset[str] = frozenset()
    rows: QuerySet[Any]
    """With all that documents are made of."""
    serializer: SerializerClass

    @abstractmethod
    def document(self, row: Any) -> Json:
        """A row's complete document."""

    @abstractmethod
    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        """As `sections.Section` has it."""

    @abstractmethod
    def remove(self, actor: Actor, row: Any) -> None:
        """Deletes a locked row. Raises Conflict, naming what uses it."""

    def documents(self, actor: Actor) -> dict[str, Json]:
        return {row.name: self.document(row) for row in self.rows.visible_to(actor).order_by("name")}  # type: ignore[attr-defined]

    def find(self, actor: Actor, identifier: str, *, lock: bool = False) -> Any:
        """The row with this id or name, locked until the transaction ends if asked for; None: there is none."""
        rows: Any = self.rows
        try:
            return rows.locked(actor, identifier) if lock else rows.named(actor, identifier)
        except NotFound:
            return None

    def save(
        self, actor: Actor, name: str, document: Mapping[str, Any], secrets: Lookup = no_secrets
    ) -> None:
        row = self.find(actor, name, lock=True)
        current = self.document(row) if row else {}
        values = self.settled(document, current, secrets)
        if row is None or any(current.get(field) != value for field, value in values.items()):
            actor.require(f"write:{self.resource}")
            self.write(actor, row, name, values)

    def settled(self, document: Mapping[str, Any], current: Json, secrets: Lookup) -> Json:
        """What there is to write: secrets that stay are left out."""
        return dict(document)

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        self.serialize(actor, row, {**values, "name": name})

    def serialize(self, actor: Actor, row: Any, data: Json, *, partial: bool = False) -> Any:
        """The saved row. Raises what the serializer raises."""
        serializer = self.serializer(row, data=data, partial=partial, context={"actor": actor})
        serializer.is_valid(raise_exception=True)
        return serializer.save()

    def delete(self, actor: Actor, name: str) -> None:
        actor.require(f"delete:{self.resource}")
        if row := self.find(actor, name, lock=True):
            self.remove(actor, row)


def one(kind: str, name: Any) -> set[Reference]:
    """The component of this name, if it is one."""
    return {(kind, name)} if isinstance(name, str) and name else set()


def many(kind: str, names: Any) -> set[Reference]:
    """The components of these names."""
    return {(kind, name) for name in names if isinstance(name, str)} if isinstance(names, list) else set()
