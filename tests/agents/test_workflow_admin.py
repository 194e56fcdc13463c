"""Workflows in the admin, by plain forms: what is saved, published, refused, and what the editor is told."""

from __future__ import annotations

import pytest
from django.urls import reverse

from agents.models import Workflow
from agents.workflows import drafts
from agents.workflows.editor import NEW
from tests.factories import WorkflowFactory
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def workflow(workspace) -> Workflow:
    return WorkflowFactory(workspace=workspace, name="story")


def page(name: str, *args) -> str:
    return reverse(f"admin:agents_workflow_{name}", args=args)


def check(user, workspace, text: str, **more):
    return signed_in(user).post(page("check"), {"workspace": workspace.pk, "text": text, **more})


def test_what_a_new_one_begins_with_is_valid(olivia, workspace):
    assert check(olivia, workspace, NEW).json()["faults"] == []


def test_adds_a_workflow_from_its_document(olivia, workspace):
    signed_in(olivia).post(page("add"), {"workspace": workspace.pk, "enabled": "on", "text": NEW})
    assert Workflow.objects.get(workspace=workspace).name == "my_workflow"


def test_a_save_is_a_version_with_its_author(olivia, workflow):
    data = {"seen": workflow.version_id, "enabled": "on", "text": workflow.source + "description: Other\n"}
    signed_in(olivia).post(page("change", workflow.pk), data)
    workflow.refresh_from_db()
    assert (workflow.version.number, workflow.version.author) == (2, "olivia")


def test_refuses_to_save_over_what_somebody_else_has_saved(olivia, workflow):
    seen = workflow.version_id
    drafts.save(workflow, None, {"description": "Changed meanwhile"})
    data = {"seen": seen, "enabled": "on", "text": workflow.source}
    answer = signed_in(olivia).post(page("change", workflow.pk), data)
    assert "Somebody else has changed it" in answer.content.decode()


def test_publishes_the_draft(olivia, workflow):
    drafts.save(workflow, None, {"description": "Changed"})
    data = {"_form_submitted": "on", "replaces": 1}
    signed_in(olivia).post(page("publish_this", workflow.pk), data)
    assert Workflow.objects.get(pk=workflow.pk).published.number == 2


def test_publishes_over_nothing_that_was_not_seen(olivia, workflow):
    drafts.save(workflow, None, {"description": "Changed"})
    data = {"_form_submitted": "on", "replaces": ""}
    signed_in(olivia).post(page("publish_this", workflow.pk), data)
    assert Workflow.objects.get(pk=workflow.pk).published.number == 1


def test_rolls_back_to_a_version(olivia, workflow):
    drafts.save(workflow, None, {"description": "Changed"})
    signed_in(olivia).post(page("publish_this", workflow.pk), {"_form_submitted": "on", "replaces": 1})
    data = {"_form_submitted": "on", "replaces": 2, "number": 1}
    signed_in(olivia).post(page("roll_back_this", workflow.pk), data)
    assert Workflow.objects.get(pk=workflow.pk).published.number == 1


def test_a_user_publishes_nothing(bob, workflow):
    drafts.save(workflow, None, {"description": "Changed"})
    signed_in(bob).post(page("publish_this", workflow.pk), {"_form_submitted": "on", "replaces": 1})
    assert Workflow.objects.get(pk=workflow.pk).published.number == 1


def test_shows_what_differs_between_two_versions(olivia, workflow):
    drafts.save(workflow, None, {"description": "Quite another one"})
    answer = signed_in(olivia).get(page("history", workflow.pk), {"old": 1, "new": 2})
    assert "Quite another one" in answer.content.decode()


def test_exports_the_document_as_it_was_written(olivia, workflow):
    assert signed_in(olivia).get(page("export_this", workflow.pk)).content.decode() == workflow.source


def test_tells_the_editor_where_a_text_is_no_yaml(olivia, workspace):
    assert check(olivia, workspace, "a: 1\nb: [").json()["faults"][0]["line"] is not None


def test_tells_the_editor_what_there_is_to_complete_from(olivia, workspace, workflow):
    answer = signed_in(olivia).get(page("vocabulary"), {"workspace": workspace.pk}).json()
    assert answer["names"]["workflow"] == ["story"]


def test_tells_the_editor_the_outline(olivia, workspace):
    outline = check(olivia, workspace, NEW).json()["outline"]
    assert outline["nodes"][1] == {"id": "prepare", "kind": "transform", "cases": [], "line": 11}


@pytest.mark.parametrize("who", ["vera", "bob", "charlie"])
def test_looks_at_texts_only_for_those_who_write_workflows(request, workspace, who):
    assert check(request.getfixturevalue(who), workspace, NEW).status_code == 403


def test_lets_nobody_look_into_a_foreign_workspace(charlie, workspace):
    assert signed_in(charlie).get(page("vocabulary"), {"workspace": workspace.pk}).status_code == 403
