"""Clients of chat models: made from a specification, guarded, keyed, and their failures told apart."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import pytest

from agentplatform.lib.errors import InvalidConfig
from agents.providers.base import make, parameter_faults, registry
from agents.providers.faults import ProviderFault, classify, redact
from tests.agents.http_endpoint import Answer
from tests.agents.specs import model_spec

KEY = "any-key-that-nobody-would-guess"


async def fault_of(endpoint, model, timeout=2.0, **values):
    """How a call of this model fails, streamed as a run does it."""
    spec = model_spec(model=model, base_url=endpoint.base_url, timeout=timeout, **values)
    with pytest.raises(Exception) as raised:  # noqa: PT011
        async for _ in make(spec, KEY).astream("hello"):
            pass
    return classify(raised.value)


@pytest.mark.parametrize("provider", [name for name, one in registry.items() if "chat" in one.purposes])
def test_makes_a_client_of_every_provider(provider, settings):
    assert make(
        model_spec(provider=provider, model="any", parameters={"temperature": 0.5, "max_tokens": 10}), KEY
    )


async def test_speaks_to_a_compatible_endpoint(model_endpoint):
    answer = await make(model_spec(model="text-3", base_url=model_endpoint.base_url), KEY).ainvoke("hello")
    assert answer.text.split() == ["word0", "word1", "word2"]


async def test_sends_the_key(model_endpoint):
    await make(model_spec(base_url=model_endpoint.base_url), KEY).ainvoke("hello")
    assert model_endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_sends_the_parameters(model_endpoint):
    parameters = {"temperature": 0.25, "max_tokens": 7, "top_p": 0.5, "stop": ["end"], "seed": 3}
    await make(model_spec(base_url=model_endpoint.base_url, parameters=parameters), KEY).ainvoke("hello")
    body = model_endpoint.requests[0].body
    assert {name: body[name] for name in parameters} == parameters


async def test_counts_tokens_when_it_streams(model_endpoint):
    chunks = [
        chunk async for chunk in make(model_spec(base_url=model_endpoint.base_url), KEY).astream("hello")
    ]
    assert sum((chunk.usage_metadata or {}).get("total_tokens", 0) for chunk in chunks) == 4


async def test_reads_the_reasoning_of_compatible_endpoints(model_endpoint):
    spec = model_spec(model="reasoning-2", base_url=model_endpoint.base_url)
    chunks = [chunk async for chunk in make(spec, KEY).astream("hello")]
    assert (
        "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks) == "Let me think. "
    )


async def test_makes_no_retries_of_its_own(model_endpoint):
    await fault_of(model_endpoint, "error-500")
    assert len(model_endpoint.requests) == 1


async def test_makes_the_next_model_in_a_moment(model_endpoint):
    make(model_spec(base_url=model_endpoint.base_url), KEY)
    started = time.perf_counter()
    for number in range(10):
        make(model_spec(model=f"text-{number}", base_url=model_endpoint.base_url), KEY)
    assert (time.perf_counter() - started) / 10 < 0.02


async def test_refuses_a_private_endpoint(model_endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    fault = await fault_of(model_endpoint, "text-3")
    assert (fault.error_class, fault.retryable) == ("invalid_configuration", False)


async def test_lets_the_operators_own_endpoint_be_private(model_endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = model_endpoint.base_url, "platform-key"
    assert (await make(model_spec()).ainvoke("hello")).text


async def test_uses_the_platforms_key_for_its_own_endpoint(model_endpoint, settings):
    settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY = model_endpoint.base_url, "platform-key"
    await make(model_spec()).ainvoke("hello")
    assert model_endpoint.requests[0].headers["authorization"] == "Bearer platform-key"


async def test_never_sends_the_platforms_key_to_another_endpoint(model_endpoint, settings, monkeypatch):
    settings.OPENAI_API_KEY = "platform-key"
    monkeypatch.setenv("OPENAI_API_KEY", "platform-key")
    await make(model_spec(base_url=model_endpoint.base_url)).ainvoke("hello")
    assert "platform-key" not in model_endpoint.requests[0].headers["authorization"]


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_says_that_the_key_is_missing(provider, settings):
    settings.OPENAI_API_KEY = settings.ANTHROPIC_API_KEY = settings.GOOGLE_API_KEY = ""
    with pytest.raises(InvalidConfig, match="has no API key"):
        make(model_spec(provider=provider))


def test_says_which_providers_there_are():
    with pytest.raises(InvalidConfig, match="anthropic"):
        make(model_spec(provider="nobody"))


@pytest.mark.parametrize(
    ("model", "error_class", "retryable"),
    [
        ("error-400", "provider_rejected", False),
        ("error-401", "authentication", False),
        ("error-403", "authentication", False),
        ("error-404", "provider_rejected", False),
        ("error-429", "rate_limited", True),
        ("error-500", "provider_unavailable", True),
        ("error-503", "provider_unavailable", True),
        ("cut-6", "provider_unavailable", True),
        ("garbage", "provider_unavailable", True),
        ("garbage-shape", "provider_unavailable", True),
        ("garbage-html", "provider_unavailable", True),
    ],
)
async def test_tells_failures_apart(model_endpoint, model, error_class, retryable):
    fault = await fault_of(model_endpoint, model)
    assert (fault.error_class, fault.retryable) == (error_class, retryable)


@pytest.mark.parametrize("model", ["hang", "stall"])
async def test_calls_silence_a_timeout(model_endpoint, model):
    fault = await fault_of(model_endpoint, model, timeout=0.3)
    assert (fault.error_class, fault.retryable) == ("timeout", True)


async def test_says_when_to_come_back(model_endpoint):
    assert (await fault_of(model_endpoint, "error-429")).retry_after == 1.0


async def test_calls_nobody_there_unavailable(settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    fault = await fault_of(SimpleNamespace(base_url="http://127.0.0.1:9/v1"), "text")
    assert (fault.error_class, fault.retryable) == ("provider_unavailable", True)


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
async def test_keeps_the_key_out_of_its_messages(http_endpoint, status):
    http_endpoint.answer = Answer(status, f'{{"error": {{"message": "bad key {KEY}"}}}}'.encode())
    fault = await fault_of(SimpleNamespace(base_url=f"{http_endpoint.url}/v1"), "any")
    assert KEY not in fault.message


@pytest.mark.parametrize("provider", ["anthropic", "google"])
@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, "provider_rejected"),
        (401, "authentication"),
        (429, "rate_limited"),
        (500, "provider_unavailable"),
    ],
)
async def test_tells_other_vendors_failures_apart(http_endpoint, provider, status, error_class):
    body = {"type": "error", "error": {"code": status, "message": f"no {KEY}", "status": "X", "type": "x"}}
    http_endpoint.answer = Answer(status, json.dumps(body).encode())
    fault = await fault_of(SimpleNamespace(base_url=http_endpoint.url), "any", provider=provider)
    assert (fault.error_class, KEY in fault.message) == (error_class, False)


@pytest.mark.parametrize("provider", ["anthropic", "google"])
async def test_guards_other_vendors_too(http_endpoint, settings, provider):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    fault = await fault_of(SimpleNamespace(base_url=http_endpoint.url), "any", provider=provider)
    assert (fault.error_class, http_endpoint.asked) == ("invalid_configuration", [])


def test_calls_its_own_faults_internal():
    assert classify(KeyError("x")).error_class == "internal"


def test_tells_nothing_of_an_internal_fault():
    assert "secret" not in classify(RuntimeError("secret")).message


def test_leaves_a_classified_fault_as_it_is():
    fault = ProviderFault("timeout", "late", retryable=True)
    assert classify(fault) is fault


def test_knows_the_timeout_of_asyncio():
    assert classify(TimeoutError()).error_class == "timeout"


def test_finds_what_an_error_was_raised_from():
    error = RuntimeError("outer")
    error.__cause__ = ProviderFault("rate_limited", "slow down", retryable=True)
    assert classify(error).error_class == "rate_limited"


@pytest.mark.parametrize(
    "text", ["sk-abcdefgh1234", "Bearer abc.def-ghi", "?key=abcdef123456", "AIzaSyA1234567890"]
)
def test_blackens_what_looks_like_a_key(text):
    assert "***" in redact(f"refused: {text}")


@pytest.mark.parametrize(
    ("provider", "parameters"),
    [
        ("openai", {"temperature": 3}),
        ("openai", {"max_tokens": 0}),
        ("openai", {"api_key": "x"}),
        ("openai", {"http_client": {}}),
        ("openai", {"top_k": 3}),
        ("demo", {"delay_ms": -1}),
    ],
)
def test_knows_which_parameters_a_provider_takes(provider, parameters):
    assert parameter_faults(provider, parameters)


def test_takes_the_parameters_of_a_provider():
    assert not parameter_faults("openai", {"temperature": 0, "max_tokens": 100, "stop": ["a"], "seed": 1})
