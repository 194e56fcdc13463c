"""Publishing: which version of a workflow runs, moved by compare-and-set."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, InvalidConfig, NotFound
from agents.models import Version, Workflow
from agents.versions import history, lock
from agents.workflows.catalogue import WorkspaceCatalogue
from agents.workflows.checks import check
from agents.workflows.document import parse, references_of

ANY: Any = object()
"""Whatever is published at the moment may be replaced."""


def publish(workflow: Workflow, number: int | None = None, replaces: int | None = ANY) -> Workflow:
    """Makes a version the one that runs: that of `number`, else the draft. An older one rolls back.

    `replaces` is the number of the version that the caller takes for the published one, None for none. Raises
    NotFound, Conflict where it is another, InvalidConfig where the version could not run now.
    """
    with transaction.atomic():
        workflow = lock(workflow)
        current = workflow.published.number if workflow.published else None
        if replaces is not ANY and replaces != current:
            said = f"version {current}" if current else "none"
            raise Conflict(
                f"Another version has been published meanwhile: it is {said} now.",
                details={"published": current},
            )
        version = _version(workflow, number)
        _require_runnable(workflow, version)
        workflow.published, workflow.published_at = version, timezone.now()
        workflow.references = references_of([workflow.document, version.data["document"]])
        workflow.save(update_fields=["published", "published_at", "references", "updated_at"])
        before = {"version": current} if current else None
        audit.record(
            Action.PUBLISHED, audit.thing(workflow), before=before, after={"version": version.number}
        )
    return workflow


def _version(workflow: Workflow, number: int | None) -> Version:
    if number is None:
        assert workflow.version
        return workflow.version
    found = history(workflow.kind, workflow).filter(number=number).first()
    if found is None:
        raise NotFound("Version", number)
    return found


def _require_runnable(workflow: Workflow, version: Version) -> None:
    data = version.data["document"]
    catalogue = WorkspaceCatalogue(workflow.workspace_id, parse(data).references())
    if faults := check(data, catalogue, workflow.name):
        raise InvalidConfig({fault.path: fault.message for fault in faults})
