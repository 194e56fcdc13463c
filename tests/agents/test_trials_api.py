"""POST /models/{id}/test and /tools/{id}/test: one real call, its latency, its result or classified error."""

from __future__ import annotations

import pytest

from tests.agents.http_endpoint import Answer
from tests.factories import ChatModelFactory, HttpToolFactory, ToolFactory

KEY = "any-key-that-nobody-would-guess"


@pytest.fixture
def client(api, olivia):
    return api(olivia)


def test_answers_what_the_model_says(client, workspace):
    ChatModelFactory(workspace=workspace, name="scripted")
    tried = client.post("/models/scripted/test", {"message": "Hello there"}).json()
    assert (tried["ok"], "Hello there" in tried["result"]["content"]) == (True, True)


def test_asks_a_question_of_its_own(client, workspace):
    ChatModelFactory(workspace=workspace, name="scripted")
    assert client.post("/models/scripted/test").json()["result"]["usage"]["total_tokens"] > 0


def test_measures_the_time(client, workspace, model_endpoint):
    ChatModelFactory(
        workspace=workspace,
        name="slow",
        provider="openai",
        model="text-3-50",
        base_url=model_endpoint.base_url,
    )
    assert client.post("/models/slow/test").json()["latency_ms"] > 100


@pytest.mark.parametrize(
    ("model", "error_class"),
    [
        ("error-401", "authentication"),
        ("error-429", "rate_limited"),
        ("error-500", "provider_unavailable"),
        ("error-400", "provider_rejected"),
        ("garbage-html", "provider_unavailable"),
    ],
)
def test_classifies_a_models_error(client, workspace, model_endpoint, model, error_class):
    client.post(
        "/models",
        {
            "name": "bad",
            "provider": "openai",
            "model": model,
            "base_url": model_endpoint.base_url,
            "api_key": KEY,
        },
    )
    response = client.post("/models/bad/test")
    assert (response.status_code, response.json()["ok"]) == (200, False)
    assert (response.json()["error"]["class"], KEY in response.text) == (error_class, False)


def test_does_not_wait_for_a_model_for_ever(client, workspace, model_endpoint, settings):
    settings.AGENT_TIMEOUT_SECONDS = 0.3
    ChatModelFactory(
        workspace=workspace, name="hang", provider="openai", model="hang", base_url=model_endpoint.base_url
    )
    assert client.post("/models/hang/test").json()["error"]["class"] == "timeout"


def test_says_that_a_models_key_is_missing(client, workspace):
    ChatModelFactory(workspace=workspace, name="keyless", provider="openai", model="x")
    assert client.post("/models/keyless/test").json()["error"]["class"] == "invalid_configuration"


def test_runs_a_tool(client, workspace):
    ToolFactory(workspace=workspace, name="sums")
    tried = client.post("/tools/sums/test", {"arguments": {"expression": "17 * 23"}}).json()
    assert (tried["ok"], tried["result"]["text"]) == (True, "391")


def test_answers_a_tools_structured_result(client, workspace):
    ToolFactory(workspace=workspace, name="clock", function="current_time")
    assert client.post("/tools/clock/test").json()["result"]["content"]["timezone"] == "UTC"


def test_says_which_argument_is_wrong(client, workspace):
    ToolFactory(workspace=workspace, name="sums")
    tried = client.post("/tools/sums/test", {"arguments": {}}).json()
    assert (tried["error"]["class"], "expression" in tried["error"]["message"]) == ("tool_error", True)


def test_sends_the_request_of_an_http_tool(client, workspace, http_endpoint):
    request = {"method": "GET", "url": f"{http_endpoint.url}/items/{{number}}"}
    HttpToolFactory(workspace=workspace, name="items", request=request)
    assert client.post("/tools/items/test", {"arguments": {"number": "7"}}).json()["result"]["content"] == {
        "ok": True
    }


def test_classifies_a_tools_error(client, workspace, http_endpoint):
    http_endpoint.answer = Answer(500, b"broken", "text/plain")
    HttpToolFactory(workspace=workspace, name="items", request={"url": f"{http_endpoint.url}/{{number}}"})
    tried = client.post("/tools/items/test", {"arguments": {"number": "7"}}).json()
    assert (tried["error"]["class"], "HTTP 500" in tried["error"]["message"]) == ("tool_error", True)


@pytest.mark.parametrize("path", ["/models/thing/test", "/tools/thing/test"])
def test_refuses_a_viewer(api, vera, workspace, path):
    ChatModelFactory(workspace=workspace, name="thing")
    ToolFactory(workspace=workspace, name="thing")
    assert api(vera).post(path).status_code == 403


@pytest.mark.parametrize("body", [{"arguments": []}, {"argument": {}}])
def test_says_what_is_wrong_with_the_request(client, workspace, body):
    ToolFactory(workspace=workspace, name="sums")
    assert client.post("/tools/sums/test", body).status_code == 422
