"""Entries are written here. Call `record` in the transaction that does what it tells of.

    audit.record(Action.CREATED, audit.thing(schedule), after=audit.state_of(schedule))

Who, from where and by which way comes from the trail; an actor or a user that is given goes before it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import models, transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.audit import trail, values
from accounts.audit.models import PLATFORM, Action, AuditEntry, Outcome
from agentplatform.lib import bulk
from agentplatform.lib.ids import as_uuid, uuid7

LONGEST_NAME = 200


class Thing(NamedTuple):
    """What something was done to. `name` is never a person's: that is `subject`, with the person's id."""

    type: str = ""
    id: Any = None
    name: str = ""
    workspace_id: uuid.UUID | None = None
    subject_id: uuid.UUID | None = None
    subject: str = ""


NOTHING = Thing()


def thing(instance: models.Model, name: str | None = None) -> Thing:
    """An object as entries name it: by its `name`, where its model says that it may be shown."""
    workspace_id = getattr(instance, "workspace_id", None)
    if name is None:
        name = getattr(instance, "name", "") if "name" in getattr(instance, "audited", ()) else ""
    return Thing(type_of(type(instance)), instance.pk, name, workspace_id)


def type_of(model: type[models.Model]) -> str:
    return str(getattr(model, "resource", model.__name__))


def record(
    action: Action,
    what: Thing = NOTHING,
    *,
    actor: Actor | None = None,
    user: Any = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    outcome: Outcome = Outcome.SUCCEEDED,
) -> None:
    """Writes an entry. `before` and `after` hold the changed fields, which the caller knows to be fit to be shown."""
    bulk.execute([entry(action, what, actor=actor, user=user, before=before, after=after, outcome=outcome)])


def entry(
    action: Action,
    what: Thing = NOTHING,
    *,
    actor: Actor | None = None,
    user: Any = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    outcome: Outcome = Outcome.SUCCEEDED,
) -> bulk.Statement:
    """The statement that writes an entry, for those who send it along with others."""
    path = trail.current()
    path.told.add((what.type, str(what.id)))
    actor = actor or (path.actor if user is None else None)
    user = user or (path.user if actor is None else None)
    workspace_id = what.workspace_id or (actor.workspace_id if actor else PLATFORM)
    row = {
        "id": uuid7(),
        "workspace_id": workspace_id,
        "timestamp": timezone.now(),
        "action": action.value,
        "outcome": outcome.value,
        "resource_type": what.type,
        "resource_id": as_uuid(what.id),
        "resource_name": what.name[:LONGEST_NAME],
        "subject_id": what.subject_id,
        "subject": what.subject[:LONGEST_NAME],
        "user_id": actor.user_id if actor else user.pk if user else None,
        "user": actor.username if actor else user.username if user else "",
        "api_key_id": actor.api_key_id if actor else None,
        "api_key": actor.api_key_name if actor else "",
        "api_key_prefix": actor.api_key_prefix if actor else "",
        "via": path.via.value,
        "address": (path.address or (actor.address if actor else ""))[:64],
        "request_id": path.request_id,
        "method": path.method[:8],
        "path": path.template[:200],
        "before": values.bounded(before) if before else None,
        "after": values.bounded(after) if after else None,
    }
    return bulk.insert(AuditEntry, [row])


def created(instance: models.Model, what: Thing | None = None, *, actor: Actor | None = None) -> None:
    """Tells of a new object, with its columns as far as they may be shown."""
    record(Action.CREATED, what or thing(instance), actor=actor, after=values.state_of(instance))


def deleted(instance: models.Model, what: Thing | None = None, *, actor: Actor | None = None) -> None:
    """Tells of an object that goes. To be called while it is there."""
    record(Action.DELETED, what or thing(instance), actor=actor, before=values.state_of(instance))


def updated(
    instance: models.Model,
    before: values.Values,
    what: Thing | None = None,
    *,
    actor: Actor | None = None,
    action: Action = Action.UPDATED,
) -> None:
    """Tells of what has changed since `before`, the object's `fingerprint_of`."""
    old, new = values.change(before, values.fingerprint_of(instance), values.shown_columns(type(instance)))
    record(action, what or thing(instance), actor=actor, before=old, after=new)


@contextmanager
def updating(
    instance: models.Model,
    what: Thing | None = None,
    *,
    actor: Actor | None = None,
    action: Action = Action.UPDATED,
) -> Iterator[None]:
    """A transaction in which an object is changed and saved, and the entry that tells so."""
    before = values.fingerprint_of(instance)
    with transaction.atomic():
        yield
        updated(instance, before, what, actor=actor, action=action)


def is_told(what: Thing) -> bool:
    """Whether something was told of this object in this request."""
    return (what.type, str(what.id)) in trail.current().told
