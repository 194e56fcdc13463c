"""What a run needs to know of a workflow, as plain frozen values read from immutable versions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentplatform.lib.errors import InvalidConfig
from agents.models import Kind, Tool, Version
from agents.pinned import parse_config, parse_model, parse_tool
from agents.specification import ModelSpecification, ToolSpecification
from agents.workflows.document import Document, Node, parse

# Methods that may be repeated by their meaning.
_REPEATABLE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class WorkflowSpecification:
    """A workflow's version with everything that its nodes use, by the nodes' ids."""

    version_id: uuid.UUID
    id: uuid.UUID
    workspace_id: uuid.UUID
    name: str
    document: Document
    models: Mapping[str, tuple[ModelSpecification, ...]] = field(hash=False)
    """A model and then its fallbacks, of each node that asks one."""
    tools: Mapping[str, ToolSpecification] = field(hash=False)
    """Of each node that calls one; an `http` node's own request is a tool of the node's name."""
    retries: int = 0

    @property
    def secret_ids(self) -> frozenset[uuid.UUID]:
        keys = {model.secret for chain in self.models.values() for model in chain if model.secret}
        return frozenset(keys.union(*(tool.secret_ids for tool in self.tools.values())))

    @property
    def asks_others(self) -> bool:
        """Whether it waits for runs of agents or other workflows."""
        kinds = {node.kind for node in self.document.nodes}
        return bool(kinds & {"agent", "workflow"}) or any(tool.agent for tool in self.tools.values())


def load_workflow(
    version_id: uuid.UUID, pins: Iterable[uuid.UUID | str], config: Mapping[str, Any] | None = None
) -> WorkflowSpecification:
    """The specification of a run, in one query. `config` is the run's own.

    Raises InvalidConfig where a version is gone.
    """
    versions = Version.objects.in_bulk([version_id, *(uuid.UUID(str(pin)) for pin in pins)])
    version = versions.pop(version_id, None)
    if version is None:
        raise InvalidConfig(f"The workflow's version {version_id} does not exist any more.")
    document = parse(version.data["document"])
    parts = _Parts(versions.values(), config or {})
    return WorkflowSpecification(
        version_id=version.pk,
        id=version.object_id,
        workspace_id=version.workspace_id,
        name=version.name,
        document=document,
        models={node.id: parts.models(node) for node in document.of_kind("llm")},
        tools={node.id: parts.tool(node) for node in document.nodes if node.kind in ("tool", "http")},
        retries=parse_config(config or {}).retries,
    )


class _Parts:
    def __init__(self, versions: Iterable[Version], config: Mapping[str, Any]) -> None:
        self.config = config
        self.versions = list(versions)
        self.by_name = {(version.kind, version.name): version for version in self.versions}
        self.by_object = {(version.kind, str(version.object_id)): version for version in self.versions}

    def models(self, node: Node) -> tuple[ModelSpecification, ...]:
        own = {name: node.data[name] for name in ("temperature", "max_tokens") if name in node.data}
        limits = parse_config({**own, **self.config})
        model = self._named(Kind.MODEL, node.data["model"])
        fallbacks = (self.by_object.get((Kind.MODEL, key)) for key in model.data["fallback_ids"])
        return tuple(parse_model(one, limits) for one in (model, *fallbacks) if one)

    def tool(self, node: Node) -> ToolSpecification:
        if node.kind == "http":
            return _request_of(node)
        tool = self._named(Kind.TOOL, node.data["tool"])
        return parse_tool(tool, self.by_object.get((Kind.MCP_SERVER, tool.data.get("mcp_server_id") or "")))

    def _named(self, kind: Kind, name: str) -> Version:
        if found := self.by_name.get((kind.value, name)):
            return found
        raise InvalidConfig(
            f"The {kind.value} {name!r} is not among the versions that this run is pinned to."
        )


def _request_of(node: Node) -> ToolSpecification:
    """A node's own request, as a tool that nobody has registered."""
    request = node.data["request"]
    repeatable = request.get("method", "GET").upper() in _REPEATABLE
    return ToolSpecification(
        version_id=uuid.UUID(int=0),
        id=uuid.UUID(int=0),
        name=node.id,
        description=node.data.get("description", ""),
        kind=Tool.ToolKind.HTTP,
        request=request,
        timeout_seconds=node.data.get("timeout", 30),
        idempotent=node.data.get("idempotent", repeatable),
    )
