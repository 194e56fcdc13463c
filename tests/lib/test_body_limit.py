"""The limit on bodies under ASGI: it counts, and does not wait for the end."""

from __future__ import annotations

import json

import pytest

from agentplatform.lib.body_limit import BodyLimit


async def drain(scope, receive, send):
    """An application that reads all and answers with the number of bytes; silent when the client leaves."""
    total = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        total += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(total).encode()})


async def ask(chunks, headers=(), kind="http"):
    """Sends chunks; answers what was sent back, and how many chunks were read."""
    sent, pending = [], list(chunks)

    async def receive():
        body = pending.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pending)}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": "/api/v1/chat", "headers": list(headers)}
    await BodyLimit(drain, maximum=10)(scope, receive, send)
    return sent, len(chunks) - len(pending)


async def test_lets_a_small_body_pass():
    sent, _ = await ask([b"12345", b"67890"])
    assert sent[1]["body"] == b"10"


async def test_refuses_as_soon_as_there_is_too_much():
    sent, read = await ask([b"123456", b"123456", b"123456", b"123456"])
    assert (sent[0]["status"], read) == (413, 2)


async def test_refuses_an_announced_body_unread():
    sent, read = await ask([b"x" * 11], [(b"content-length", b"11")])
    assert (sent[0]["status"], read) == (413, 0)


async def test_answers_in_the_error_shape():
    sent, _ = await ask([b"x" * 11])
    error = json.loads(sent[1]["body"])["error"]
    assert (error["type"], error["path"]) == ("PayloadTooLarge", "/api/v1/chat")


@pytest.mark.parametrize("length", [b"x", b"", b"-5"])
async def test_counts_where_the_announcement_is_no_number(length):
    sent, _ = await ask([b"1"], [(b"content-length", length)])
    assert sent[0]["status"] == 200


async def test_leaves_websockets_alone():
    sent, _ = await ask([b"x" * 11], kind="websocket")
    assert sent[0]["status"] == 200
