"""Errors of the OpenAI-compatible endpoints, as the `openai` client raises them."""

from __future__ import annotations

import httpx
import openai
import pytest
from django.urls import get_resolver

from runs.models import Approval, Run
from runs.protocols.openai import urls
from tests.factories import AgentFactory, ApiKeyFactory, ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = [{"role": "user", "content": "Hello there"}]
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture
def refused(openai_client, alice):
    """`refused("writer", n=2)`: the error that the client raises."""

    def create(model="assistant", *, caller=alice, api_key="", messages=QUESTION, **options):
        client = openai_client(caller, api_key=api_key)
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model=model, messages=messages, **options)
        return raised.value

    return create


@pytest.fixture
def unhurried(settings):
    """Several requests at once are no hurry."""
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {}}


@pytest.fixture
def raw(server, workspace, alice):
    """`raw("POST", "/chat/completions", content=b"{")`: the answer to a request that the client would not send."""
    key = ApiKeyFactory(workspace=workspace, user=alice).text

    def send(method, path, **options):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return httpx.request(
            method, f"{server}/v1{path}", headers=headers | options.pop("headers", {}), **options
        )

    return send


# who


@pytest.mark.parametrize("key", ["ap_nonsense", "sk-nonsense"])
def test_asks_for_another_key(refused, agent, key):
    error = refused(api_key=key)

    assert (type(error), error.code) == (openai.AuthenticationError, "invalid_api_key")


@pytest.mark.parametrize("who", ["vera", "audrey"])
def test_lets_no_agent_be_run_by(refused, request, agent, who):
    assert type(refused(caller=request.getfixturevalue(who))) is openai.PermissionDeniedError


def test_lets_no_agent_be_run_with_a_key_that_may_only_read(refused, workspace, alice, agent):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:agent"])

    assert type(refused(api_key=key.text)) is openai.PermissionDeniedError


@pytest.mark.parametrize("options", [{}, {"tools": [TOOL]}])
def test_finds_no_agent_of_another_workspace(refused, charlie, agent, options):
    error = refused(caller=charlie, **options)

    assert (type(error), error.code, error.param) == (openai.NotFoundError, "model_not_found", "model")


@pytest.mark.parametrize("path", [str(pattern.pattern) for pattern in urls.urlpatterns[:-1]])
def test_opens_no_path_without_credentials(server, agent, path):
    url = f"{server}/v1/{path.replace('<str:pk>', 'assistant')}"

    assert {httpx.request(method, url).status_code for method in ("GET", "POST", "PUT", "DELETE")} <= {
        401,
        405,
    }


def test_slows_an_address_down(refused, agent, openai_client, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {"chat": "1/day"}}
    openai_client().chat.completions.create(model="assistant", messages=QUESTION)
    error = refused()

    assert (type(error), 0 < int(error.response.headers["Retry-After"]) <= 86_400) == (
        openai.RateLimitError,
        True,
    )


# what


UNSUPPORTED = [
    {"n": 2},
    {"logprobs": True},
    {"modalities": ["text", "audio"]},
    {"audio": {"voice": "alloy", "format": "wav"}},
    {"logit_bias": {"50256": -100}},
    {"functions": [{"name": "look_up"}]},
    {"web_search_options": {}},
    # The demo's models know none of these.
    {"seed": 7},
    {"reasoning_effort": "low"},
    {"response_format": {"type": "json_object"}},
    {"tools": [{"type": "custom", "custom": {"name": "look_up"}}]},
]


def test_says_which_parameter_is_not_supported(refused, agent, unhurried):
    def told(options):
        error = refused(**options)
        return (error.status_code, error.code, error.param.split(".")[0])

    assert [told(options) for options in UNSUPPORTED] == [
        (400, "unsupported_parameter", next(iter(options))) for options in UNSUPPORTED
    ]


def test_asks_those_that_stand_in_for_the_model_too(refused, workspace):
    spare = ChatModelFactory(workspace=workspace)
    model = ChatModelFactory(workspace=workspace, provider="openai", model="gpt", fallbacks=[spare])
    AgentFactory(workspace=workspace, model=model, name="writer")

    assert refused("writer", seed=7).code == "unsupported_parameter"


def choice(name):
    return {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": name}}}


WRONG = [
    ({"temperature": 3}, "temperature"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"user": "x" * 201}, "user"),
    ({"extra_body": {"colour": "red"}}, "colour"),
    ({"response_format": {"type": "xml"}}, "response_format.type"),
    ({"tools": {}}, "tools"),
    ({"tools": [{"type": "function"}]}, "tools.0"),
    ({"tools": [TOOL, TOOL]}, "tools"),
    ({"tools": [{"type": "function", "function": {"name": "look up"}}]}, "tools.0.function.name"),
    ({"tools": [TOOL], "tool_choice": "look_up"}, "tool_choice"),
    (choice("other"), "tool_choice"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [{"type": "function", "function": {"name": "calculator"}}]}, "tools"),
]


def test_names_the_parameter_that_is_wrong(refused, agent, unhurried):
    def told(options):
        error = refused(**options)
        return (error.status_code, error.type, error.param)

    assert [told(options) for options, _ in WRONG] == [
        (400, "invalid_request_error", param) for _, param in WRONG
    ]


CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
NO_JSON = CALL | {"function": {"name": "look_up", "arguments": "{"}}
MISSHAPED = [
    ([], "messages"),
    (["Hello"], "messages.0.role"),
    ([{"role": "robot", "content": "Hello"}], "messages.0.role"),
    ([{"role": "user"}], "messages.0.content"),
    ([{"role": "user", "content": 5}], "messages.0.content"),
    ([{"role": "user", "content": [IMAGE]}], "messages.0.content.0"),
    ([{"role": "user", "content": ["Hello"]}], "messages.0.content.0"),
    ([{"role": "assistant", "content": None}], "messages.0.content"),
    ([{"role": "assistant", "content": "", "audio": {"id": "a"}}], "messages.0.audio"),
    ([{"role": "assistant", "tool_calls": {}}, *QUESTION], "messages.0.content"),
    ([{"role": "assistant", "tool_calls": [{"id": "call_1"}]}], "messages.0.tool_calls.0"),
    ([{"role": "assistant", "tool_calls": [NO_JSON]}], "messages.0.tool_calls.0.function.arguments"),
    ([{"role": "assistant", "tool_calls": [CALL]}], "messages"),
    ([{"role": "tool", "content": "391", "tool_call_id": "call_1"}], "messages"),
    ([{"role": "tool", "content": "391"}], "messages.0.tool_call_id"),
]


def test_names_the_place_in_the_conversation(refused, agent, unhurried):
    def told(messages):
        error = refused(messages=messages)
        return (error.status_code, error.param)

    assert [told(messages) for messages, _ in MISSHAPED] == [(400, param) for _, param in MISSHAPED]


def test_does_not_take_images(refused, agent):
    assert refused(messages=[{"role": "user", "content": [IMAGE]}]).code == "unsupported_content"


def test_does_not_run_what_is_disabled(refused, workspace):
    AgentFactory(workspace=workspace, name="resting", enabled=False)

    assert refused("resting").code == "invalid_configuration"


def test_makes_no_run_of_what_it_refuses(refused, agent):
    refused(n=2)
    refused("nobody")

    assert not Run.objects.exists()


# before any view


BAD = [
    ("POST", "/chat/completions", {"content": b'{"model": '}, 400),
    ("POST", "/chat/completions", {"content": b"[1]"}, 400),
    ("POST", "/chat/completions", {"content": b"a=1", "headers": {"Content-Type": "text/plain"}}, 415),
    ("POST", "/chat/completions", {"content": b'"' + b"x" * 3_000_000 + b'"'}, 413),
    ("GET", "/chat/completions", {}, 405),
    ("DELETE", "/models/assistant", {}, 405),
    ("GET", "/embeddings", {}, 404),
    ("GET", "/models?a=%00", {}, 400),
    ("GET", "/models", {"headers": {"Host": "nowhere.example"}}, 400),
]


def test_answers_every_error_in_openais_shape(raw, unhurried):
    def told(method, path, options):
        answer = raw(method, path, **options)
        return (answer.status_code, [*answer.json()["error"]])

    assert [told(*request) for *request, _ in BAD] == [
        (status, ["message", "type", "param", "code"]) for *_, status in BAD
    ]


def test_takes_a_slash_at_the_end(raw, agent):
    assert raw("GET", "/models/").status_code == 200


def test_leaves_the_shape_of_other_errors(http):
    assert http().get("/agents").json()["error"].keys() == {"type", "message", "path", "request_id"}


# a run that gives no answer


@pytest.mark.parametrize(
    ("behaviour", "kind", "code", "may_be_repeated"),
    [
        ("error-503", openai.InternalServerError, "provider_unavailable", "true"),
        ("error-429", openai.InternalServerError, "rate_limited", "true"),
        ("error-401", openai.InternalServerError, "authentication", "false"),
        ("error-400", openai.InternalServerError, "provider_rejected", "false"),
    ],
)
def test_raises_the_error_of_a_failed_run(refused, agent_on, behaviour, kind, code, may_be_repeated):
    agent_on(behaviour, name="broken")
    error = refused("broken")

    assert (type(error), error.code, error.response.headers["X-Should-Retry"]) == (
        kind,
        code,
        may_be_repeated,
    )


def test_names_the_failed_run(refused, agent_on):
    agent_on("error-500", name="broken")

    assert refused("broken").body["run_id"] == str(Run.objects.get().pk)


@pytest.fixture
def waiting(refused, workspace):
    """The error of a run that waits for an approval."""
    calculator = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    AgentFactory(workspace=workspace, name="careful", tools=[calculator])
    content = 'call calculator {"expression": "6 * 7"}'
    return refused("careful", messages=[{"role": "user", "content": content}])


def test_says_what_a_person_has_to_decide(waiting):
    approval = Approval.objects.get()

    assert (waiting.status_code, waiting.code, waiting.body["run_id"], waiting.body["approval_ids"]) == (
        409,
        "run_waiting",
        str(approval.run_id),
        [str(approval.pk)],
    )


def test_asks_the_client_not_to_start_another_run(waiting):
    assert waiting.response.headers["X-Should-Retry"] == "false"


def test_goes_on_once_it_is_decided(waiting, http, alice):
    http(alice).post(f"/approvals/{waiting.body['approval_ids'][0]}/approve")

    assert "42" in http(alice).get(f"/runs/{waiting.body['run_id']}/wait").json()["response_content"]


def test_walks_over_every_route():
    """A route that is new needs tests of its own."""
    [resolver] = [one for one in get_resolver().url_patterns if str(one.pattern) == "v1/"]

    assert [str(one.pattern) for one in resolver.url_patterns] == [
        "models",
        "models/<str:pk>",
        "chat/completions",
        "<path:path>",
    ]
