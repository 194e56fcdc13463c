"""The session cookie in place of a token: for pages of this site, with the token against forgery."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client

from accounts.models import Membership, User
from accounts.roles import Role
from tests.factories import AgentFactory, ApiKeyFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

SESSIONS = "/api/v1/sessions"


class Browser(Client):
    """A browser with a page of ours open: it checks for forgery, and knows the token."""

    def __init__(self, user: User | None = None) -> None:
        super().__init__(enforce_csrf_checks=True)
        if user is not None:
            self.force_login(user)
        self.get("/")

    @property
    def token(self) -> dict[str, str]:
        return {"X-CSRFToken": self.cookies[settings.CSRF_COOKIE_NAME].value}

    def write(self, path: str = SESSIONS, method: str = "post", **headers: str):
        return getattr(self, method)(path, {}, content_type="application/json", headers=headers)


@pytest.fixture
def browser(olivia) -> Browser:
    return Browser(olivia)


def test_reads_as_the_member_who_has_signed_in(browser):
    assert browser.get("/api/v1/auth/me").json()["username"] == "olivia"


def test_writes_with_the_token(browser):
    answer = browser.write(**browser.token)
    assert (answer.status_code, answer.json()["agent"]) == (201, None)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_writes_nothing_without_the_token(browser, method):
    answer = browser.write(f"{SESSIONS}/01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", method)
    assert answer.status_code == 403
    assert "X-CSRFToken" in answer.json()["error"]["message"]


def test_writes_nothing_with_a_token_that_is_not_the_cookies(browser):
    assert browser.write(**{"X-CSRFToken": "a" * 32}).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/chat", "/api/v1/agent/query", "/v1/chat/completions", "/mcp"])
def test_starts_no_run_without_the_token(one_thread, browser, path):
    assert browser.write(path).status_code == 403


def test_starts_no_run_by_a_link(one_thread, browser, workspace):
    """Other sites can send somebody to an address; what a GET changes needs the token too."""
    AgentFactory(workspace=workspace, is_default=True)
    assert browser.get("/api/v1/agent/stream?message=Hello").status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://testserver.evil.example"])
def test_writes_nothing_for_another_origin(browser, origin, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://evil.example"]
    answer = browser.write(**browser.token, Origin=origin)
    assert answer.status_code == 403


def test_lets_no_other_origin_read_with_the_cookie(browser, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://friend.example"]
    answer = browser.get(SESSIONS, headers={"Origin": "https://friend.example"})
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_needs_no_token_with_a_credential_in_a_header(api, olivia, workspace):
    """Which no other site can send."""
    key = ApiKeyFactory(workspace=workspace, user=olivia)
    browser = Browser(olivia)
    assert browser.write(**{"X-API-Key": key.text}).status_code == 201


@pytest.mark.parametrize("header", [{"X-API-Key": "ap_false"}, {"Authorization": "Bearer false"}])
def test_does_not_stand_in_for_a_credential_that_is_wrong(browser, header):
    assert browser.get(SESSIONS, headers=header).status_code == 401


def test_acts_in_the_workspace_that_the_header_names(olivia):
    second = WorkspaceFactory(slug="second")
    Membership.objects.create(workspace=second, user=olivia, role=Role.VIEWER)
    me = Browser(olivia).get("/api/v1/auth/me", headers={"X-Workspace": "second"}).json()
    assert (me["workspace"], me["role"]) == ("second", "viewer")


def test_sees_nothing_of_a_workspace_that_is_not_ones_own(browser, other_workspace):
    assert browser.get(SESSIONS, headers={"X-Workspace": "other"}).status_code == 404


def test_has_the_role_that_the_member_has(vera):
    browser = Browser(vera)
    assert browser.write(**browser.token).status_code == 403


def test_makes_no_admin_of_a_superuser_without_a_membership(olivia):
    User.objects.filter(pk=olivia.pk).update(is_superuser=True)
    Membership.objects.filter(user=olivia).delete()
    assert Browser(olivia).get(SESSIONS).status_code == 403


def test_is_over_when_somebody_has_signed_out(browser):
    browser.post("/sign-out/", headers=browser.token)
    assert browser.get(SESSIONS).status_code == 401


def test_is_over_when_the_password_has_changed(browser, olivia):
    olivia.set_password("another one entirely")
    olivia.save()
    assert browser.get(SESSIONS).status_code == 401


def test_is_over_when_the_user_is_not_active(browser, olivia):
    User.objects.filter(pk=olivia.pk).update(is_active=False)
    assert browser.get(SESSIONS).status_code == 401


def test_is_nothing_without_a_session():
    browser = Browser()
    browser.cookies[settings.SESSION_COOKIE_NAME] = "invented"
    assert browser.get(SESSIONS).status_code == 401


def test_is_described(browser):
    schemes = browser.get("/api/v1/openapi.json").json()["components"]["securitySchemes"]
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "sessionid")
