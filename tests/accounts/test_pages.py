"""Signing in and out on a page."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import PASSWORD

pytestmark = pytest.mark.django_db


def sign_in(client: Client, username: str, password: str = PASSWORD, **fields: str):
    return client.post("/sign-in/", {"username": username, "password": password, **fields})


def test_signs_a_member_in_and_goes_to_the_chat(client, bob):
    assert sign_in(client, "bob").headers["Location"] == "/"


def test_goes_on_to_what_was_asked_for(client, bob):
    assert sign_in(client, "bob", next="/runs/1/").headers["Location"] == "/runs/1/"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"]
)
def test_goes_on_to_nothing_elsewhere(client, bob, target):
    assert sign_in(client, "bob", next=target).headers["Location"] == "/"


def test_slows_guessing_down(client, bob, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"login": "2/minute"}}
    for _ in range(3):
        sign_in(client, "bob", "guess")
    assert "Too many failed attempts" in sign_in(client, "bob").content.decode()


def test_speaks_chinese(client):
    assert "登录" in client.get("/sign-in/", headers={"accept-language": "zh-CN"}).content.decode()


def test_lets_nothing_but_its_own_files_run(client):
    policy = client.get("/sign-in/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in [directive.strip() for directive in policy.split(";")]
    assert "unsafe" not in policy


def test_is_passed_by_who_has_signed_in(client, bob):
    client.force_login(bob)
    assert client.get("/sign-in/").headers["Location"] == "/"


def test_needs_the_token_against_forgery(bob):
    assert sign_in(Client(enforce_csrf_checks=True), "bob").status_code == 403


def test_signs_out_by_post_alone(client, bob):
    client.force_login(bob)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").headers["Location"] == "/sign-in/"
    assert client.get("/").headers["Location"] == "/sign-in/?next=/"


def test_tells_a_member_who_may_not_enter_the_admin_so(client, bob):
    client.force_login(bob)
    answer = client.get("/admin/", follow=True)
    assert (answer.status_code, "You are signed in as bob" in answer.content.decode()) == (403, True)


def test_asks_strangers_of_the_admin_to_sign_in(client):
    assert client.get("/admin/", follow=True).status_code == 200
