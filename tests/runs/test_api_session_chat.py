"""POST /sessions/{id}/chat, and what it leaves in the session."""

from __future__ import annotations

import pytest

from runs.models import Run
from tests.factories import SessionFactory
from tests.runs.sse import stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(workspace, alice, agent):
    return SessionFactory(workspace=workspace, user=alice, agent=agent)


@pytest.fixture
def say(http, alice, session):
    """`say("Hello")`: what alice is answered in her session."""

    def post(content="Hello", **body):
        return http(alice).post(f"/sessions/{session.pk}/chat", json={"content": content} | body)

    return post


@pytest.fixture
def ended(http, alice):
    """`ended(answer)`: the run that an answer names, once it has ended."""

    def wait(answer):
        return http(alice).get(f"/runs/{answer.json()['run_id']}/wait").json()

    return wait


@pytest.fixture
def history(http, alice, session):
    def read():
        return http(alice).get(f"/sessions/{session.pk}/history").json()["items"]

    return read


def test_answers_at_once_with_run_session_and_message(say, ended):
    answer = say()
    ended(answer)

    assert (answer.status_code, answer.json().keys()) == (202, {"run_id", "session", "message"})


def test_answers_the_message_as_it_is_kept(say, ended):
    answer = say(source="alice", type="question")
    ended(answer)
    message = answer.json()["message"]

    assert (message["source"], message["content"], message["type"]) == ("alice", "Hello", "question")


def test_answers_the_session_with_its_new_name(say, ended):
    answer = say("Where is my parcel?\nIt was sent on Monday.")
    ended(answer)

    assert answer.json()["session"]["name"] == "Where is my parcel?"


def test_keeps_a_persons_name(say, ended, http, alice, session):
    http(alice).patch(f"/sessions/{session.pk}", json={"name": "New session"})
    answer = say()
    ended(answer)

    assert answer.json()["session"]["name"] == "New session"


def test_puts_question_and_answer_into_the_history(say, ended, history):
    ended(say("What is 17 * 23?"))

    assert [(message["source"], "391" in message["content"]) for message in history()] == [
        ("user", False),
        ("assistant", True),
    ]


def test_keeps_the_order_of_questions_and_answers(say, ended, history):
    for content in ("What is 1 + 1?", "What is 2 + 2?", "What is 3 + 3?"):
        ended(say(content))

    assert [message["source"] for message in history()] == ["user", "assistant"] * 3


def test_answers_messages_sent_at_once_one_after_the_other(say, ended):
    answers = [say(content) for content in ("One", "Two", "Three")]
    for answer in answers:
        ended(answer)
    first, second, third = Run.objects.order_by("id")

    assert first.finished_at <= second.started_at < second.finished_at <= third.started_at


def test_shows_the_agents_state_afterwards(say, ended, http, alice, session):
    run = ended(say())

    assert http(alice).get(f"/sessions/{session.pk}").json()["agent_state"]["run_id"] == run["id"]


def test_streams_on_request(http, alice, session):
    sent = stream(
        http(alice), "POST", f"/sessions/{session.pk}/chat", json={"content": "Hello", "stream": True}
    )

    assert (sent[0].event, sent[-1].event) == ("run_queued", "run_completed")


def test_takes_the_default_agent_where_the_session_has_none(say, ended, session, agent):
    session.agent = None
    session.save()

    assert ended(say())["agent"] == agent.name
