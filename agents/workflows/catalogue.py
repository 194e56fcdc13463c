"""What a workspace has of that which a document refers to, read in a query for each kind."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from agents.models import Agent, ChatModel, Configuration, Tool, Workflow
from agents.tools import functions
from agents.tools.schemas import MESSAGE_SCHEMA, QUERY_SCHEMA
from agents.workflows.checks import Entry
from agents.workflows.document import input_schema

_MODELS: dict[str, type[Configuration]] = {"agent": Agent, "model": ChatModel, "tool": Tool}


class WorkspaceCatalogue:
    """A `checks.Catalogue` of one workspace, for the references that it is made with."""

    def __init__(self, workspace_id: uuid.UUID, references: Iterable[tuple[str, str]]) -> None:
        names: defaultdict[str, set[str]] = defaultdict(set)
        for kind, name in references:
            names[kind].add(name)
        self._found: dict[tuple[str, str], Entry] = {}
        for kind, model in _MODELS.items():
            if names[kind]:
                self._read(
                    kind, model._default_manager.filter(workspace_id=workspace_id, name__in=names[kind])
                )
        if names["workflow"]:
            self._read_workflows(workspace_id, names["workflow"])

    def find(self, kind: str, name: str) -> Entry | None:
        return self._found.get((kind, name))

    def _read(self, kind: str, rows: QuerySet[Any]) -> None:
        if kind == "model":
            rows = rows.filter(purpose=ChatModel.Purpose.CHAT)
        if kind == "tool":
            rows = rows.select_related("agent", "mcp_server")
        for row in rows:
            self._found[kind, row.name] = Entry(_is_enabled(row), _schema(row))

    def _read_workflows(self, workspace_id: uuid.UUID, names: set[str]) -> None:
        """With all that they call in turn, level by level: what goes in a circle is met again and left."""
        called: dict[str, set[str]] = {}
        rows: dict[str, Workflow] = {}
        pending = names
        while pending:
            level = Workflow.objects.filter(workspace_id=workspace_id, name__in=pending).select_related(
                "published"
            )
            for row in level:
                rows[row.name], called[row.name] = row, _called_by(row)
            pending = set().union(*(called[row.name] for row in level)) - called.keys() if level else set()
            pending -= rows.keys()
        for name in names & rows.keys():
            row = rows[name]
            document = row.published.data["document"] if row.published else row.document
            self._found["workflow", name] = Entry(
                row.enabled,
                input_schema(document),
                row.published is not None,
                frozenset(_all_called(name, called)),
            )


def _is_enabled(row: Any) -> bool:
    """Of a tool, with the agent or the MCP server that it asks."""
    asked = (row.agent, row.mcp_server) if isinstance(row, Tool) else ()
    return all(part.enabled for part in (row, *asked) if part)


def _schema(row: Any) -> dict[str, Any] | None:
    """Of a tool's arguments; None of what has none."""
    if not isinstance(row, Tool):
        return None
    if row.tool_kind == Tool.ToolKind.AGENT:
        return MESSAGE_SCHEMA
    if row.tool_kind == Tool.ToolKind.KNOWLEDGE:
        return QUERY_SCHEMA
    own = functions.registry.get(row.function)
    return row.arguments_schema or (own.schema if own else {})


def _called_by(row: Workflow) -> set[str]:
    """By draft or published version."""
    return {
        reference.removeprefix("workflow:")
        for reference in row.references
        if reference.startswith("workflow:")
    }


def _all_called(name: str, called: dict[str, set[str]]) -> set[str]:
    pending, found = [name], set[str]()
    while pending:
        for other in called.get(pending.pop(), ()):
            if other not in found:
                found.add(other)
                pending.append(other)
    return found
