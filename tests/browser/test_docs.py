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


def test_redoc_shows_the_operations(offline_page):
    offline_page.goto("/api/v1/redoc")
    # ReDoc draws all of the schema before it shows any, which takes a slow machine half a minute.
    expect(offline_page.get_by_role("heading", name="List agents")).to_be_visible(timeout=100_000)
    assert offline_page.asked == []
