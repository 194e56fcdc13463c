"""The limit on bodies under ASGI: it counts, does not wait for the end, and answers as everything else does."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.handlers.asgi import ASGIHandler

from agentplatform.lib.body_limit import BodyLimit, announced_length

MAXIMUM = 10


async def drain(scope, receive, send):
    """An application that reads all, listens for the client as Django does, and answers with what it was told."""
    total = 0
    while True:
        message = await receive()
        total += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    listening = asyncio.ensure_future(receive()) if scope["type"] == "http" else None
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    told = {"received": total, "announced": announced_length(scope)}
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})
    if listening:
        listening.cancel()


async def ask(chunks, headers=(), kind="http"):
    """Sends chunks; answers what was sent back, and how many chunks were read."""
    sent, pending = [], list(chunks)

    async def receive():
        if not pending:
            return await asyncio.get_running_loop().create_future()
        body = pending.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pending)}

    async def send(message):
        sent.append(message)

    scope = {"type": kind, "path": "/api/v1/chat", "headers": list(headers)}
    await BodyLimit(drain, MAXIMUM)(scope, receive, send)
    return sent, len(chunks) - len(pending)


def told(sent):
    return json.loads(sent[1]["body"])


async def test_lets_a_small_body_pass():
    sent, _ = await ask([b"12345", b"67890"])
    assert told(sent) == {"received": 10, "announced": 0}


async def test_reads_no_further_as_soon_as_there_is_too_much():
    _, read = await ask([b"123456", b"123456", b"123456", b"123456"])
    assert read == 2


async def test_hands_on_no_more_than_the_maximum_and_says_what_came_in():
    sent, _ = await ask([b"123456", b"123456", b"123456"])
    assert told(sent) == {"received": 6, "announced": 12}


async def test_reads_nothing_of_a_body_that_is_announced_too_large():
    sent, read = await ask([b"x" * 11], [(b"content-length", b"11")])
    assert (told(sent), read) == ({"received": 0, "announced": 11}, 0)


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"11")]])
async def test_closes_the_connection_of_a_body_that_is_not_read(headers):
    sent, _ = await ask([b"x" * 11], headers)
    assert sent[0]["headers"] == [(b"x-own", b"1"), (b"connection", b"close")]


async def test_keeps_the_connection_of_a_body_that_is_read():
    sent, _ = await ask([b"x" * 10])
    assert sent[0]["headers"] == [(b"x-own", b"1")]


@pytest.mark.parametrize("length", [b"x", b"", b"-5"])
async def test_counts_where_the_announcement_is_no_number(length):
    sent, _ = await ask([b"1"], [(b"content-length", length)])
    assert told(sent)["received"] == 1


async def test_leaves_websockets_alone():
    sent, _ = await ask([b"x" * 11], kind="websocket")
    assert told(sent)["received"] == 11


@pytest.mark.urls("tests.lib.urls")
class TestThePlatformsAnswer:
    """The way from the limit through Django and back."""

    @pytest.fixture(autouse=True)
    def _small(self, settings):
        settings.MAX_REQUEST_BYTES = MAXIMUM
        settings.CORS_ALLOWED_ORIGINS = ["https://app.example.com"]

    @pytest.fixture(params=["announced", "in pieces"])
    def refused(self, request):
        """`await refused()`: status, headers and body of the answer to a body that is too large."""

        async def post(path="/api/echo", **more):
            headers = {
                "host": "testserver",
                "content-type": "application/json",
                "origin": "https://app.example.com",
                **more,
            }
            if request.param == "announced":
                headers["content-length"] = "11"
            scope = {
                "type": "http",
                "method": "POST",
                "path": path,
                "query_string": b"",
                "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            }
            client = ApplicationCommunicator(BodyLimit(ASGIHandler(), MAXIMUM), scope)
            for _ in range(3):
                await client.send_input({"type": "http.request", "body": b"x" * 6, "more_body": True})
            start = await client.receive_output(5)
            body = await client.receive_output(5)
            await client.wait(5)
            answered = {name.decode().lower(): value.decode() for name, value in start["headers"]}
            return start["status"], answered, json.loads(body["body"])["error"]

        return post

    async def test_is_in_the_error_shape(self, refused):
        status, _, error = await refused()
        assert (status, error["type"], error["path"]) == (413, "PayloadTooLarge", "/api/echo")
        assert "MAX_REQUEST_BYTES" in error["message"]

    async def test_has_the_clients_request_id(self, refused):
        _, headers, error = await refused(**{"x-request-id": "abc-1"})
        assert (headers["x-request-id"], error["request_id"]) == ("abc-1", "abc-1")

    @pytest.mark.parametrize(
        "name",
        [
            "x-process-time",
            "content-length",
            "x-content-type-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            "access-control-allow-origin",
        ],
    )
    async def test_has_the_headers_of_other_answers(self, refused, name):
        _, headers, _ = await refused()
        assert name in headers

    async def test_closes_the_connection(self, refused):
        _, headers, _ = await refused()
        assert headers["connection"] == "close"

    async def test_is_in_the_log(self, refused, caplog):
        caplog.set_level(logging.INFO, logger="agentplatform.request")
        await refused()
        (line,) = [record.msg for record in caplog.records if record.name == "agentplatform.request"]
        assert (line["endpoint"], line["method"], line["status_code"]) == ("/api/echo", "POST", 413)
        assert line["request_id"]
