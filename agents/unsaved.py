"""Configurations as a form has them and nobody has saved them: what is needed to try them.

An agent gets a version of its own for that, since runs point at versions; it belongs to no agent's history. The same
agent tried again has the same one. Models and tools are tried without leaving anything.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from accounts.actor import Actor
from agentplatform.lib.ids import uuid7
from agents import snapshots, versions
from agents.launch import Launch, require_usable
from agents.models import Agent, ChatModel, Configuration, Kind, Tool, Version

TRIED = "tried"
"""The `change` of a version that was made to try an agent before it is saved."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A model or a tool as it would be saved, and the secrets that it would be saved with, by their ids."""

    version: Version
    secrets: Mapping[uuid.UUID, str]


def launch_of(agent: Agent, tools: Iterable[Tool], actor: Actor) -> Launch:
    """An agent with these tools as a run is about to use it, once, by `actor`.

    One that has never been saved has no id that a run could point at. Raises InvalidConfig where something that it
    needs is disabled.
    """
    tools = sorted(tools, key=lambda tool: tool.name)
    agent.enabled = True
    pins = [*_models(agent), *(tool.version_id for tool in tools), *_servers(tools)]
    found = [pin for pin in dict.fromkeys(pins) if pin]
    require_usable(agent, agent.model, found)
    version = _version(agent, snapshots.agent_definition(agent, tools), actor)
    is_new = agent._state.adding
    return Launch(
        agent_id=None if is_new else agent.pk,
        name=agent.name,
        version_id=version.pk,
        model_id=agent.model_id,
        pins=found,
        currency=agent.workspace.currency,
        model=agent.model.name,
        inputs=frozenset(agent.model.inputs),
    )


def draft_of_model(model: ChatModel, api_key: str) -> Draft:
    """A model as it would be saved; a typed key takes the place of the stored one."""
    data = snapshots.definition(model)
    secrets: dict[uuid.UUID, str] = {}
    if api_key:
        key = uuid7()
        data["api_key"] = {"secret": str(key), "hint": ""}
        secrets[key] = api_key
    return Draft(_unsaved_version(model, data), secrets)


def draft_of_tool(tool: Tool, typed_headers: Mapping[str, str | None]) -> Draft:
    """A tool as it would be saved; typed headers go over the stored ones, None removes one."""
    data = snapshots.definition(tool)
    headers, secrets = dict(data["secret_headers"]), {}
    for name, value in typed_headers.items():
        headers.pop(name, None)
        if value is not None:
            key = uuid7()
            headers[name], secrets[key] = {"secret": str(key), "hint": ""}, value
    return Draft(_unsaved_version(tool, {**data, "secret_headers": headers}), secrets)


def _models(agent: Agent) -> list[uuid.UUID | None]:
    """The versions of the agent's model, of those that stand in for it, and of the one that writes summaries."""
    rows = agent.model.fallback_rows.filter(fallback__enabled=True).order_by("position", "id")
    summary = agent.summary_model.version_id if agent.summary_model else None
    return [agent.model.version_id, *rows.values_list("fallback__version_id", flat=True), summary]


def _servers(tools: Iterable[Tool]) -> list[uuid.UUID | None]:
    return [tool.mcp_server.version_id for tool in tools if tool.mcp_server]


def _version(agent: Agent, data: snapshots.Definition, actor: Actor) -> Version:
    fingerprint = versions.hash_of(data)
    known = Version.objects.filter(
        workspace_id=agent.workspace_id, kind=Kind.AGENT, name=agent.name, change=TRIED, hash=fingerprint
    )
    return known.first() or Version.objects.create(
        workspace_id=agent.workspace_id,
        kind=Kind.AGENT,
        object_id=uuid7(),
        number=1,
        name=agent.name,
        data=data,
        hash=fingerprint,
        change=TRIED,
        author_id=actor.user_id,
        author=actor.username,
    )


def _unsaved_version(instance: Configuration, data: snapshots.Definition) -> Version:
    return Version(
        workspace_id=instance.workspace_id,
        kind=instance.kind,
        object_id=instance.pk,
        number=0,
        name=instance.name,
        data=data,
    )
