"""The editor of workflows: problems, completion and the picture as one types; saving, publishing, running, watching."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from agents.models import Workflow
from runs.models import Run
from tests.engine.workflows import publish_now
from tests.factories import ChatModelFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

STORY = """\
name: story
# Two answers side by side.
state:
  first: {type: string}
  second: {type: string}
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: together}
  - id: quick
    kind: transform
    set: {first: input.message}
  - id: slow
    kind: llm
    label: Ask the slow model
    model: talker
    prompt: "Say it: {{ input.message }}"
    output: second
  - {id: together, kind: join}
  - {id: end, kind: end, output: "{{ state.second }}"}
edges:
  - {from: start, to: fan}
  - {from: fan, to: quick}
  - {from: fan, to: slow}
  - {from: quick, to: together}
  - {from: slow, to: together}
  - {from: together, to: end}
"""


@pytest.fixture
def story(workspace) -> Workflow:
    ChatModelFactory(workspace=workspace, name="talker", parameters={"delay_ms": 150})
    return publish_now(workspace, STORY)


@pytest.fixture
def editor(page_of, olivia, story):
    """The editor's page, once it has looked at the text."""
    page = page_of(olivia, viewport={"width": 1440, "height": 1000})
    page.goto(reverse("admin:agents_workflow_change", args=[story.pk]))
    expect(page.locator(".workflow-problems")).to_have_attribute("data-state", "good")
    return page


def write(page, text: str) -> None:
    """Puts a text in the place of what stands there, as if it were pasted."""
    page.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def node(page, name: str):
    return page.locator(f'.workflow-picture [data-node="{name}"]')


def test_names_an_error_beside_the_text(editor):
    write(editor, STORY.replace("model: talker", "model: nobody"))
    expect(editor.locator(".workflow-problems button")).to_contain_text("nodes.slow.model")


def test_marks_the_line_of_an_error(editor):
    write(editor, STORY.replace("model: talker", "model: nobody"))
    expect(editor.locator(".cm-lintRange-error")).to_have_text("model: nobody")


def test_says_where_the_text_is_no_yaml(editor):
    write(editor, "name: [\n")
    expect(editor.locator(".workflow-problems button")).to_contain_text("neither YAML nor JSON")


def test_jumps_to_the_line_of_an_error(editor):
    write(editor, STORY.replace("model: talker", "model: nobody"))
    editor.locator(".workflow-problems button").click()
    expect(editor.locator(".cm-activeLine")).to_have_text("    model: nobody")


def completions(page, text: str):
    write(page, text)
    page.keyboard.press("Control+Space")
    return page.locator(".cm-tooltip-autocomplete")


def test_offers_the_kinds(editor):
    expect(completions(editor, "nodes:\n  - id: a\nkind: ".replace("\nkind", "\n    kind"))).to_contain_text(
        "approval"
    )


def test_offers_the_fields_of_the_kind_at_the_cursor(editor):
    offered = completions(
        editor, STORY.replace("    prompt:", "    te\n    prompt:").partition("    prompt:")[0][:-1]
    )
    expect(offered).to_contain_text("temperature")


def test_offers_the_names_of_the_workspace(editor):
    expect(completions(editor, "nodes:\n  - {id: a, kind: llm, model: ")).to_contain_text("talker")


def test_offers_the_fields_of_the_state_in_an_expression(editor):
    text = STORY.partition('"Say it: ')[0] + '"Say it: {{ state.'
    expect(completions(editor, text)).to_contain_text("second")


def test_offers_the_nodes_in_edges(editor):
    text = f"{STORY}  - {{from: "
    expect(completions(editor, text)).to_contain_text("together")


def test_picture_follows_the_text(editor):
    write(editor, STORY.replace("Ask the slow model", "Ask <b>again</b>"))
    expect(node(editor, "slow").locator(".label")).to_have_text("Ask <b>again</b>")


def test_saves_publishes_and_keeps_the_comment(editor, story):
    write(editor, STORY.replace("Two answers", "Still two answers"))
    editor.get_by_role("button", name="Save", exact=True).click()
    expect(editor.get_by_text("was changed successfully")).to_be_visible()
    story.refresh_from_db()
    assert "# Still two answers" in story.source


def test_publishes_the_draft(page_of, olivia, editor, story):
    write(editor, STORY.replace("Say it:", "Say this:"))
    editor.get_by_role("button", name="Save and continue editing").click()
    expect(editor.get_by_text("was changed successfully")).to_be_visible()
    editor.get_by_role("link", name="Publish").click()
    editor.get_by_role("button", name="Publish", exact=True).click()
    expect(editor.get_by_text("Version 2 is published.")).to_be_visible()


def test_runs_it_and_shows_the_nodes_live(editor):
    editor.get_by_role("link", name="Run now").click()
    editor.locator("textarea[name=values]").fill('{"message": "Tell me a story, please."}')
    editor.get_by_role("button", name="Run", exact=True).click()
    expect(node(editor, "slow")).to_have_attribute("data-status", "running")
    expect(node(editor, "slow")).to_have_attribute("data-status", "completed")
    expect(node(editor, "end")).to_have_attribute("data-status", "completed")


def test_the_page_of_a_run_in_the_admin_shows_the_nodes_live(editor, story, olivia, http):
    editor.get_by_role("link", name="Run now").click()
    editor.locator("textarea[name=values]").fill('{"message": "Tell me a story, please."}')
    editor.get_by_role("button", name="Run", exact=True).click()
    expect(editor.locator("#status")).to_be_visible()
    editor.goto(reverse("admin:runs_run_change", args=[Run.objects.get(workflow=story).pk]))
    expect(node(editor, "end")).to_have_attribute("data-status", "completed")
    expect(node(editor, "slow").locator(".facts")).to_contain_text("tokens")


def test_without_its_script_it_is_a_text_area_that_says_what_is_wrong(page_of, olivia, story, problems):
    page = page_of(olivia)
    page.route("**/workflows/editor.js", lambda route: route.abort())
    page.goto(reverse("admin:agents_workflow_change", args=[story.pk]))
    page.locator("textarea[name=text]").fill(STORY.replace("model: talker", "model: nobody"))
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("There is no model 'nobody' in this workspace.")).to_be_visible()
    problems.clear()


def test_a_viewer_reads_the_document(page_of, vera, story):
    page = page_of(vera)
    page.goto(reverse("admin:agents_workflow_change", args=[story.pk]))
    expect(page.locator(".platform-document")).to_contain_text("Two answers side by side")


def test_fits_a_phone(page_of, olivia, story):
    page = page_of(olivia, viewport={"width": 360, "height": 740})
    page.goto(reverse("admin:agents_workflow_change", args=[story.pk]))
    expect(page.locator(".workflow-problems")).to_have_attribute("data-state", "good")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
