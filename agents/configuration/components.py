"""One component of a workspace by its name: found, written, deleted, restored, and what it was before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models, transaction
from django.db.models import F, QuerySet, Value

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.locks import lock_name
from agents import versions
from agents.configuration import documents
from agents.configuration.kinds import COMPONENTS, KindSection, agents
from agents.configuration.preconditions import Precondition, etag_of
from agents.configuration.rows import RowSection
from agents.configuration.sections import Json, Lookup, completed, no_secrets, with_placeholders
from agents.mcp.rules import permissions_to_restore
from agents.models import Version

RESOURCE = "Config"
NO_TAGS = Value([], output_field=ArrayField(models.CharField(max_length=50)))


@dataclass(frozen=True, slots=True)
class Component:
    """A component as it is."""

    section: RowSection
    row: Any
    document: Json

    @property
    def name(self) -> str:
        return str(self.row.name)

    @property
    def number(self) -> int | None:
        """Of its version; None where it has none."""
        return getattr(self.row, "version_number", None)

    @property
    def etag(self) -> str:
        return etag_of(self.document, self.number)

    @property
    def config(self) -> Json:
        """As it is shown, and may be sent back."""
        return {"type": self.section.type, "name": self.name, **with_placeholders(self.document)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write has done or, of a trial, would do. `after` is None where it is gone."""

    before: Component | None
    after: Component | None

    @property
    def change(self) -> str:
        if self.before is None or self.after is None:
            return "created" if self.after else "deleted"
        return "updated" if self.before.etag != self.after.etag else "unchanged"

    @property
    def difference(self) -> Json:
        before, after = (one.document if one else None for one in (self.before, self.after))
        return documents.difference(before, after)


def section_of(name: str) -> RowSection:
    """The section of a type. Raises Invalid, naming those that there are."""
    if name not in COMPONENTS:
        raise Invalid({"type": f"There is no type {name!r}; the types are: {', '.join(COMPONENTS)}."})
    return COMPONENTS[name]


def sections_for(actor: Actor, kind: str | None) -> list[RowSection]:
    """The one of this type, else all that the actor may read. Raises Invalid, PermissionDenied."""
    if kind is None:
        found = [section for section in COMPONENTS.values() if actor.may(f"read:{section.resource}")]
    else:
        found = [section_of(kind)]
    if kind or not found:
        actor.require(f"read:{(found or [agents])[0].resource}")
    return found


def heads(actor: Actor, sections: Sequence[RowSection]) -> QuerySet[Any, Any]:
    """`{name, type, description, enabled, tags}` of all components, by type and name, in one query."""
    place = {kind: index for index, kind in enumerate(COMPONENTS)}
    found = [_heads(actor, section, place[section.type]) for section in sections]
    return found[0].union(*found[1:], all=True).order_by("place", "shown_name")


def _heads(actor: Actor, section: RowSection, place: int) -> QuerySet[Any, Any]:
    model: Any = section.rows.model
    columns = {field.name for field in model._meta.concrete_fields}
    return model.objects.visible_to(actor).values(
        place=Value(place),
        shown_name=F("name"),
        said=F("description"),
        is_enabled=F("enabled") if "enabled" in columns else Value(True),
        shown_tags=F("tags") if "tags" in columns else NO_TAGS,
    )


def find(actor: Actor, identifier: str, kind: str | None = None) -> Component:
    """The component with this name or id. Raises NotFound, and Conflict where several types have the name."""
    sections = sections_for(actor, kind)
    found = [component for section in sections if (component := read(section, actor, identifier))]
    if not found:
        raise NotFound(RESOURCE, identifier)
    if len(found) > 1:
        types = [component.section.type for component in found]
        raise Conflict(
            f"{' and '.join(types)} are called {identifier!r}. Say which one with ?type=.",
            details={"types": types},
        )
    return found[0]


def read(section: RowSection, actor: Actor, identifier: str, *, lock: bool = False) -> Component | None:
    row = section.find(actor, identifier, lock=lock)
    return Component(section, row, section.document(row)) if row else None


def put(
    actor: Actor,
    section: RowSection,
    name: str,
    document: Mapping[str, Any],
    precondition: Precondition,
    *,
    secrets: Lookup = no_secrets,
    is_trial: bool = False,
) -> Outcome:
    """Creates the component, or makes it what `document` says. A trial is the same, and is taken back.

    Raises what the API's own road to it raises, and Precondition…; a trial of a change needs no If-Match.
    """
    actor.require(f"write:{section.resource}")
    values = completed(section, document)
    with transaction.atomic():
        # Two that create the same name at once: the second finds what the first has made.
        lock_name(f"{section.resource}:{actor.workspace_id}:{name}")
        before = read(section, actor, name, lock=True)
        if before is None and as_uuid(name):
            raise NotFound(RESOURCE, name)
        precondition.check(before.etag if before else None, required=not is_trial)
        name = before.name if before else name
        section.save(actor, name, values, secrets)
        outcome = Outcome(before, read(section, actor, name))
        if is_trial:
            transaction.set_rollback(True)
    return outcome


@transaction.atomic
def delete(actor: Actor, component: Component, precondition: Precondition) -> None:
    """Raises Precondition…, and Conflict, naming what uses it."""
    actor.require(f"delete:{component.section.resource}")
    present = _locked(actor, component)
    precondition.check(present.etag)
    present.section.delete(actor, present.name)


@transaction.atomic
def restore(actor: Actor, component: Component, number: int, precondition: Precondition) -> Outcome:
    """Makes it what it was in the version of this number, as a new one. Raises as `versions.restore` does, too."""
    present = _locked(actor, component)
    precondition.check(present.etag)
    version = version_of(component, number)
    for permission in permissions_to_restore(version):
        actor.require(permission)
    versions.restore(version, actor)
    if not audit.is_told(audit.thing(present.row)):
        audit.record(Action.RESTORED, audit.thing(present.row), actor=actor)
    return Outcome(present, read(present.section, actor, str(present.row.pk)))


def _locked(actor: Actor, component: Component) -> Component:
    found = read(component.section, actor, str(component.row.pk), lock=True)
    if found is None:
        raise NotFound(RESOURCE, component.name)
    return found


def history(component: Component) -> QuerySet[Version]:
    """Its versions, the newest first. Raises Conflict for what has none."""
    if not isinstance(component.section, KindSection):
        raise Conflict(f"A {component.section.type} has no versions.")
    return versions.history(component.section.kind, component.row)


def version_of(component: Component, number: int) -> Version:
    """Raises NotFound."""
    found = history(component).filter(number=number).first()
    if found is None:
        raise NotFound("Version", number)
    return found
