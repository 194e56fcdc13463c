"""Create, change and delete models, tools and agents: one transaction each, with version and author."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from django.db import IntegrityError, connection, transaction

from accounts.actor import Actor
from agentplatform.lib import secrets
from agentplatform.lib.errors import Conflict
from agents.models import Agent, ChatModel, Configuration, McpServer, Secret, Tool, Workflow
from agents.snapshots import reference, set_fallbacks
from agents.versions import lock, record

Instance = TypeVar("Instance", bound=Configuration)
SHOWN = 5


def save(instance: Instance, actor: Actor | None, values: Mapping[str, Any]) -> Instance:
    """Writes `values` to a new or a locked row, and records the version.

    `values` are attributes, relations, and secrets in plain (`api_key`, `secret_headers`), all by name.
    Raises Conflict where the name is taken.
    """
    change = "created" if instance._state.adding else "updated"
    relations = {field.name for field in instance._meta.many_to_many} & values.keys()
    with transaction.atomic(), _conflicts(instance):
        _check_rename(instance, values.get("name", instance.name))
        for name in values.keys() - relations:
            setters.get(name, partial(_set_attribute, name))(instance, values[name])
        instance.save()
        for name in relations:
            set_relation(instance, name, values[name])
        record(instance, actor, change)
    return instance


def _check_rename(instance: Configuration, name: str) -> None:
    """Workflows call by name. A workflow's own name is free as long as no other calls it."""
    if (
        instance._state.adding
        or name == instance.name
        or not (users := workflows_with(instance, instance.name))
    ):
        return
    said = f"{_listed(users)} calls this {_noun(instance)} {instance.name!r}. Change that first, or keep the name."
    raise Conflict(said, details={"used_by": users})


def delete(instance: Configuration, actor: Actor | None) -> None:
    """Deletes it and keeps its versions. Raises Conflict, naming what still uses it."""
    with transaction.atomic(), _conflicts(instance):
        lock(instance)
        if users := users_of(instance):
            message = (
                f"The {_noun(instance)} {instance.name!r} is used by {_listed(users)}. Take it off first."
            )
            raise Conflict(message, details={"used_by": users})
        record(instance, actor, "deleted")
        instance.delete()


def set_relation(instance: Configuration, name: str, related: list[Any]) -> None:
    if isinstance(instance, ChatModel) and name == "fallbacks":
        set_fallbacks(instance, related)
    else:
        getattr(instance, name).set(related)


def new_secret(instance: Configuration, value: str) -> Secret:
    """A new row for a secret of `instance`; rows are never changed, because versions refer to them."""
    return Secret.objects.create(workspace_id=instance.workspace_id, value=value, hint=secrets.hint(value))


def set_api_key(model: ChatModel, value: str | None) -> None:
    """Gives the model this key, or none."""
    model.secret = new_secret(model, value) if value else None


def set_secret_headers(tool: Tool, values: Mapping[str, str | None] | None) -> None:
    """Sets headers that have a value, removes those with None, keeps the others; None itself removes all."""
    tool.secret_headers = _merged(tool, tool.secret_headers, values)


def set_mcp_secrets(server: McpServer, values: Mapping[str, str | None] | None) -> None:
    """The same for the secret headers or variables of an MCP server."""
    server.secret_values = _merged(server, server.secret_values, values)


def _merged(
    instance: Configuration, stored: Mapping[str, Any], values: Mapping[str, str | None] | None
) -> dict[str, Any]:
    if values is None:
        return {}
    given = {name: reference(new_secret(instance, value)) for name, value in values.items() if value}
    return {name: stored[name] for name in kept_names(stored, values)} | given


def kept_names(stored: Iterable[str], values: Mapping[str, str | None] | None) -> list[str]:
    """The names of stored secrets that stay when `values` are written. Their case does not count."""
    written = {name.lower() for name in values or {}}
    return [] if values is None else [name for name in stored if name.lower() not in written]


def set_default(agent: Agent, value: bool) -> None:
    """The flag moves: at most one agent of a workspace has it."""
    agent.is_default = value
    if value:
        others = Agent.objects.filter(workspace_id=agent.workspace_id, is_default=True).exclude(pk=agent.pk)
        others.update(is_default=False)


def _set_attribute(name: str, instance: Configuration, value: Any) -> None:
    setattr(instance, name, value)


setters: dict[str, Callable[[Any, Any], None]] = {
    "api_key": set_api_key,
    "secret_headers": set_secret_headers,
    "secrets": set_mcp_secrets,
    "is_default": set_default,
}


def users_of(instance: Configuration) -> list[str]:
    """Whatever would break without `instance`, by kind and name."""
    users: list[str] = []
    if isinstance(instance, ChatModel | Tool):
        users += [f"agent {name}" for name in instance.agents.order_by("name").values_list("name", flat=True)]
    if isinstance(instance, ChatModel):
        users += [
            f"agent {name}"
            for name in instance.summarizes_for.order_by("name").values_list("name", flat=True)
        ]
        users += [
            f"model {name}" for name in instance.fallback_of.order_by("name").values_list("name", flat=True)
        ]
        bases = instance.knowledge_bases.order_by("name")
        users += [f"knowledge base {name}" for name in bases.values_list("name", flat=True)]
    if isinstance(instance, Agent):
        users += [
            f"tool {name}" for name in instance.tools_of.order_by("name").values_list("name", flat=True)
        ]
    if isinstance(instance, McpServer):
        users += [f"tool {name}" for name in instance.tools.order_by("name").values_list("name", flat=True)]
    return [*users, *workflows_with(instance, instance.name)]


def workflows_with(instance: Configuration, name: str) -> list[str]:
    """The workflows that call `instance` by this name."""
    rows = Workflow.objects.filter(workspace_id=instance.workspace_id)
    found = rows.filter(references__contains=[f"{instance.kind.value}:{name}"]).order_by("name")
    return [f"workflow {name}" for name in found.values_list("name", flat=True)]


def _listed(names: list[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _noun(instance: Configuration) -> str:
    return instance.kind.value


@contextmanager
def _conflicts(instance: Configuration) -> Iterator[None]:
    """The database has the last word on what is unique; its refusal becomes a Conflict."""
    try:
        yield
        # References are checked at the commit otherwise, too late for a clear answer.
        connection.check_constraints()
    except IntegrityError as error:
        if re.search(r"_name_once\b", str(error)):
            raise Conflict(
                f"There is already a {_noun(instance)} {instance.name!r}. Choose another name."
            ) from error
        if "agent_default_once" in str(error):
            raise Conflict("Another agent was made the default at the same moment. Try again.") from error
        raise Conflict("Something that it refers to was deleted at the same moment. Try again.") from error
