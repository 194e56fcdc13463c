"""What an MCP client may call: the workspace's configurations of some kinds, each kind with a prefix of its own.

A tool's name is the prefix of its kind and the configuration's name, `agent_writer`, so that an agent and a workflow
of one name are two tools, and none changes its name because of the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db.models import QuerySet

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.text import storable
from agents.models import Agent, Workflow
from agents.tools.base import ToolFault
from agents.tools.schemas import MESSAGE_SCHEMA, check_arguments
from agents.workflows.document import input_schema
from runs.commands import RunRequest

PAGE = 100
MOST_CHARACTERS = 1_000_000
"""Of a message, as everywhere."""
AGENT_SCHEMA: dict[str, Any] = {
    **MESSAGE_SCHEMA,
    "properties": {
        "message": {**MESSAGE_SCHEMA["properties"]["message"], "minLength": 1, "maxLength": MOST_CHARACTERS},
        "session_id": {
            "type": "string",
            "format": "uuid",
            "description": "A session of the platform in whose conversation this is said. Without it: a new one.",
        },
    },
}


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as a client sees it in the list."""

    name: str
    title: str
    description: str
    input_schema: Mapping[str, Any] = field(hash=False)


class Source(Protocol):
    """One kind of what can be called. `permission` is needed to see and to call it."""

    prefix: str
    permission: str

    def offered(self, actor: Actor, after: str, most: int) -> list[OfferedTool]:
        """Those of the actor's workspace whose configurations' names come after `after`, in their order."""

    def request(self, actor: Actor, name: str, arguments: Mapping[str, Any]) -> RunRequest:
        """The run that a call asks for. Raises NotFound, and Invalid for arguments that do not fit."""


class AgentTools:
    """Agents that are enabled, asked by a message."""

    prefix = "agent_"
    permission = "execute:agent"

    def offered(self, actor: Actor, after: str, most: int) -> list[OfferedTool]:
        agents = Agent.objects.visible_to(actor).filter(enabled=True, name__gt=after).order_by("name")
        return [
            OfferedTool(
                self.prefix + agent.name,
                agent.name,
                agent.description or f"Asks the agent {agent.name!r}.",
                AGENT_SCHEMA,
            )
            for agent in agents[:most]
        ]

    def request(self, actor: Actor, name: str, arguments: Mapping[str, Any]) -> RunRequest:
        agents = Agent.objects.visible_to(actor).filter(name=name, enabled=True)
        if (key := agents.values_list("pk", flat=True).first()) is None:
            raise NotFound("Tool", self.prefix + name)
        _require_fit(AGENT_SCHEMA, arguments)
        messages = [{"role": "user", "content": arguments["message"]}]
        return RunRequest(messages, agent=str(key), session_id=_session_id(arguments))


class WorkflowTools:
    """Workflows that are enabled and published, given the input that their published versions describe."""

    prefix = "workflow_"
    permission = "execute:workflow"

    def offered(self, actor: Actor, after: str, most: int) -> list[OfferedTool]:
        workflows = self._published(actor).filter(name__gt=after).order_by("name")
        return [
            OfferedTool(
                self.prefix + workflow.name,
                workflow.name,
                workflow.description or f"Runs the workflow {workflow.name!r}.",
                _schema_of(workflow),
            )
            for workflow in workflows.select_related("published")[:most]
        ]

    def request(self, actor: Actor, name: str, arguments: Mapping[str, Any]) -> RunRequest:
        key = self._published(actor).filter(name=name).values_list("pk", flat=True).first()
        if key is None:
            raise NotFound("Tool", self.prefix + name)
        return RunRequest(workflow=str(key), values=arguments)

    def _published(self, actor: Actor) -> QuerySet[Workflow]:
        return Workflow.objects.visible_to(actor).filter(enabled=True, published__isnull=False)


SOURCES: tuple[Source, ...] = (AgentTools(), WorkflowTools())
"""In the order of their prefixes, which is the order of the list."""


def permitted(actor: Actor) -> list[Source]:
    """The sources that the actor may call from."""
    return [source for source in SOURCES if actor.may(source.permission)]


def list_tools(actor: Actor, cursor: str = "") -> tuple[list[OfferedTool], str]:
    """A page of the tools that the actor may call, and the cursor of the next one; empty after the last.

    A cursor is the name of the last tool before its page.
    """
    found: list[OfferedTool] = []
    for source in permitted(actor):
        if cursor.startswith(source.prefix) or cursor < source.prefix:
            after = cursor[len(source.prefix) :] if cursor.startswith(source.prefix) else ""
            found += source.offered(actor, storable(after), PAGE + 1 - len(found))
    return found[:PAGE], found[PAGE - 1].name if len(found) > PAGE else ""


def run_request(actor: Actor, tool: str, arguments: Mapping[str, Any]) -> RunRequest:
    """The run that a call of a tool asks for.

    Raises NotFound where the actor may call no such tool, and Invalid where the arguments do not fit its schema.
    """
    for source in permitted(actor):
        if tool.startswith(source.prefix):
            return source.request(actor, storable(tool[len(source.prefix) :]), arguments)
    raise NotFound("Tool", tool)


def _schema_of(workflow: Workflow) -> Mapping[str, Any]:
    assert workflow.published
    return input_schema(workflow.published.data["document"])


def _require_fit(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
    try:
        check_arguments(schema, arguments)
    except ToolFault as fault:
        raise Invalid(fault.message) from fault


def _session_id(arguments: Mapping[str, Any]) -> uuid.UUID | None:
    if (text := arguments.get("session_id")) is None:
        return None
    if (found := as_uuid(text)) is None:
        raise NotFound("Session", text)
    return found
