"""What starting a run needs to know of its workflow: which version, and the versions of all that it uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agentplatform.lib.errors import Conflict, InvalidConfig, NotFound
from agentplatform.lib.ids import as_uuid
from agents.models import ChatModel, Configuration, Fallback, Tool, Version, Workflow
from agents.workflows.catalogue import WorkspaceCatalogue
from agents.workflows.checks import check
from agents.workflows.document import Document, input_schema, parse


@dataclass(frozen=True, slots=True)
class WorkflowLaunch:
    """A workflow's version as a run is about to use it. `pins` are the current versions of models and tools."""

    workflow_id: uuid.UUID
    name: str
    version_id: uuid.UUID
    pins: list[uuid.UUID]
    currency: str
    input_schema: Mapping[str, Any]


def prepare_workflow(workspace_id: uuid.UUID, identifier: str, number: int | None = None) -> WorkflowLaunch:
    """The workflow with this id or name, in its published version or in that of a number.

    Raises NotFound, Conflict where nothing is published, InvalidConfig where it, or something that it needs, is
    disabled or gone.
    """
    workflow = _find(workspace_id, identifier)
    if not workflow.enabled:
        raise InvalidConfig({"workflow": f"{workflow.name!r} is disabled. Enable it, or use another."})
    version = _version(workflow, number)
    data = version.data["document"]
    document = parse(data)
    catalogue = WorkspaceCatalogue(workspace_id, document.references())
    if faults := check(data, catalogue, workflow.name):
        raise InvalidConfig({fault.path: fault.message for fault in faults})
    return WorkflowLaunch(
        workflow_id=workflow.pk,
        name=workflow.name,
        version_id=version.pk,
        pins=_pins(workspace_id, document),
        currency=workflow.workspace.currency,
        input_schema=input_schema(data),
    )


def require_workflow_usable(workflow: Workflow, pins: Iterable[uuid.UUID]) -> None:
    """Raises InvalidConfig where something that a run of earlier versions needs has been disabled since."""
    if not workflow.enabled:
        raise InvalidConfig({"workflow": f"{workflow.name!r} is disabled. Enable it, or use another."})
    used = Version.objects.filter(pk__in=list(pins)).values("object_id")
    tools = Tool.objects.filter(pk__in=used).select_related("agent", "mcp_server")
    _require_enabled("models", ChatModel.objects.filter(pk__in=used))
    _require_enabled(
        "tools", [part for tool in tools for part in (tool, tool.agent, tool.mcp_server) if part]
    )


def _require_enabled(field: str, parts: Iterable[Configuration]) -> None:
    if names := sorted({part.name for part in parts if not part.enabled}):
        raise InvalidConfig({field: f"{', '.join(names)}: disabled. Enable them first."})


def _find(workspace_id: uuid.UUID, identifier: str) -> Workflow:
    key = as_uuid(identifier)
    rows = Workflow.objects.filter(workspace_id=workspace_id).select_related("workspace", "published")
    found = rows.filter(pk=key).first() if key else rows.filter(name=identifier).first()
    if found is None:
        raise NotFound("Workflow", identifier)
    return found


def _version(workflow: Workflow, number: int | None) -> Version:
    if number is not None:
        found = Version.objects.filter(
            workspace_id=workflow.workspace_id, object_id=workflow.pk, number=number
        ).first()
        if found is None:
            raise NotFound("Version", number)
        return found
    if workflow.published is None:
        raise Conflict(
            f"The workflow {workflow.name!r} has no published version. Publish one, or name a version."
        )
    return workflow.published


def _pins(workspace_id: uuid.UUID, document: Document) -> list[uuid.UUID]:
    references = document.references()
    models = ChatModel.objects.filter(workspace_id=workspace_id, name__in=_names(references, "model"))
    tools = Tool.objects.filter(workspace_id=workspace_id, name__in=_names(references, "tool"))
    fallbacks = Fallback.objects.filter(model__in=models, fallback__enabled=True)
    found = [
        *models.values_list("version_id", flat=True),
        *fallbacks.values_list("fallback__version_id", flat=True),
        *tools.values_list("version_id", flat=True),
        *tools.filter(mcp_server__isnull=False).values_list("mcp_server__version_id", flat=True),
    ]
    return list(dict.fromkeys(key for key in found if key))


def _names(references: Iterable[tuple[str, str]], kind: str) -> list[str]:
    return [name for other, name in references if other == kind]
