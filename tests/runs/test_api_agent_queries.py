"""The default agent, asked directly; and the latest session, spoken in without a prefix."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import AccessToken
from runs.models import Message, Run
from tests.factories import AgentFactory, SessionFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bare() -> Callable[[User], APIClient]:
    """`bare(alice).get("/history")`: without the API's prefix."""

    def client(user: User) -> APIClient:
        return APIClient(headers={"Authorization": f"Bearer {AccessToken.for_user(user)}"})

    return client


@pytest.fixture
def default_agent(workspace):
    return AgentFactory(workspace=workspace, is_default=True)


def test_asks_the_default_agent(api, alice, default_agent):
    answer = api(alice).post("/api/v1/agent/query", {"message": "Hello", "stream": True})
    assert answer.status_code == 200
    assert Run.objects.get().agent == default_agent
    answer.close()


def test_says_that_there_is_no_default_agent(api, alice):
    answer = api(alice).post("/api/v1/agent/query", {"message": "Hello"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "AgentNotFound")


def test_begins_a_run_for_an_event_source(api, alice, default_agent):
    answer = api(alice).get("/api/v1/agent/stream", {"message": "Hello"})
    assert answer["Content-Type"].startswith("text/event-stream")
    assert Run.objects.get().input_query == "Hello"
    answer.close()


def test_wants_a_message_for_an_event_source(api, alice, default_agent):
    answer = api(alice).get("/api/v1/agent/stream")
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "message")


def test_refuses_a_token_in_the_address(api, alice, default_agent):
    answer = api(alice).get("/api/v1/agent/stream", {"message": "Hello", "token": "x"})
    assert answer.status_code in (401, 422)


def test_starts_no_second_run_for_a_browser_that_connects_again(api, alice, default_agent):
    api(alice).get("/api/v1/agent/stream", {"message": "Hello"}).close()
    run = Run.objects.get()
    headers = {"Last-Event-ID": f"{run.pk}:1"}
    api(alice).get("/api/v1/agent/stream", {"message": "Hello"}, headers=headers).close()
    assert Run.objects.count() == 1


def test_follows_no_run_of_somebody_else(api, alice, bob, default_agent):
    api(alice).get("/api/v1/agent/stream", {"message": "Hello"}).close()
    headers = {"Last-Event-ID": f"{Run.objects.get().pk}:1"}
    answer = api(bob).get("/api/v1/agent/stream", {"message": "Hello"}, headers=headers)
    assert answer.status_code == 404


def test_speaks_in_the_latest_session(bare, alice, workspace, default_agent):
    SessionFactory(workspace=workspace, user=alice)
    latest = SessionFactory(workspace=workspace, user=alice)
    answer = bare(alice).post("/chat", {"content": "Hello"})
    assert (answer.status_code, answer.json()["session"]["id"]) == (202, str(latest.pk))


def test_makes_a_session_where_there_is_none(bare, alice, default_agent):
    assert bare(alice).post("/chat", {"content": "Hello"}).status_code == 202
    assert Message.objects.get().content == "Hello"


def test_reads_the_latest_sessions_history(bare, alice, default_agent):
    bare(alice).post("/chat", {"content": "Hello"})
    assert [item["content"] for item in bare(alice).get("/history").json()["items"]] == ["Hello"]


def test_reads_an_empty_history_without_any_session(bare, alice):
    assert bare(alice).get("/history/").json()["total"] == 0


def test_is_for_those_who_sign_in(client):
    answer = client.get("/history")
    assert (answer.status_code, json.loads(answer.content)["error"]["type"]) == (401, "NotAuthenticated")
