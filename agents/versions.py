"""Immutable versions of models, tools and agents: record, list, compare and restore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from django.db import transaction
from django.db.models import QuerySet

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import NotFound
from agents.models import Agent, ChatModel, Configuration, Kind, McpServer, Tool, Version, Workflow
from agents.snapshots import apply, definition

models_by_kind: dict[str, type[Configuration]] = {
    Kind.MODEL: ChatModel,
    Kind.TOOL: Tool,
    Kind.AGENT: Agent,
    Kind.MCP_SERVER: McpServer,
    Kind.WORKFLOW: Workflow,
}
# The text that a definition was read from: another one may say the same.
SOURCE = "source"
Instance = TypeVar("Instance", bound=Configuration)


def record(instance: Configuration, actor: Actor | None, change: str) -> Version:
    """Makes what `instance` is now, relations included, its current version.

    `change` is created, updated, restored or deleted; without an actor the platform itself is the author.
    Nothing new is written where nothing changed since the current version, unless it is deleted.
    """
    with transaction.atomic():
        latest = lock(instance).version
        data = definition(instance)
        fingerprint = hash_of(data)
        is_same = latest and latest.hash == fingerprint and latest.data.get(SOURCE) == data.get(SOURCE)
        if latest and is_same and change != "deleted":
            instance.version = latest
            return latest
        version = Version.objects.create(
            workspace_id=instance.workspace_id,
            kind=instance.kind,
            object_id=instance.pk,
            number=latest.number + 1 if latest else 1,
            name=instance.name,
            data=data,
            hash=fingerprint,
            change=change,
            author_id=actor.user_id if actor else None,
            author=actor.username if actor else "",
        )
        type(instance)._default_manager.filter(pk=instance.pk).update(version=version)
        _tell(version, latest, actor)
    instance.version = version
    return version


def _tell(version: Version, latest: Version | None, actor: Actor | None) -> None:
    """The audit log, of what has changed since the `latest` version; of secrets, only that."""
    is_deleted = version.change == "deleted"
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    changes = compare(latest.data if latest else {}, {} if is_deleted else version.data)
    for path, values in changes.items():
        name = path.removesuffix(".secret").removesuffix(".hint")
        before[name], after[name] = (
            audit.HIDDEN if value and name != path else value for value in (values["old"], values["new"])
        )
    resource = models_by_kind[version.kind].resource
    audit.record(
        Action(version.change),
        audit.Thing(resource, version.object_id, version.name, version.workspace_id),
        actor=actor,
        before=before if latest else None,
        after=None if is_deleted else after,
    )


def lock(instance: Instance) -> Instance:
    """The row of `instance` as it is now, locked until the transaction ends. Raises NotFound."""
    found = type(instance)._default_manager.select_for_update().filter(pk=instance.pk).first()
    if found is None:
        raise NotFound(type(instance).resource, instance.name)
    return cast(Instance, found)


def history(kind: str, instance: Configuration) -> QuerySet[Version]:
    """The versions of `instance`, the newest first."""
    return Version.objects.filter(
        kind=kind, object_id=instance.pk, workspace_id=instance.workspace_id
    ).order_by("-number")


def restore(version: Version, actor: Actor | None) -> Version:
    """Makes the object what it was in `version`, as a new version.

    Raises NotFound where the object is deleted, InvalidConfig where something that it was built of is.
    """
    with transaction.atomic():
        model = models_by_kind[version.kind]
        instance = lock(model(id=version.object_id, name=version.name))
        apply(instance, version.data)
        return record(instance, actor, "restored")


def diff(before: Version, after: Version) -> dict[str, dict[str, Any]]:
    """What differs: dotted path → {old, new}. None stands for absent too."""
    return compare(before.data, after.data)


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same of any two definitions."""
    old, new = dict(_flat(before)), dict(_flat(after))
    paths = (old.keys() | new.keys()) - {SOURCE}
    changed = sorted(path for path in paths if old.get(path) != new.get(path))
    return {path: {"old": old.get(path), "new": new.get(path)} for path in changed}


def hash_of(data: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON (sorted keys, no spaces, UTF-8) without its source, in hexadecimal."""
    data = {name: value for name, value in data.items() if name != SOURCE}
    canonical = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict) and (value or not path):
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    else:
        yield path, value
