"""POST /chat over a real socket, answered by a real worker."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from accounts.tokens import AccessToken
from agentplatform.lib.ids import uuid7
from runs.api.chat import _begin_chat
from runs.live import hub
from runs.models import Run, Session, Status
from tests.factories import ApiKeyFactory, SessionFactory
from tests.runs.sse import frames, stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def chat(http, alice):
    """`chat("text-3")`: what alice is answered, not streamed, by her agent of that name."""

    def post(agent="", message="Hello", caller=alice, **body):
        body = {"message": message, "stream": False} | ({"agent_id": agent} if agent else {}) | body
        return http(caller).post("/chat", json=body)

    return post


@pytest.fixture
def events(http, alice):
    """`events("text-3")`: the frames that alice's streamed chat consists of."""

    def post(agent, message="Hello", **body):
        return stream(http(alice), "POST", "/chat", json={"agent_id": agent, "message": message, **body})

    return post


def only_run(client) -> str:
    """The id of the only run, as soon as there is one."""
    while not (items := client.get("/runs").json()["items"]):
        time.sleep(0.01)
    return items[0]["id"]


def followers(platform) -> int:
    async def count():
        return hub().followers

    return platform.call(count())


# not streamed


def test_answers_the_agents_words(chat, agent_on):
    agent_on("text-3", name="writer")

    assert chat("writer").json()["response"].split() == ["word0", "word1", "word2"]


def test_answers_in_the_shape_of_the_contract(chat, agent_on):
    agent_on("text-3", name="writer")
    answer = chat("writer").json()

    assert (answer.keys(), answer["metrics"].keys()) == (
        {"run_id", "response", "metrics"},
        {"total_tokens", "duration"},
    )


def test_counts_the_tokens(chat, agent_on):
    agent_on("text-3", name="writer")
    answer = chat("writer").json()

    assert answer["metrics"]["total_tokens"] == Run.objects.get(pk=answer["run_id"]).total_tokens > 0


def test_calls_tools_on_the_way(chat, agent):
    assert "391" in chat(message="What is 17 * 23?").json()["response"]


def test_takes_the_default_agent_where_none_is_named(chat, agent):
    answer = chat().json()

    assert Run.objects.get(pk=answer["run_id"]).agent_id == agent.pk


def test_takes_an_agent_by_id(chat, agent):
    assert chat(str(agent.pk)).status_code == 200


def test_answers_a_large_response(chat, agent_on):
    agent_on("echo", name="echo")
    words = " ".join(["antidisestablishmentarianism"] * 3000)

    assert chat("echo", words).json()["response"] == words


def test_remembers_the_conversation(chat, agent, alice, workspace, model_endpoint, agent_on):
    session = SessionFactory(workspace=workspace, user=alice, agent=agent_on("echo"))
    for message in ("One", "Two"):
        chat(message=message, session_id=str(session.pk))

    sent = model_endpoint.requests[-1].body["messages"]
    assert [entry["content"] for entry in sent if entry["role"] == "user"] == ["One", "Two"]


def test_records_the_end_user(chat, agent):
    answer = chat(user_id="customer-81").json()

    assert Run.objects.get(pk=answer["run_id"]).end_user == "customer-81"


def test_takes_an_api_key(chat, agent, workspace, alice):
    key = ApiKeyFactory(workspace=workspace, user=alice)

    assert chat(caller=key).status_code == 200


def test_takes_null_for_what_may_be_left_out(chat, agent):
    assert chat(agent_id=None, user_id=None, session_id=None).status_code == 200


def test_names_the_request_and_its_time(chat, agent):
    headers = chat().headers

    assert {"x-request-id", "x-process-time"} <= headers.keys()


# streamed


def test_streams_server_sent_events(http, alice, agent):
    with http(alice).stream("POST", "/chat", json={"message": "Hello"}) as response:
        response.read()

    assert response.headers["content-type"].startswith("text/event-stream")


def test_begins_with_how_long_to_wait_before_connecting_again(http, alice, agent):
    with http(alice).stream("POST", "/chat", json={"message": "Hello"}) as response:
        assert response.read().startswith(b"retry: 1000\n\n")


def test_streams_every_event_from_the_first_to_the_last(events, agent_on):
    agent_on("text-3", name="writer")
    sent = events("writer")

    assert [frame.id for frame in sent] == list(range(1, len(sent) + 1))


def test_streams_from_queued_to_completed(events, agent_on):
    agent_on("text-3", name="writer")
    names = [frame.event for frame in events("writer")]

    assert (names[:3], names[-1]) == (["run_queued", "run_started", "step_started"], "run_completed")


def test_streams_the_answer_as_it_comes(events, agent_on):
    agent_on("text-20-20", name="writer")
    deltas = [frame for frame in events("writer") if frame.event == "content_delta"]

    assert len(deltas) > 3


def test_streams_all_of_the_answer(events, agent_on):
    agent_on("text-20", name="writer")
    sent = events("writer")
    text = "".join(frame.data["content"] for frame in sent if frame.event == "content_delta")

    assert text == sent[-1].data["response"]


def test_streams_tool_calls(events, agent):
    sent = {frame.event: frame.data for frame in events("assistant", "What is 17 * 23?")}

    assert (sent["tool_call_started"]["tool"], str(sent["tool_call_completed"]["result"])) == (
        "calculator",
        "391",
    )


def test_lets_the_run_go_on_when_the_client_leaves(http, alice, agent_on):
    agent_on("text-20-20", name="writer")
    with http(alice).stream("POST", "/chat", json={"agent_id": "writer", "message": "Hello"}) as response:
        next(frames(response))
    run = Run.objects.get()

    assert http(alice).get(f"/runs/{run.pk}/wait").json()["status"] == "completed"


def test_forgets_a_client_that_has_left(platform, http, alice, agent_on):
    agent_on("text-20-20", name="writer")
    with http(alice).stream("POST", "/chat", json={"agent_id": "writer", "message": "Hello"}) as response:
        next(frames(response))
    http(alice).get(f"/runs/{Run.objects.get().pk}/wait")

    assert followers(platform) == 0


# failing


@pytest.mark.parametrize(
    ("behaviour", "code", "kind", "error_class"),
    [
        ("error-503", 503, "ServiceUnavailable", "provider_unavailable"),
        ("error-429", 503, "ServiceUnavailable", "rate_limited"),
        ("error-401", 500, "InternalServerError", "authentication"),
        ("error-400", 500, "InternalServerError", "provider_rejected"),
        ("loop", 500, "InternalServerError", "max_steps"),
    ],
)
def test_answers_a_failed_run_by_its_class(
    chat, agent_on, workspace, behaviour, code, kind, error_class, agent
):
    agent_on(behaviour, name="broken", config={"retries": 0, "max_steps": 2}, tools=list(agent.tools.all()))
    answer = chat("broken")
    error = answer.json()["error"]

    assert (answer.status_code, error["type"], error["details"]["class"]) == (code, kind, error_class)


def test_names_the_failed_run(chat, agent_on):
    agent_on("error-500", name="broken")

    assert chat("broken").json()["error"]["details"]["run_id"] == str(Run.objects.get().pk)


def test_says_when_a_repeat_may_help(chat, agent_on):
    agent_on("error-503", name="broken")

    assert int(chat("broken").headers["retry-after"]) > 0


def test_does_not_show_the_providers_key(chat, agent_on):
    agent_on("error-401", name="broken")

    assert "sk-" not in chat("broken").text


def test_ends_a_failed_stream_with_an_error(events, agent_on):
    agent_on("error-503", name="broken")
    failed, error = events("broken")[-2:]

    assert (failed.event, error.event, error.data["error"]) == ("run_failed", "error", failed.data["error"])


def test_ends_the_stream_of_a_run_that_is_cancelled(http, alice, agent_on):
    agent_on("hang", name="silent")
    with http(alice).stream("POST", "/chat", json={"agent_id": "silent", "message": "Hello"}) as response:
        sent = frames(response)
        http(alice).post(f"/runs/{next(sent).data['run_id']}/cancel")

        assert [frame.event for frame in sent][-1] == "run_cancelled"


def test_answers_a_cancelled_run_with_a_conflict(chat, http, alice, agent_on):
    agent_on("hang", name="silent")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(chat, "silent")
        http(alice).post(f"/runs/{only_run(http(alice))}/cancel")

        assert answer.result().status_code == 409


# how much it costs


@pytest.mark.parametrize("in_session", [False, True])
def test_asks_the_database_few_times(alice, agent, workspace, in_session):
    session = SessionFactory(workspace=workspace, user=alice, agent=agent) if in_session else None
    request = RequestFactory().post(
        "/api/v1/chat",
        {"message": "Hello", "session_id": str(session.pk) if session else None},
        content_type="application/json",
        headers={"Authorization": f"Bearer {AccessToken.for_user(alice)}"},
    )
    with CaptureQueriesContext(connection) as queries:
        _begin_chat(request, uuid7())
    Run.objects.update(status=Status.CANCELLED)  # No worker need take it up.

    # Who calls, BEGIN, the agent, the workspace's budgets (once in a few seconds), the job, the run, its event,
    # COMMIT; a session adds itself, its lock, whose turn it is, the message, and its name.
    assert len(queries) <= (13 if in_session else 8)


def test_answers_a_lone_chat_soon(chat, agent):
    chat()
    started = time.monotonic()
    chat()

    # The queue polls every five seconds: a chat that waited for that would not be soon.
    assert time.monotonic() - started < 4


def test_leaves_no_session_behind_where_none_was_named(chat, agent):
    chat()

    assert not Session.objects.exists()
