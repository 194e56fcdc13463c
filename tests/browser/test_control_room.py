"""The control room in the browser: a run's page that goes on, the panel beside a form, forks, filters, bulk actions."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from agents.models import Agent
from billing.models import UsageRecord
from runs.models import Run, RunStep, Status
from tests.browser.chat import fits, obstacles
from tests.factories import CheckpointFactory, RunFactory, RunStepFactory, ToolCallFactory, ToolFactory
from tests.runs.admin_support import path_of

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}


def change_page(row) -> str:
    return path_of(row._meta.label_lower, "change", row.pk)


def told_run(workspace, **fields) -> Run:
    run = RunFactory(
        workspace=workspace, input={"messages": [{"role": "user", "content": "What is 2 + 2?"}]}, **fields
    )
    RunStepFactory(run=run, messages=[{"role": "assistant", "content": "It is 4."}])
    ToolCallFactory(run=run, step_num=1, tool="calculator")
    return run


def test_a_runs_page_goes_on_by_itself(page_of, olivia, workspace):
    run = told_run(workspace, status=Status.PAUSED)
    page = page_of(olivia)
    page.goto(change_page(run))
    expect(page.locator(".platform-waterfall")).to_contain_text("calculator")
    RunStepFactory(run=run, messages=[{"role": "assistant", "content": "And now 5."}])
    expect(page.locator(".platform-said")).to_contain_text("And now 5.")
    expect(page.locator(".platform-waterfall")).to_contain_text("2. Model call")
    assert RunStep.objects.filter(run=run).count() == 2


def test_an_agent_is_tried_before_it_is_saved(page_of, olivia, agent_on, lent_platform):
    agent = agent_on("echo", name="helper")
    page = page_of(olivia)
    page.goto(change_page(agent))
    page.locator("#id_name").fill("another-name")
    page.get_by_label("Question").fill("Say it back")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#playground-answer")).to_contain_text("Say it back")
    expect(page.locator("#playground-state")).to_have_text("Completed")
    run = Run.objects.get()
    assert (run.agent_name, run.tags) == ("another-name", ["trial"])
    assert UsageRecord.objects.filter(run_id=run.pk).exists()
    assert Agent.objects.get().name == "helper"
    assert obstacles(page, "#playground") == []


def test_a_form_that_is_wrong_says_so_beside_itself(page_of, olivia, agent_on, problems):
    agent = agent_on("echo", name="helper")
    page = page_of(olivia)
    page.goto(change_page(agent))
    page.locator("#id_max_steps").fill("9999")
    page.get_by_label("Question").fill("Say it back")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#playground-errors")).to_contain_text("Use a number from 1 to 500.")
    problems.clear()


def test_a_tool_is_tested_beside_its_form(page_of, olivia, workspace):
    tool = ToolFactory(workspace=workspace, name="calculator")
    page = page_of(olivia, **PHONE)
    page.goto(change_page(tool))
    page.get_by_label("Arguments (JSON)").fill('{"expression": "6 * 7"}')
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#playground-answer")).to_have_text("42")
    assert fits(page)
    assert obstacles(page, "#playground") == []


@pytest.fixture
def forkable(workspace, olivia, agent_on):
    run = RunFactory(workspace=workspace, user=olivia, agent=agent_on("echo"))
    question, answer = {"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "4"}
    CheckpointFactory(run=run, messages=[question])
    CheckpointFactory(run=run, messages=[question, answer])
    return run


def test_two_checkpoints_are_compared(page_of, olivia, forkable):
    page = page_of(olivia)
    page.goto(change_page(forkable))
    page.get_by_role("link", name="Compare and fork").click()
    page.locator("input[name=old]").first.check()
    page.locator("input[name=new]").last.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("The first message is the same.")).to_be_visible()
    assert obstacles(page) == []


def test_a_run_is_forked_with_another_question(page_of, olivia, forkable, lent_platform):
    page = page_of(olivia, **PHONE)
    page.goto(path_of("runs.run", "checkpoints", forkable.pk))
    page.get_by_role("link", name="Fork: Step 0").click()
    assert fits(page)
    assert obstacles(page) == []
    page.get_by_label("Question").fill("What is 3 + 3?")
    page.get_by_role("button", name="Start the fork").click()
    expect(page.get_by_text("goes on from the checkpoint.")).to_be_visible()
    assert Run.objects.get(parent=forkable).input_query == "What is 3 + 3?"


def test_a_filter_is_saved_and_opened_again(page_of, olivia, workspace):
    RunFactory(workspace=workspace, status=Status.PAUSED, input_query="Resting")
    RunFactory(workspace=workspace, input_query="Done")
    page = page_of(olivia)
    page.goto(f"{path_of('runs.run', 'changelist')}?status=paused")
    page.get_by_text("Save this filter").click()
    page.locator("#filter-name").fill("At rest")
    page.locator(".platform-filters").get_by_role("button", name="Save").click()
    page.goto(path_of("runs.run", "changelist"))
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    page.get_by_role("link", name="At rest").click()
    expect(page.get_by_text("Resting")).to_be_visible()
    expect(page.get_by_text("Done", exact=True)).to_have_count(0)
    assert obstacles(page) == []
    page.get_by_role("button", name="Remove the filter At rest").click()
    expect(page.get_by_text("The filter “At rest” is removed.")).to_be_visible()


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_a_runs_page_keeps_nobody_out(page_of, olivia, workspace, options):
    page = page_of(olivia, **options)
    page.goto(change_page(told_run(workspace)))
    assert fits(page)
    assert obstacles(page) == []


def test_a_tools_form_shows_what_belongs_to_its_kind(page_of, olivia):
    page = page_of(olivia)
    page.goto("/admin/agents/tool/add/")
    request, headers = page.locator("#id_request"), page.get_by_text("Secret headers", exact=True)
    expect(page.locator("#id_function")).to_be_visible()
    expect(request).to_be_hidden()
    expect(headers).to_be_hidden()
    page.get_by_label("Kind").select_option("http")
    expect(request).to_be_visible()
    expect(headers).to_be_visible()
    expect(page.locator("#id_function")).to_be_hidden()
    page.locator("#id_request").fill("{no JSON")
    page.get_by_label("Kind").select_option("function")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(request).to_be_visible()
