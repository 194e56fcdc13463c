"""Loading: a workflow created or updated by the name that its definition has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid
from agentplatform.lib.locks import lock_name
from agents import validation
from agents.models import Workflow, name_validator
from agents.versions import lock
from agents.workflows import drafts, publishing


def load(
    actor: Actor, definition: str | Mapping[str, Any], *, publish: bool = False
) -> tuple[Workflow, bool]:
    """The workflow, and whether it is new.

    What the definition's head leaves out is emptied, so that what is exported and loaded again is the same.

    Raises Invalid, and InvalidConfig where it is to be published and could not run.
    """
    draft = drafts.read(actor.workspace_id, definition)
    draft.require_valid()
    name = _name(draft.data)
    with transaction.atomic():
        # Two that load the same new name at once: the second updates what the first has made.
        lock_name(f"workflow:{actor.workspace_id}:{name}")
        found = Workflow.objects.filter(workspace_id=actor.workspace_id, name=name).first()
        workflow = lock(found) if found else Workflow(workspace_id=actor.workspace_id)
        empty = {"description": "", "tags": []}
        workflow = drafts.save(workflow, actor, {**empty, **draft.values})
        if publish:
            workflow = publishing.publish(workflow)
    return workflow, found is None


def _name(data: Mapping[str, Any]) -> str:
    name = data.get("name", "")
    if not name:
        raise Invalid({"document.name": "A definition that is loaded has a name: workflows are found by it."})
    try:
        name_validator(name)
    except ValidationError as error:
        raise Invalid({"document.name": error.messages[0]}) from error
    validation.check_name(name)
    return str(name)
