"""Tool calls that wait for a person: on the run's live page, and in the inbox of the admin."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from runs.models import Approval, Run
from tests.browser.test_live_run import ended, start_run
from tests.factories import AgentFactory, AgentToolFactory, ToolFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUESTION = "What is 17 * 23?"


@pytest.fixture
def careful(workspace):
    """An agent whose calculator requires an approval."""
    calculator = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    return AgentFactory(workspace=workspace, name="careful", tools=[calculator])


@pytest.fixture
def asking(workspace, careful):
    """An agent that asks the careful one."""
    tool = AgentToolFactory(workspace=workspace, name="ask_mathematician", agent=careful)
    return AgentFactory(workspace=workspace, name="asking", tools=[tool])


@pytest.fixture
def live(http, olivia, careful):
    """`live(page)`: the page on a run of olivia's that waits for a person."""

    def open_live(page, agent=careful) -> str:
        run_id = start_run(http(olivia), agent, QUESTION)
        page.goto(f"/runs/{run_id}/")
        ended(page, "waiting")
        return run_id

    return open_live


@pytest.fixture
def inbox(http, olivia, careful, live):
    """`inbox(page)`: the page on the inbox, in which one call waits."""

    def open_inbox(page) -> None:
        live(page)
        page.goto("/admin/runs/approval/")
        expect(page.get_by_role("link", name="calculator")).to_be_visible()

    return open_inbox


# the live page


def test_shows_what_a_person_has_to_decide(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    expect(page.locator("#approvals")).to_contain_text("calculator")
    expect(page.locator("#approvals pre")).to_contain_text('"expression": "17 * 23"')


def test_goes_on_after_an_approval(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Approve").click()
    ended(page, "completed")
    expect(page.locator("#answer")).to_contain_text("391")
    expect(page.locator("#approvals")).to_be_hidden()
    expect(page.locator(".approval-note")).to_contain_text("approved by olivia")


def test_tells_the_model_why_a_call_is_rejected(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Reject").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("Use your head.")
    dialog.get_by_role("button", name="Reject").click()
    ended(page, "completed")
    expect(page.locator(".approval-note")).to_contain_text("Use your head.")
    expect(page.locator("#answer")).to_contain_text("Use your head.")
    expect(page.locator(".call")).to_contain_text("failed")


def test_decides_nothing_when_the_dialog_is_left(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Reject").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave it waiting").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert Approval.objects.get().status == "pending"


def test_makes_the_call_with_other_arguments(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Arguments").fill('{"expression": "6 * 7"}')
    page.get_by_role("button", name="Approve with changes").click()
    ended(page, "completed")
    expect(page.locator("#answer")).to_contain_text("42")


@pytest.mark.parametrize(("text", "fault"), [("{", "That is no JSON"), ('{"sum": 1}', "do not fit")])
def test_keeps_wrong_arguments_to_be_mended(page_of, olivia, live, text, fault):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Arguments").fill(text)
    page.get_by_role("button", name="Approve with changes").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(fault)
    expect(page.get_by_label("Arguments")).to_have_value(text)


def test_shows_a_viewer_what_waits_and_no_buttons(page_of, vera, live):
    page = page_of(vera)
    live(page)
    expect(page.locator("#approvals")).to_contain_text("calculator")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_shows_others_what_was_decided(page_of, olivia, vera, live):
    watching, deciding = page_of(vera), page_of(olivia)
    run_id = live(deciding)
    watching.goto(f"/runs/{run_id}/")
    expect(watching.locator("#approvals")).to_be_visible()
    deciding.get_by_role("button", name="Approve").click()
    expect(watching.locator(".approval-note")).to_contain_text("approved by olivia")


def test_takes_the_buttons_away_when_the_run_is_cancelled(page_of, olivia, live):
    page = page_of(olivia)
    live(page)
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    ended(page, "cancelled")
    expect(page.locator("#approvals")).to_be_hidden()


def test_leads_to_the_run_that_waits_below(page_of, olivia, asking, live):
    page = page_of(olivia)
    run_id = live(page, asking)
    page.locator(".note").get_by_role("link", name="Watch its run").click()
    expect(page.locator("#approvals")).to_contain_text("calculator")
    page.get_by_role("button", name="Approve").click()
    ended(page, "completed")
    page.get_by_role("link", name="The run that has asked for it").click()
    ended(page, "completed")
    assert page.url.endswith(f"/runs/{run_id}/")


def test_resumes_a_run_with_a_larger_budget(page_of, http, olivia, agent):
    body = {"agent_id": agent.name, "input": QUESTION, "limits": {"max_tokens": 1}}
    run_id = http(olivia).post("/runs", json=body).json()["id"]
    page = page_of(olivia)
    page.goto(f"/runs/{run_id}/")
    ended(page, "paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_label("New limit").fill("100000")
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    ended(page, "completed")
    assert Run.objects.get(pk=run_id).limits == {"max_tokens": 100_000}


def test_fits_a_phone(page_of, olivia, live):
    page = page_of(olivia, viewport={"width": 360, "height": 740})
    live(page)
    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Arguments")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# the inbox


def test_approves_in_the_inbox(page_of, olivia, inbox):
    page = page_of(olivia)
    inbox(page)
    page.get_by_role("link", name="calculator").click()
    page.get_by_role("link", name="Approve").click()
    page.locator("#dialog").get_by_role("button", name="Approve").click()
    expect(page.get_by_text("The call of calculator is approved.")).to_be_visible()


def test_changes_a_call_in_the_inbox(page_of, olivia, inbox):
    page = page_of(olivia)
    inbox(page)
    page.get_by_role("link", name="calculator").click()
    page.get_by_role("link", name="Edit").click()
    page.locator("#dialog").get_by_label("Arguments").fill('{"sum": 1}')
    page.locator("#dialog").get_by_role("button", name="Approve with changes").click()
    expect(page.locator("#dialog")).to_contain_text("do not fit the tool")
    page.locator("#dialog").get_by_label("Arguments").fill('{"expression": "6 * 7"}')
    page.locator("#dialog").get_by_role("button", name="Approve with changes").click()
    expect(page.get_by_text("The call of calculator is changed and approved.")).to_be_visible()


def test_rejects_a_selection_in_the_inbox(page_of, olivia, inbox):
    page = page_of(olivia)
    inbox(page)
    page.locator("tbody input.action-select").check()
    page.locator("select[name=action]").select_option("reject_selected")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("heading", name="Reject these calls?").first).to_be_visible()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_text("The call of calculator is rejected.")).to_be_visible()


def test_offers_a_viewer_no_decision_in_the_inbox(page_of, vera, inbox):
    page = page_of(vera)
    inbox(page)
    page.get_by_role("link", name="calculator").click()
    expect(page.get_by_text("17 * 23")).to_be_visible()
    expect(page.get_by_role("link", name="Approve", exact=True)).to_have_count(0)
