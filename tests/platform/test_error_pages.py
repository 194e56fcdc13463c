"""Pages for people that say what went wrong, and what to do."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import Client

from agentplatform.lib import error_views
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db

CHINESE = {"accept-language": "zh-CN"}


@pytest.fixture
def broken(monkeypatch):
    """`broken(error)`: a client for whom the page of a sign-in raises it."""

    def client(error: Exception) -> Client:
        def fail(*args, **kwargs):
            raise error

        monkeypatch.setattr("accounts.pages.choices", fail)
        return Client(raise_request_exception=False)

    return client


def test_a_path_that_leads_nowhere_has_a_way_home(client):
    answer = client.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()
    assert 'href="/"' in answer.content.decode()


def test_shows_the_way_to_the_admin_to_staff_alone(client, olivia):
    assert "Open the admin" not in client.get("/nowhere/").content.decode()
    assert "Open the admin" in signed_in(olivia).get("/nowhere/").content.decode()


def test_a_fault_names_the_request_that_finds_it_in_the_log(broken):
    answer = broken(ZeroDivisionError("the inside")).get("/sign-in/")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert ("the inside" in page, answer["X-Request-ID"] in page) == (False, True)


def test_says_when_to_come_back_where_the_database_is_away(broken):
    answer = broken(OperationalError("password=hunter22")).get("/sign-in/")
    assert (answer.status_code, answer["Retry-After"]) == (503, "2")
    assert "not available" in answer.content.decode()
    assert "hunter22" not in answer.content.decode()


def test_a_fault_is_told_without_the_database(rf, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert error_views.server_error(rf.get("/")).status_code == 500


def test_a_form_of_a_page_that_is_out_of_date_says_to_reload_it(bob):
    answer = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "bob", "password": "x"})
    assert answer.status_code == 403
    assert "reload the page" in answer.content.decode()


@pytest.mark.parametrize("path", ["/nowhere/", "/admin/nowhere/"])
def test_speaks_chinese(olivia, path):
    assert "这里什么也没有" in signed_in(olivia).get(path, headers=CHINESE).content.decode()


def test_paths_of_the_api_are_answered_in_its_shape(client):
    assert client.get("/api/v1/nowhere").json()["error"]["type"] == "NotFound"
