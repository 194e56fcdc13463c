"""The test double of a paid model speaks the real protocol: seen through the real clients."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion

from tests.model_endpoint import ModelEndpoint

ROOT = Path(__file__).resolve().parents[2]
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer"}},
            "required": ["left", "right"],
        },
    },
}


@tool
def add(left: int, right: int) -> int:
    """Adds two numbers."""
    return left + right


@pytest.fixture(scope="module")
def shared_endpoint() -> Iterator[ModelEndpoint]:
    with ModelEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(shared_endpoint: ModelEndpoint) -> ModelEndpoint:
    shared_endpoint.reset()
    return shared_endpoint


@pytest.fixture
def client(endpoint: ModelEndpoint) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=endpoint.base_url, api_key="sk-right", max_retries=0, timeout=5) as client:
        yield client


def ask(client: openai.OpenAI, model: str, text: str = "Say something", **options: Any) -> ChatCompletion:
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": text}], **options
    )


def streamed(client: openai.OpenAI, model: str, text: str = "Say something", **options: Any) -> list[Any]:
    return list(ask(client, model, text, stream=True, stream_options={"include_usage": True}, **options))


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def chat_model(endpoint: ModelEndpoint, model: str) -> ChatOpenAI:
    return ChatOpenAI(
        base_url=endpoint.base_url, api_key="sk-right", model=model, max_retries=0, stream_usage=True
    )


def test_answers_with_as_many_tokens_as_the_model_name_says(client: openai.OpenAI) -> None:
    assert ask(client, "text-3").choices[0].message.content == "word0 word1 word2 "


def test_streams_the_same_text(client: openai.OpenAI) -> None:
    assert text_of(streamed(client, "text-3")) == "word0 word1 word2 "


def test_counts_usage_of_a_stream_that_asks_for_it(client: openai.OpenAI) -> None:
    usage = streamed(client, "text-3", "one two")[-1].usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (2, 3, 5)


def test_sends_no_usage_in_a_stream_that_does_not_ask(client: openai.OpenAI) -> None:
    chunks = list(ask(client, "text-3", stream=True))
    assert not any(chunk.usage for chunk in chunks)


def test_leaves_usage_out_where_the_model_says_so(client: openai.OpenAI) -> None:
    assert streamed(client, "no-usage-2")[-1].usage is None


def test_reports_reasoning_and_cached_tokens(client: openai.OpenAI) -> None:
    usage = streamed(client, "reasoning-3", "one two three four")[-1].usage
    assert (usage.completion_tokens_details.reasoning_tokens, usage.prompt_tokens_details.cached_tokens) == (
        7,
        2,
    )


def test_streams_text_that_is_not_ascii(client: openai.OpenAI) -> None:
    assert text_of(streamed(client, "echo", 'Grüße "你好" \\ 🙂')) == 'Grüße "你好" \\ 🙂'


def test_lists_its_models(client: openai.OpenAI) -> None:
    assert "text" in [model.id for model in client.models.list()]


def test_serves_many_requests_over_one_connection(client: openai.OpenAI) -> None:
    assert [text_of(streamed(client, f"text-{count}")).count("word") for count in range(5)] == [0, 1, 2, 3, 4]


def test_gives_every_completion_an_id_of_its_own(client: openai.OpenAI) -> None:
    assert ask(client, "text-1").id != ask(client, "text-1").id


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("error-400", openai.BadRequestError),
        ("error-401", openai.AuthenticationError),
        ("error-403", openai.PermissionDeniedError),
        ("error-404", openai.NotFoundError),
        ("error-429", openai.RateLimitError),
        ("error-500", openai.InternalServerError),
        ("error-503", openai.InternalServerError),
    ],
)
def test_refuses_with_the_status_in_the_model_name(
    client: openai.OpenAI, model: str, expected: type[openai.APIStatusError]
) -> None:
    with pytest.raises(expected):
        streamed(client, model)


def test_says_when_to_come_back_after_429(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as refusal:
        ask(client, "error-429")
    assert refusal.value.response.headers["retry-after"] == "1"


def test_names_the_code_of_a_context_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refusal:
        ask(client, "error-400")
    assert refusal.value.code == "context_length_exceeded"


def test_recovers_after_a_scripted_number_of_failures(client: openai.OpenAI) -> None:
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            ask(client, "fail-2-500")
    assert ask(client, "fail-2-500").choices[0].message.content


def test_fails_once_for_each_conversation(client: openai.OpenAI) -> None:
    for text in ("first", "second"):
        with pytest.raises(openai.RateLimitError):
            ask(client, "fail-once-429", text)
    assert ask(client, "fail-once-429", "first").choices


def test_cuts_a_stream_in_the_middle(client: openai.OpenAI) -> None:
    chunks: list[Any] = []
    with pytest.raises(openai.APIConnectionError):
        chunks.extend(ask(client, "cut-10", stream=True))
    assert text_of(chunks).count("word") == 5


def test_cuts_once_and_then_answers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        streamed(client, "fail-once-cut")
    assert text_of(streamed(client, "fail-once-cut"))


def test_hangs_before_the_first_byte(endpoint: ModelEndpoint, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.2), "hang")


def test_notices_that_a_client_left_a_hanging_call(endpoint: ModelEndpoint, client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.2), "hang")
    assert eventually(lambda: endpoint.requests[-1].left)


def test_notices_that_a_client_left_a_stream(endpoint: ModelEndpoint, client: openai.OpenAI) -> None:
    with ask(client, "slow-100-20", stream=True) as stream:
        next(stream)
    assert eventually(lambda: endpoint.requests[-1].left)


def test_falls_silent_in_the_middle(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        streamed(client.with_options(timeout=0.2), "stall-4")


@pytest.mark.parametrize("model", ["garbage", "garbage-shape", "garbage-html"])
def test_sends_no_text_where_the_model_name_is_garbage(client: openai.OpenAI, model: str) -> None:
    try:
        text = text_of(streamed(client, model))
    except (ValueError, AttributeError, TypeError):
        text = ""
    assert text == ""


def test_keeps_tokens_apart_by_the_delay_in_the_model_name(client: openai.OpenAI) -> None:
    started = time.monotonic()
    streamed(client, "text-6-40")
    assert 0.2 <= time.monotonic() - started < 0.5


def test_stamps_each_token_with_the_time_it_was_due(client: openai.OpenAI) -> None:
    stamps = [part.split("@") for part in text_of(streamed(client, "clock-3-10")).split("|")[:-1]]
    first = int(stamps[0][1])
    assert [(int(index), int(due) - first) for index, due in stamps] == [
        (0, 0),
        (1, 10_000_000),
        (2, 20_000_000),
    ]


def test_calls_the_first_tool_that_a_request_offers(client: openai.OpenAI) -> None:
    call = ask(client, "tool", tools=[ADD]).choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("add", '{"left": 1, "right": 1}')


def test_streams_the_arguments_of_a_call_in_pieces(client: openai.OpenAI) -> None:
    deltas = [chunk.choices[0].delta for chunk in streamed(client, "tool", tools=[ADD]) if chunk.choices]
    pieces = [delta.tool_calls[0].function.arguments for delta in deltas if delta.tool_calls]
    assert "".join(pieces) == '{"left": 1, "right": 1}'


def test_calls_no_tool_that_is_not_offered(client: openai.OpenAI) -> None:
    assert ask(client, "text", 'call add {"left": 2, "right": 3}').choices[0].message.tool_calls is None


def test_refuses_a_key_other_than_its_own() -> None:
    with (
        ModelEndpoint(api_key="sk-right") as endpoint,
        openai.OpenAI(base_url=endpoint.base_url, api_key="sk-wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        ask(client, "text")


def test_follows_a_script_before_the_model_name(endpoint: ModelEndpoint, client: openai.OpenAI) -> None:
    endpoint.script("text-1", "text-2")
    assert [ask(client, "text-9").choices[0].message.content.count("word") for _ in range(3)] == [1, 2, 9]


def test_remembers_what_it_was_asked(endpoint: ModelEndpoint, client: openai.OpenAI) -> None:
    ask(client, "text-1", "Remember me", temperature=0.5)
    received = endpoint.requests[-1]
    assert (received.api_key, received.body["temperature"], received.body["messages"][0]["content"]) == (
        "sk-right",
        0.5,
        "Remember me",
    )


def test_takes_a_prompt_of_ten_megabytes(client: openai.OpenAI) -> None:
    assert ask(client, "text-1", "word " * 2_000_000).usage.prompt_tokens == 2_000_000


def test_lets_an_agent_use_a_tool_and_quote_its_result(endpoint: ModelEndpoint) -> None:
    agent = create_agent(chat_model(endpoint, "text"), [add])
    state = agent.invoke({"messages": [("user", 'call add {"left": 20, "right": 22}')]})
    assert state["messages"][-1].text == "The tool said: 42"


def test_lets_an_agent_call_two_tools_at_once(endpoint: ModelEndpoint) -> None:
    agent = create_agent(chat_model(endpoint, "text"), [add])
    question = 'call add {"left": 1, "right": 2}\ncall add {"left": 3, "right": 4}'
    state = agent.invoke({"messages": [("user", question)]})
    assert state["messages"][-1].text == "The tool said: 37"


def test_keeps_an_agent_in_a_loop(endpoint: ModelEndpoint) -> None:
    agent = create_agent(chat_model(endpoint, "loop"), [add])
    with pytest.raises(Exception, match=r"[Rr]ecursion"):
        agent.invoke({"messages": [("user", "Go")]}, {"recursion_limit": 6})


def test_streams_to_langchain_with_usage(endpoint: ModelEndpoint) -> None:
    chunks = list(chat_model(endpoint, "text-4").stream("one two"))
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    assert (total.text, total.usage_metadata["total_tokens"]) == ("word0 word1 word2 word3 ", 6)


def test_serves_from_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "tests.model_endpoint", "--port", "0", "--tokens", "2"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        try:
            assert process.stdout is not None
            with openai.OpenAI(base_url=process.stdout.readline().strip(), api_key="sk-any") as client:
                assert text_of(streamed(client, "text")) == "word0 word1 "
        finally:
            # Not SIGINT: where the suite runs in the background, children ignore it.
            process.terminate()


def eventually(condition: Any, seconds: float = 2.0) -> bool:
    """Whether the condition comes true within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
