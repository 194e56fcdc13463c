"""The bytes of a reply, as OpenAI sends them."""

from __future__ import annotations

import json
import time
import uuid
from http import HTTPStatus
from typing import Any

from tests.model_endpoint.replies import Answer, Raw, ToolCall, message_text

ARGUMENT_PIECE = 12
LISTED_MODELS = ("text", "tool", "echo", "slow", "reasoning")
REASONING_TOKENS = 7
AUDIO_TOKENS = 3


def usage(answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
    """Counted so that tests can know it: an input token per word of the messages, an output token per piece
    of text and per call. `reasoning` adds seven reasoning tokens and half of the input was cached. `audio` also says
    that a token of the input and three more of the output are audio."""
    prompt = sum(len(message_text(message).split()) for message in body.get("messages", []))
    reasoning = REASONING_TOKENS if answer.reasoning else 0
    heard, spoken = (1, AUDIO_TOKENS) if answer.audio else (0, 0)
    output = len(answer.tokens) + len(answer.calls) + reasoning + spoken
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {
            "cached_tokens": prompt // 2 if answer.reasoning else 0,
            "audio_tokens": heard,
        },
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": spoken},
    }


def completion(answer: Answer, body: dict[str, Any]) -> bytes:
    """The answer to a request that does not stream."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(answer.tokens) or None,
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    document: dict[str, Any] = {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model"),
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        ],
    }
    if answer.counts_usage:
        document["usage"] = usage(answer, body)
    return json.dumps(document).encode()


class Frames:
    """The server-sent events of one answer: `head`, one entry of `pieces` per step of the clock, `tail`."""

    def __init__(self, answer: Answer, body: dict[str, Any], start_ns: int) -> None:
        envelope = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.get("model"),
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }
        self._before = b"data: " + json.dumps(envelope)[:-1].encode() + b', "choices": '
        self.head = self._delta({"role": "assistant", "content": "", "refusal": None})
        if answer.reasoning:
            self.head += self._delta({"reasoning_content": "Let me think. "})
        if answer.calls:
            self.pieces = [self._delta(delta) for delta in call_deltas(answer.calls)]
        else:
            self.pieces = [self._delta({"content": token}) for token in spoken(answer, start_ns)]
        self.tail = self._delta({}, answer.finish_reason)
        if answer.counts_usage and (body.get("stream_options") or {}).get("include_usage"):
            self.tail += self._before + b'[], "usage": ' + json.dumps(usage(answer, body)).encode() + b"}\n\n"
        self.tail += b"data: [DONE]\n\n"

    def _delta(self, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._before + json.dumps([choice]).encode() + b', "usage": null}\n\n'


def spoken(answer: Answer, start_ns: int) -> tuple[str, ...]:
    if not answer.stamped:
        return answer.tokens
    step_ns = int(answer.delay_ms * 1_000_000)
    return tuple(f"{index}@{start_ns + index * step_ns}|" for index in range(len(answer.tokens)))


def call_deltas(calls: tuple[ToolCall, ...]) -> list[dict[str, Any]]:
    """Each call by its name first, then its arguments in pieces, as OpenAI streams them."""
    deltas: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        opening = {"name": call.name, "arguments": ""}
        deltas.append(
            {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": opening}]}
        )
        for start in range(0, len(call.arguments), ARGUMENT_PIECE):
            piece = {"arguments": call.arguments[start : start + ARGUMENT_PIECE]}
            deltas.append({"tool_calls": [{"index": index, "function": piece}]})
    return deltas


def http(reply: Raw) -> bytes:
    """A whole HTTP answer, head and body."""
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(reply.body)}",
        *reply.headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body


def document(body: bytes) -> bytes:
    return http(Raw(200, "application/json", body))


def model_list() -> bytes:
    models = [{"id": name, "object": "model", "created": 0, "owned_by": "tests"} for name in LISTED_MODELS]
    return document(json.dumps({"object": "list", "data": models}).encode())
