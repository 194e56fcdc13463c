"""Exports in the admin, in the browser: asked for with the form, downloaded from the list."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from billing.exports import jobs
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
    expect(page.get_by_text("Queued").first).to_be_visible()
    jobs.make(jobs.claim_next())
    page.goto(LIST)
    shoot(page, "list")
    with page.expect_download() as begun:
        page.get_by_role("link", name="Download").click()
    assert Path(begun.value.path()).read_text() == "cost\n0.00021\n"
    page.get_by_role("link", name="202").first.click()
    shoot(page, "page")


def shoot(page, name: str) -> None:
    if folder := os.environ.get("SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
