"""The sections of this room: each kind of component goes its API's own road, so the same rules hold everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import QuerySet

from accounts.actor import Actor
from agentplatform.lib.errors import Conflict, Invalid
from agents import editing
from agents.api import representations, serializers
from agents.api.knowledge_serializers import KnowledgeBaseSerializer
from agents.api.mcp_serializers import McpServerSerializer
from agents.api.tool_serializers import ToolSerializer
from agents.api.workflow_serializers import WorkflowSerializer
from agents.configuration import documents
from agents.configuration.documents import DEFAULTS, KEPT, REQUIRED, TYPES, document_of, request_of
from agents.configuration.rows import RowSection, many, one
from agents.configuration.secrets import KEEP, resolved, resolved_names
from agents.configuration.sections import Json, Lookup, Reference, register
from agents.knowledge.documents import delete_base
from agents.models import Kind, KnowledgeBase, Workflow
from agents.workflows import publishing
from agents.workflows.document import parse
from agents.workflows.structure import structural_faults

Needs = Callable[[Mapping[str, Any]], dict[str, set[Reference]]]
# What decides where a secret is sent.
ENDPOINT: dict[str, tuple[str, ...]] = {
    Kind.MODEL: ("provider", "base_url"),
    Kind.TOOL: ("request",),
    Kind.MCP_SERVER: ("transport", "command", "arguments", "environment", "url", "headers"),
}


class KindSection(RowSection):
    """The components of a kind that has versions."""

    def __init__(
        self,
        kind: Kind,
        rows: QuerySet[Any],
        serializer: type[serializers.ConfigurationSerializer],
        data: Callable[[Any], Json],
        needs: Needs,
        loose: frozenset[str] = frozenset(),
    ) -> None:
        self.kind, self.rows, self.serializer, self.data, self.loose = kind, rows, serializer, data, loose
        self.type, self.key, self.resource = TYPES[kind], f"{TYPES[kind]}s", kind.value
        self.required, self.defaults, self.kept = REQUIRED[kind], DEFAULTS[kind], KEPT[kind]
        self._needs = needs

    def document(self, row: Any) -> Json:
        return document_of(self.kind, self.data(row))

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        return self._needs(document)

    def settled(self, document: Mapping[str, Any], current: Json, secrets: Lookup) -> Json:
        values = dict(document)
        if "request" in values:
            values["request"] = request_of(values["request"])
        if (endpoint := ENDPOINT.get(self.kind)) is None:
            return values
        moved = any(values.get(name) != current.get(name) for name in endpoint)
        for field in self.kept.keys() & values.keys():
            stored, given = current.get(field), values.pop(field)
            found: Any = (
                resolved(field, given, stored, secrets, moved=moved)
                if self.kept[field] is None
                else resolved_names(field, given, stored or {}, secrets, moved=moved)
            )
            if found is not KEEP and found != {} and (found is not None or stored):
                values[field] = found
        return values

    def remove(self, actor: Actor, row: Any) -> None:
        editing.delete(row, actor)


class WorkflowSection(KindSection):
    """Workflows: the draft, and with `published` whether it is what runs, or which document is."""

    def write(self, actor: Actor, row: Any, name: str, values: Json) -> None:
        running = values.pop("published", None)
        if isinstance(running, dict) and not _runs(row, running):
            self._publish(actor, self._draft(actor, row, name, {**values, "document": running}))
            row = self.find(actor, name)
        row = self._draft(actor, row, name, values)
        if running is True and not _runs(row, row.document):
            self._publish(actor, row)
        if running is False and row.published_id:
            raise Invalid(
                {"published": "What is published stays so. Leave this out, or set enabled to false."}
            )
        if running not in (None, True, False) and not isinstance(running, dict):
            raise Invalid(
                {"published": "Use true, false, or the document that is to run in the draft's place."}
            )

    def _draft(self, actor: Actor, row: Any, name: str, values: Json) -> Workflow:
        """A text with its comments stays as long as its document does."""
        is_same = row is not None and row.document == values.get("document")
        data = {field: value for field, value in values.items() if field != "document" or not is_same}
        saved: Workflow = self.serialize(actor, row, {**data, "name": name}, partial=is_same)
        return saved

    def _publish(self, actor: Actor, workflow: Workflow) -> None:
        actor.require("publish:workflow")
        publishing.publish(workflow)


def _runs(row: Any, document: Mapping[str, Any]) -> bool:
    """Whether this document is the published one."""
    return row is not None and row.published is not None and row.published.data["document"] == document


class KnowledgeSection(RowSection):
    """Knowledge bases, without their documents. They have no versions."""

    type, key, resource = "knowledge_base", "knowledge_bases", "knowledge"
    defaults = {"description": "", "embedding_model": None, "chunk_size": 1000, "chunk_overlap": 150}
    rows = representations.knowledge_bases
    serializer = KnowledgeBaseSerializer

    def document(self, row: Any) -> Json:
        return {**{name: getattr(row, name) for name in self.defaults}, "embedding_model": row.model_name}

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        return {"embedding_model": one("model", document.get("embedding_model"))}

    def remove(self, actor: Actor, row: KnowledgeBase) -> None:
        """Documents are no configuration, so they never go with one."""
        if count := row.documents.count():
            raise Conflict(
                f"The knowledge base {row.name!r} has {count} documents. Delete them, or it itself, first."
            )
        delete_base(row)


# --- what refers to what ---


def _model_needs(document: Mapping[str, Any]) -> dict[str, set[Reference]]:
    return {"fallbacks": many("model", document.get("fallbacks"))}


def _tool_needs(document: Mapping[str, Any]) -> dict[str, set[Reference]]:
    return {field: one(field, document.get(field)) for field in ("agent", "mcp_server", "knowledge_base")}


def _agent_needs(document: Mapping[str, Any]) -> dict[str, set[Reference]]:
    memory = document.get("memory")
    policy = memory.get("summarize") if isinstance(memory, Mapping) else None
    return {
        "model": one("model", document.get("model")),
        "memory": one("model", policy.get("model")) if isinstance(policy, Mapping) else set(),
        "tools": many("tool", document.get("tools")),
        "knowledge": many("knowledge_base", document.get("knowledge")),
    }


def _workflow_needs(document: Mapping[str, Any]) -> dict[str, set[Reference]]:
    bodies = {name: document.get(name) for name in ("document", "published")}
    return {
        name: parse(body).references()
        for name, body in bodies.items()
        if isinstance(body, dict) and not structural_faults(body)
    }


models = KindSection(
    Kind.MODEL,
    representations.models,
    serializers.ChatModelSerializer,
    documents.model_data,
    _model_needs,
    frozenset({"fallbacks"}),
)
mcp_servers = KindSection(
    Kind.MCP_SERVER, representations.mcp_servers, McpServerSerializer, documents.mcp_server_data, lambda _: {}
)
knowledge_bases = KnowledgeSection()
tools = KindSection(Kind.TOOL, representations.tools, ToolSerializer, documents.tool_data, _tool_needs)
agents = KindSection(
    Kind.AGENT,
    representations.agents,
    serializers.AgentSerializer,
    documents.agent_data,
    _agent_needs,
    frozenset({"tools"}),
)
workflows = WorkflowSection(
    Kind.WORKFLOW, representations.workflows, WorkflowSerializer, documents.workflow_data, _workflow_needs
)
COMPONENTS: dict[str, RowSection] = {
    section.type: section for section in (models, mcp_servers, knowledge_bases, tools, agents, workflows)
}
"""What `/config` shows one by one. The other sections are part of the whole only."""

for _section in COMPONENTS.values():
    register(_section)
