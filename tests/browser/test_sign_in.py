"""Signing in to the admin with a password."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from accounts.models import User
from tests.factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def sign_in(page, username: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def staff(olivia):
    User.objects.filter(pk=olivia.pk).update(is_staff=True)
    return olivia


def test_lets_an_operator_in(page_of, staff):
    page = page_of()
    sign_in(page, "olivia", PASSWORD)
    expect(page.get_by_text("Running now")).to_be_visible()


def test_refuses_a_wrong_password(page_of, staff):
    page = page_of()
    sign_in(page, "olivia", "not the password")
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()


def test_goes_on_to_the_page_that_was_asked_for(page_of, staff):
    page = page_of()
    page.goto("/admin/runs/run/")
    page.get_by_label("Username").fill("olivia")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile("/admin/runs/run/$"))


def test_switches_the_language(page_of, staff):
    page = page_of(staff)
    page.goto("/admin/")
    page.locator("#nav-sidebar").get_by_text("olivia", exact=True).click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_text("正在运行")).to_be_visible()
