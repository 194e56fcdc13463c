"""The API's documentation pages: complete without any other server."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def offline_page(page_of, server):
    """A page that reaches nothing but the platform, and `asked`, what it has asked of others."""
    page = page_of()
    page.asked = []
    page.on(
        "request",
        lambda request: request.url.startswith((server, "data:", "blob:")) or page.asked.append(request.url),
    )
    return page


def test_swagger_shows_the_operations(offline_page):
    offline_page.goto("/api/v1/docs")
    expect(offline_page.get_by_text("List agents")).to_be_visible()
    assert offline_page.asked == []


def test_the_reference_lists_the_operations_and_shows_one(offline_page):
    offline_page.goto("/api/v1/redoc")
    expect(offline_page.get_by_text("List agents").first).to_be_visible()
    offline_page.locator('[data-content-id="get-/api/v1/agents"]').first.click()
    expect(offline_page.get_by_text("/api/v1/agents").first).to_be_visible()
    assert offline_page.asked == []
