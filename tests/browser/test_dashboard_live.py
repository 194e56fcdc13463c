"""The admin's first page stays true by itself, and leaves whoever reads it in peace."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from runs.models import Run, Status
from tests.browser.chat import fits, obstacles
from tests.factories import RunFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def figure(page, title):
    return page.locator(".platform-figure", has_text=title).locator("strong")


@pytest.fixture
def overview(page_of, olivia):
    """The first page, with a clock that a test moves on."""
    page = page_of(olivia)
    page.clock.install()
    page.goto("/admin/")
    return page


def test_tells_of_what_happens_without_a_reload(overview, workspace):
    expect(figure(overview, "Waiting for a person")).to_have_text("0")
    RunFactory(workspace=workspace, status=Status.PAUSED, input_query="What is new?")
    overview.clock.fast_forward(5000)
    expect(overview.get_by_role("link", name="What is new?")).to_be_visible()


def test_keeps_the_focus_of_whoever_reads(overview, workspace):
    title = overview.locator(".platform-figure", has_text="Failed in 24 hours")
    title.focus()
    RunFactory(workspace=workspace, status=Status.FAILED, error={"class": "timeout", "message": "late"})
    overview.clock.fast_forward(5000)
    expect(figure(overview, "Failed in 24 hours")).to_have_text("1")
    expect(title).to_be_focused()


def test_asks_for_nothing_while_nobody_looks(overview, workspace):
    asked = []
    overview.on("request", lambda request: asked.append(request.url))
    overview.evaluate(HIDE, True)
    overview.clock.fast_forward(60_000)
    # The browser itself may be late with the page's icon.
    assert [url for url in asked if "/static/" not in url] == []
    RunFactory(workspace=workspace, status=Status.PAUSED, input_query="Meanwhile")
    overview.evaluate(HIDE, False)
    expect(overview.get_by_role("link", name="Meanwhile")).to_be_visible()


def test_can_be_paused(overview, workspace):
    overview.get_by_role("button", name="Pause updates").click()
    expect(overview.locator("#live-state")).to_have_text("Paused")
    RunFactory(workspace=workspace, status=Status.PAUSED, input_query="Later")
    overview.clock.fast_forward(60_000)
    assert overview.get_by_role("link", name="Later").count() == 0
    overview.get_by_role("button", name="Pause updates").click()
    expect(overview.get_by_role("link", name="Later")).to_be_visible()


def test_says_when_it_is_cut_off_and_goes_on(overview, problems):
    overview.route("**/admin/overview/*", lambda route: route.abort())
    overview.clock.fast_forward(5000)
    expect(overview.locator("#live-state")).to_have_text("Connection lost, trying again …")
    overview.unroute("**/admin/overview/*")
    overview.clock.fast_forward(20_000)
    expect(overview.locator("#live-state")).to_have_text("Live")
    problems.clear()


def test_says_when_somebody_is_signed_out(overview, problems):
    overview.context.clear_cookies()
    overview.clock.fast_forward(5000)
    expect(overview.locator("#live-state")).to_have_text("You are signed out. Reload the page.")
    problems.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_keeps_nobody_out(page_of, olivia, workspace, scheme, width):
    for status in Status.values:
        RunFactory(workspace=workspace, status=status, error={"class": "timeout", "message": ""})
    page = page_of(olivia, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto("/admin/")
    assert Run.objects.count() == len(Status.values)
    assert fits(page)
    assert obstacles(page) == []
