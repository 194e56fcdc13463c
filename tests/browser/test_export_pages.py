"""Exports in the admin, in the browser: asked for with the form, downloaded from the list."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.factories import UsageRecordFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

LIST = "/admin/billing/usageexport/"


def test_an_export_is_asked_for_and_downloaded(page_of, alice, workspace):
    UsageRecordFactory(workspace=workspace)
    page = page_of(alice)
    page.goto(f"{LIST}add/")
    page.get_by_label("cost", exact=True).check()
    page.locator("select[name=delimiter]").select_option(";")
    shoot(page, "form")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url(f"**{LIST}")
    # The worker of the platform makes it.
    eventually(lambda: page.goto(LIST) and page.locator("#result_list").get_by_text("Completed").count())
    shoot(page, "list")
    with page.expect_download() as begun:
        page.locator("#result_list").get_by_role("link", name="Download").click()
    assert Path(begun.value.path()).read_text() == "cost\n0.00021\n"
    page.locator("#result_list th a, #result_list td a").first.click()
    shoot(page, "page")


def eventually(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def shoot(page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
