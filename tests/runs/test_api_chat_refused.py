"""POST /chat and POST /sessions/{id}/chat: whom and what they refuse, before a stream begins."""

from __future__ import annotations

import pytest

from runs.models import Message, Run
from tests.factories import AgentFactory, SessionFactory

pytestmark = pytest.mark.usefixtures("one_thread")

UNKNOWN = "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"


@pytest.fixture
def session(workspace, alice, agent):
    return SessionFactory(workspace=workspace, user=alice, agent=agent)


@pytest.fixture
def chat(api, alice, agent):
    """`chat(agent_id="…")`: what alice, or somebody else, is answered."""

    def post(caller=alice, **body):
        return api(caller).post("/chat", {"message": "Hello"} | body)

    return post


@pytest.fixture
def say(api, alice, session):
    """`say(content="…")`: what alice, or somebody else, is answered in alice's session."""

    def post(caller=alice, to=session.pk, **body):
        return api(caller).post(f"/sessions/{to}/chat", {"content": "Hello"} | body)

    return post


# what


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": ""}, "message"),
        ({"message": " \n"}, "message"),
        ({"message": None}, "message"),
        ({"message": 5}, "message"),
        ({"message": "x" * 1_000_001}, "message"),
        ({"colour": "red"}, "colour"),
        ({"session_id": "none"}, "session_id"),
        ({"user_id": "x" * 201}, "user_id"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_names_the_field_of_a_chat_that_is_wrong(chat, body, field):
    answer = chat(**body)

    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    "body", [{"content": ""}, {"content": 5}, {"source": "x" * 101}, {"colour": "red"}, {"type": ""}]
)
def test_refuses_a_wrong_message_to_a_session(say, body):
    assert say(**body).status_code == 422


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"agent_id": "nobody"}, "AgentNotFound"),
        ({"agent_id": UNKNOWN}, "AgentNotFound"),
        ({"session_id": UNKNOWN}, "SessionNotFound"),
    ],
)
def test_says_what_does_not_exist(chat, body, kind):
    assert chat(**body).json()["error"]["type"] == kind


@pytest.mark.parametrize("to", [UNKNOWN, "nonsense"])
def test_says_that_a_session_does_not_exist(say, to):
    assert say(to=to).json()["error"]["type"] == "SessionNotFound"


def test_refuses_too_large_a_body(chat):
    assert chat(message="x" * 3_000_000).status_code == 413


@pytest.mark.parametrize(
    ("content", "content_type", "code"),
    [
        (b'{"message": ', "application/json", 400),
        (b"message=Hello", "application/x-www-form-urlencoded", 415),
        (b'["Hello"]', "application/json", 422),
        (b"null", "application/json", 422),
        (b"", "application/json", 422),
        (b'{"message": "a\\u0000b"}', "application/json", 422),
    ],
)
def test_refuses_a_body_that_it_cannot_read(api, alice, agent, content, content_type, code):
    assert api(alice).generic("POST", "/chat", content, content_type).status_code == code


def test_answers_errors_in_the_one_shape(chat):
    error = chat(message="").json()["error"]

    assert error.keys() == {"type", "message", "path", "request_id", "details"}


def test_refuses_a_disabled_agent(chat, workspace):
    AgentFactory(workspace=workspace, name="resting", enabled=False)

    assert chat(agent_id="resting").json()["error"]["type"] == "InvalidConfig"


def test_refuses_other_methods(api, alice):
    answer = api(alice).get("/chat")

    assert (answer.status_code, answer["Allow"]) == (405, "POST")


def test_makes_no_run_of_what_it_refuses(chat):
    chat(agent_id="nobody")

    assert not Run.objects.exists()


def test_keeps_no_message_of_what_it_refuses(say, agent):
    agent.enabled = False
    agent.save()
    say()

    assert not Message.objects.exists()


# whom


def test_hides_the_agents_of_other_workspaces(chat, charlie):
    assert chat(charlie, agent_id="assistant").status_code == 404


def test_hides_the_sessions_of_other_workspaces(chat, other_workspace):
    assert chat(session_id=str(SessionFactory(workspace=other_workspace).pk)).status_code == 404


@pytest.mark.parametrize(("who", "code"), [("vera", 403), ("audrey", 403)])
def test_refuses_to_chat_with(chat, request, who, code):
    assert chat(request.getfixturevalue(who)).status_code == code


@pytest.mark.parametrize(("who", "code"), [("bob", 404), ("charlie", 404), ("vera", 403), ("olivia", 202)])
def test_lets_into_a_session_its_owner_and_operators_only(say, request, who, code):
    assert say(request.getfixturevalue(who)).status_code == code


def test_asks_whoever_is_not_signed_in_to_sign_in(chat):
    assert chat(None)["WWW-Authenticate"].startswith("Bearer")


def test_does_not_take_a_token_in_the_url(api, agent):
    assert api().post("/chat?token=abc", {"message": "Hello"}).status_code == 401


def test_slows_an_address_down(say, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"chat": "1/day"}}

    assert [say().status_code for _ in range(2)] == [202, 429]


def test_says_how_long_to_wait(say, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"chat": "1/day"}}
    say()

    assert 0 < int(say()["Retry-After"]) <= 86_400
