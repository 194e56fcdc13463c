"""A workflow's draft: read from text or JSON, checked, saved as a version, and written out again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid
from agents import editing
from agents.models import Version, Workflow
from agents.workflows import text
from agents.workflows.catalogue import WorkspaceCatalogue
from agents.workflows.checks import check
from agents.workflows.document import parse
from agents.workflows.faults import Fault
from agents.workflows.structure import structural_faults

Json = dict[str, Any]

# What of a document stands in columns of its own.
HEAD = ("name", "description", "tags")
BODY = ("input", "state", "nodes", "edges")


@dataclass(frozen=True, slots=True)
class Draft:
    """A document that somebody has written, and what is wrong with it."""

    data: Json
    source: str = ""
    faults: list[Fault] = field(default_factory=list)

    @property
    def values(self) -> Json:
        """The columns of a Workflow. What its head leaves out is not among them."""
        head = {name: self.data[name] for name in HEAD if name in self.data}
        body = {name: self.data[name] for name in BODY if name in self.data}
        return {**head, "document": body, "source": self.source or text.write(self.data)}

    def faults_json(self) -> list[Json]:
        """The faults with the lines of the text that they stand in."""
        lines = text.lines(self.source, self.faults) if self.source else [None] * len(self.faults)
        return [fault.as_json(line) for fault, line in zip(self.faults, lines, strict=True)]

    def require_valid(self) -> None:
        """Raises Invalid with an entry per fault."""
        if self.faults:
            raise Invalid({f"document.{fault.path}".rstrip("."): fault.message for fault in self.faults})


def read(workspace_id: uuid.UUID, written: str | Mapping[str, Any], name: str = "") -> Draft:
    """A document, as text or as JSON, checked against what the workspace has. `name` is the workflow's, if it has one.

    Raises Invalid for a text that is neither YAML nor JSON.
    """
    source = written if isinstance(written, str) else ""
    data: Json = text.read(written) if isinstance(written, str) else dict(written)
    if faults := structural_faults(data):
        return Draft(data, source, faults)
    catalogue = WorkspaceCatalogue(workspace_id, parse(data).references())
    return Draft(data, source, check(data, catalogue, name or data.get("name", "")))


def save(workflow: Workflow, actor: Actor | None, values: Mapping[str, Any]) -> Workflow:
    """Writes columns of a draft, its document among them or not, and records the version. Raises Conflict."""
    if "document" in values:
        values = {**values, "references": workflow.needs(values["document"])}
    return editing.save(workflow, actor, values)


def export(workflow: Workflow) -> str:
    """The draft as text: as it was written, comments included, unless it was changed by another way since."""
    whole = whole_document(workflow)
    if workflow.source and _same(text.read(workflow.source), whole):
        return workflow.source
    return text.write(whole)


def at_version(workflow: Workflow, version: Version) -> Workflow:
    """The workflow as it stood in a version; not to be saved."""
    data = version.data
    return Workflow(
        name=data["name"],
        description=data["description"],
        tags=data["tags"],
        document=data["document"],
        source=data["source"],
    )


def whole_document(workflow: Workflow) -> Json:
    """The draft with its head, as it can be loaded."""
    head = {name: value for name in HEAD if (value := getattr(workflow, name))}
    return {**head, **workflow.document}


def _same(written: Json, whole: Json) -> bool:
    return {name: value for name, value in written.items() if value or name not in HEAD} == whole
