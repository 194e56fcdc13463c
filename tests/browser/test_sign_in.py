"""Signing in with a password: to the admin, and to the page that every member uses."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from accounts.models import User
from tests.factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def sign_in(page, username: str, password: str) -> None:
    page.goto("/admin/")
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


def sign_in_to_chat(page, username: str, password: str) -> None:
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_lets_every_member_in_and_out_again(page_of, bob, agent):
    page = page_of()
    page.goto("/")
    sign_in_to_chat(page, "bob", PASSWORD)
    expect(page.get_by_role("heading", name="What can I do for you?")).to_be_visible()
    page.locator("#account > summary").click()
    expect(page.get_by_role("link", name="Open the admin")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in/$"))


def test_brings_an_auditor_to_pages_that_the_role_reaches(page_of, audrey, problems):
    User.objects.filter(pk=audrey.pk).update(is_staff=True)
    page = page_of()
    page.goto("/")
    sign_in_to_chat(page, "audrey", PASSWORD)
    expect(page).to_have_url(re.compile("/admin/$"))
    page.locator("#nav-sidebar").get_by_role("link", name="Audit log").click()
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    assert page.goto("/admin/runs/run/").status == 403
    expect(page.get_by_role("heading", name="Your role does not reach this page")).to_be_visible()
    page.get_by_role("link", name="Open the admin").click()
    expect(page).to_have_url(re.compile("/admin/$"))
    problems.clear()


def test_says_what_is_wrong_and_keeps_the_name(page_of, bob):
    page = page_of()
    page.goto("/sign-in/")
    sign_in_to_chat(page, "bob", "not the password")
    expect(page.get_by_role("alert")).to_contain_text("correct username and password")
    expect(page.get_by_label("User name")).to_have_value("bob")


def test_comes_back_to_what_was_typed_when_the_session_has_ended(page_of, context, bob, agent, problems):
    browser = context(bob)
    page = browser.new_page()
    page.goto("/")
    page.locator("#message").fill("Precious words")
    browser.clear_cookies(name="sessionid")
    page.locator("#message").press("Enter")
    sign_in_to_chat(page, "bob", PASSWORD)
    expect(page.locator("#message")).to_have_value("Precious words")
    problems.clear()
