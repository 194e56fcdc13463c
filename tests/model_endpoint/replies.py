"""From a behaviour's name to the reply that it stands for. The package's docstring lists the names."""

from __future__ import annotations

import json
import re
import uuid
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

CALL_LINE = re.compile(r"^call (?P<name>[\w-]+) (?P<arguments>\{.*\})(?: as (?P<id>\S+))?\s*$", re.MULTILINE)
TIMED_TEXT = re.compile(
    r"^(?P<kind>text|slow|clock|reasoning|audio|no-usage|length|cut|stall)(?P<numbers>(-\d+){0,2})$"
)
FAILED_ATTEMPTS = re.compile(r"^fail-(?P<times>once|\d+)-(?P<behaviour>.+)$")
SLOW_MS = 100

ERRORS: dict[int, tuple[str, str | None, str]] = {
    400: (
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    ),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
    403: ("permission_error", None, "Your key may not use this model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you may not use it."),
    429: ("rate_limit_error", "rate_limit_exceeded", "Rate limit reached. Please try again in 1s."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded."),
}


@dataclass(frozen=True, slots=True)
class ToolCall:
    name: str
    arguments: str
    id: str = field(default_factory=lambda: f"call_{uuid.uuid4().hex[:24]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A completion that succeeds, at least at first.

    `breaks` is "" (complete), "cut" (the connection is closed in the middle) or "stall" (silence from there).
    `stamped` replaces each token by `<index>@<ideal send time, CLOCK_MONOTONIC ns>|`.
    """

    tokens: tuple[str, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    delay_ms: float = 0.0
    finish_reason: str = "stop"
    reasoning: bool = False
    audio: bool = False
    counts_usage: bool = True
    stamped: bool = False
    breaks: str = ""


@dataclass(frozen=True, slots=True)
class Raw:
    """A whole HTTP answer as it is: an error or garbage."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hang:
    """Never a byte, until the client leaves."""


Reply = Answer | Raw | Hang


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a behaviour's name leaves open: how many tokens and how many milliseconds between two."""

    tokens: int = 20
    delay_ms: float = 0.0


def words(count: int) -> tuple[str, ...]:
    """`count` tokens that say their own number, so that a hole or a repeat shows in the text."""
    return tuple(f"word{number} " for number in range(count))


def message_text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def last_user_text(body: dict[str, Any]) -> str:
    messages = [message for message in body.get("messages", []) if message.get("role") == "user"]
    return message_text(messages[-1]) if messages else ""


def tool_results(body: dict[str, Any]) -> list[str]:
    """The results that stand behind the last user message: those the model has not yet answered to."""
    results: list[str] = []
    for message in reversed(body.get("messages", [])):
        if message.get("role") == "user":
            break
        if message.get("role") == "tool":
            results.insert(0, message_text(message))
    return results


def error(status: int, api_key: str = "") -> Raw:
    """An error as OpenAI words it. 401 quotes the key that was sent, as careless endpoints do."""
    kind, code, message = ERRORS.get(status, ("server_error", None, f"The server answered {status}."))
    body = {
        "error": {"message": message.replace("{key}", api_key), "type": kind, "param": None, "code": code}
    }
    headers = ("Retry-After: 1",) if status in {429, 503} else ()
    return Raw(status, "application/json", json.dumps(body).encode(), headers)


def garbage(kind: str) -> Raw:
    """200 with something that is no completion: broken JSON, JSON of another shape, or a web page."""
    if kind == "html":
        return Raw(200, "text/html", b"<!doctype html><title>Welcome</title><h1>It works!</h1>")
    if kind == "shape":
        return Raw(200, "text/event-stream", b'data: {"choices": "none", "id": 7}\n\ndata: [DONE]\n\n')
    return Raw(200, "text/event-stream", b'data: {"id": "chatcmpl-1", "choices": [{"ind\n\ndata: [DONE]\n\n')


def sample_arguments(tool: dict[str, Any], text: str) -> str:
    """Arguments that fit the tool's schema: text for strings, 1 for numbers, for each required property."""
    schema = tool["function"].get("parameters") or {}
    properties = schema.get("properties", {})
    samples = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    required = schema.get("required", [])
    return json.dumps({name: samples.get(properties.get(name, {}).get("type"), text) for name in required})


def _written_call(match: re.Match[str]) -> ToolCall:
    call = ToolCall(match["name"], match["arguments"])
    return replace(call, id=match["id"]) if match["id"] else call


def requested_calls(body: dict[str, Any], behaviour: str) -> tuple[ToolCall, ...]:
    """The calls that this request should be answered with, or none: only tools that the request offers."""
    offered = {tool["function"]["name"]: tool for tool in body.get("tools") or []}
    text = last_user_text(body)
    if (name := behaviour.removeprefix("call-")) in offered:
        return (ToolCall(name, "{}"),)
    if not offered or (tool_results(body) and behaviour != "loop"):
        return ()
    if written := [match for match in CALL_LINE.finditer(text) if match["name"] in offered]:
        return tuple(_written_call(match) for match in written)
    if behaviour == "bad-arguments":
        return (ToolCall(next(iter(offered)), '{"expression": 1 +'),)
    if behaviour in {"tool", "loop"}:
        name, tool = next(iter(offered.items()))
        return (ToolCall(name, sample_arguments(tool, text)),)
    if behaviour == "unknown-tool":
        return (ToolCall("no_such_tool", "{}"),)
    return ()


def timed_answer(match: re.Match[str], defaults: Defaults) -> Answer:
    """`kind[-tokens[-milliseconds]]`; for `slow` a lone number is the milliseconds."""
    kind, numbers = match["kind"], [int(number) for number in match["numbers"].split("-")[1:]]
    if kind == "slow":
        numbers = [defaults.tokens, *(numbers or [SLOW_MS])] if len(numbers) < 2 else numbers
    return Answer(
        tokens=words(numbers[0] if numbers else defaults.tokens),
        delay_ms=numbers[1] if len(numbers) > 1 else defaults.delay_ms,
        finish_reason="length" if kind == "length" else "stop",
        reasoning=kind in {"reasoning", "audio"},
        audio=kind == "audio",
        counts_usage=kind != "no-usage",
        stamped=kind == "clock",
        breaks=kind if kind in {"cut", "stall"} else "",
    )


def embeddings(behaviour: str, body: dict[str, Any], api_key: str = "") -> Reply:
    """Vectors of the texts: each word counts in one of the dimensions, so texts that share words are near."""
    if behaviour == "hang":
        return Hang()
    if behaviour.startswith("error-"):
        return error(int(behaviour.removeprefix("error-")), api_key)
    if behaviour.startswith("garbage"):
        return garbage(behaviour.removeprefix("garbage").removeprefix("-"))
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    number = behaviour.removeprefix("embed-").partition("-")[0]
    dimensions = body.get("dimensions") or (int(number) if number.isdigit() else 8)
    data = [
        {"object": "embedding", "index": index, "embedding": bag_of_words(text, dimensions)}
        for index, text in enumerate(texts)
    ]
    if behaviour.endswith("-short"):
        del data[-1]
    tokens = sum(len(text.split()) for text in texts)
    usage = (
        {}
        if behaviour.endswith("-no-usage")
        else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )
    answer = {"object": "list", "model": body["model"], "data": data[::-1], **usage}
    return Raw(200, "application/json", json.dumps(answer).encode())


def bag_of_words(text: str, dimensions: int) -> list[float]:
    vector = [0.01] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        vector[zlib.crc32(word.encode()) % dimensions] += 1
    return vector


def choose(behaviour: str, body: dict[str, Any], defaults: Defaults, api_key: str = "") -> Reply:
    """The reply that a behaviour's name stands for; an unknown name is answered like `text`."""
    if behaviour == "hang":
        return Hang()
    if behaviour.startswith("error-"):
        return error(int(behaviour.removeprefix("error-")), api_key)
    if behaviour.startswith("garbage"):
        return garbage(behaviour.removeprefix("garbage").removeprefix("-"))
    match = TIMED_TEXT.match(behaviour)
    if calls := requested_calls(body, behaviour):
        if match and match["kind"] == "slow":
            return replace(timed_answer(match, defaults), calls=calls, finish_reason="tool_calls")
        return Answer(calls=calls, finish_reason="tool_calls", delay_ms=defaults.delay_ms)
    # What is timed keeps its time, whatever tools have said.
    if not behaviour.startswith(("slow", "clock")) and (results := tool_results(body)):
        return Answer(tokens=("The ", "tool ", "said: ", *results), delay_ms=defaults.delay_ms)
    if behaviour == "echo":
        return Answer(tokens=tuple(re.findall(r"\S*\s*", last_user_text(body))), delay_ms=defaults.delay_ms)
    return (
        timed_answer(match, defaults)
        if match
        else Answer(tokens=words(defaults.tokens), delay_ms=defaults.delay_ms)
    )
