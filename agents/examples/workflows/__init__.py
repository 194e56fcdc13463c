"""The example workflows, `*.yaml` beside this module, as the demo workspace creates and publishes them."""

from __future__ import annotations

from pathlib import Path

from accounts.models import Workspace
from agents.models import Version, Workflow
from agents.workflows import drafts, publishing

FOLDER = Path(__file__).parent
NAMES = (
    "trade-report",
    # Calls the one before it, which has to be published first.
    "market-briefing",
    "research-loop",
    "support-triage",
    "parallel-extraction",
    "translation-review",
    "expense-approval",
)
TOOLS = ("text_statistics", "look_up_order", "refund_order")
"""The functions that they call, besides the calculator and those of the trade assistant."""
MODEL = "demo"
"""The name of the model that stands in the files."""


def source(name: str, model: str = MODEL) -> str:
    """The text of an example, with `model` in the place of the model's name."""
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return text.replace(f"model: {MODEL}\n", f"model: {model}\n")


def create(workspace: Workspace, model: str) -> None:
    """Makes and publishes all of them. The models, tools and agents that they use have to be there."""
    for name in NAMES:
        _publish(Workflow(workspace=workspace), source(name, model))


def use_model(workspace: Workspace, model: str) -> None:
    """Publishes those anew that ask another model, as long as nobody has edited them."""
    for workflow in Workflow.objects.filter(workspace=workspace, name__in=NAMES):
        text = source(workflow.name, model)
        if workflow.source != text and not _was_edited(workflow):
            _publish(workflow, text)


def _publish(workflow: Workflow, text: str) -> None:
    draft = drafts.read(workflow.workspace_id, text, workflow.name)
    draft.require_valid()
    publishing.publish(drafts.save(workflow, None, draft.values))


def _was_edited(workflow: Workflow) -> bool:
    return Version.objects.filter(object_id=workflow.pk, author_id__isnull=False).exists()
