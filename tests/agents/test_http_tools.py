"""Tools of kind http, against a real server: what is sent, what comes back, and what arguments cannot do."""

from __future__ import annotations

import json
import uuid

import pytest

from agents.tools.base import ToolFault
from agents.tools.call import call
from tests.agents.http_endpoint import Answer
from tests.agents.specs import http_spec


async def send(spec, secrets=None, key="", **arguments):
    return await call(spec, arguments, secrets, key)


async def test_puts_an_argument_into_the_path(http_endpoint):
    await send(http_spec(f"{http_endpoint.url}/items/{{number}}", ("number",)), number=7)
    assert http_endpoint.asked[0].path == "/items/7"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("a/b", "/items/a%2Fb/x"),
        ("a?b=c", "/items/a%3Fb%3Dc/x"),
        ("a#b", "/items/a%23b/x"),
        ("a b", "/items/a%20b/x"),
        ("@evil.example.com", "/items/%40evil.example.com/x"),
        ("..\\..", "/items/..%5C../x"),
        ("%2e%2e", "/items/%252e%252e/x"),
        ("中", "/items/%E4%B8%AD/x"),
        ("a\r\nX: y", "/items/a%0D%0AX%3A%20y/x"),
    ],
)
async def test_encodes_an_argument_in_the_path(http_endpoint, value, path):
    await send(http_spec(f"{http_endpoint.url}/items/{{number}}/x", ("number",)), number=value)
    assert http_endpoint.asked[0].path == path


@pytest.mark.parametrize("value", ["..", ".", ""])
async def test_refuses_an_argument_that_changes_the_path(http_endpoint, value):
    with pytest.raises(ToolFault):
        await send(http_spec(f"{http_endpoint.url}/items/{{number}}/x", ("number",)), number=value)


async def test_refuses_arguments_that_change_the_path_together(http_endpoint):
    with pytest.raises(ToolFault):
        await send(http_spec(f"{http_endpoint.url}/items/{{a}}{{b}}/x", ("a", "b")), a=".", b=".")


async def test_refuses_a_placeholder_in_the_host():
    with pytest.raises(ToolFault, match="host"):
        await send(http_spec("https://{host}/x", ("host",)), host="example.com")


async def test_puts_arguments_into_the_query(http_endpoint):
    spec = http_spec(
        f"{http_endpoint.url}/search", ("q", "limit"), request={"query": {"q": "{q}", "limit": "{limit}"}}
    )
    await send(spec, q="a&b=c", limit=5)
    assert http_endpoint.asked[0].path == "/search?q=a%26b%3Dc&limit=5"


async def test_keeps_the_query_of_the_url(http_endpoint):
    spec = http_spec(
        f"{http_endpoint.url}/search?kind={{kind}}", ("kind", "q"), request={"query": {"q": "{q}"}}
    )
    await send(spec, kind="a b", q="c")
    assert http_endpoint.asked[0].path == "/search?kind=a+b&q=c"


async def test_leaves_out_what_was_not_given(http_endpoint):
    spec = http_spec(
        f"{http_endpoint.url}/search", ("q", "limit"), request={"query": {"q": "{q}", "limit": "{limit}"}}
    )
    await send(spec, q="a")
    assert http_endpoint.asked[0].path == "/search?q=a"


async def test_repeats_a_list_in_the_query(http_endpoint):
    spec = http_spec(f"{http_endpoint.url}/search", ("ids",), request={"query": {"id": "{ids}"}})
    await send(spec, ids=[1, 2])
    assert http_endpoint.asked[0].path == "/search?id=1&id=2"


async def test_keeps_the_types_of_arguments_in_the_body(http_endpoint):
    body = {
        "count": "{count}",
        "text": "No. {count}",
        "flags": ["{flag}"],
        "missing": "{missing}",
        "fixed": 1,
    }
    spec = http_spec(
        http_endpoint.url, ("count", "flag", "missing"), request={"method": "POST", "body": body}
    )
    await send(spec, count=3, flag=True)
    assert json.loads(http_endpoint.asked[0].body) == {
        "count": 3,
        "text": "No. 3",
        "flags": [True],
        "fixed": 1,
    }


async def test_says_that_the_body_is_json(http_endpoint):
    await send(http_spec(http_endpoint.url, request={"method": "POST", "body": {}}))
    assert http_endpoint.asked[0].headers["Content-Type"] == "application/json"


async def test_sends_text_where_the_template_says_so(http_endpoint):
    request = {"method": "POST", "body": "name={name}", "headers": {"Content-Type": "text/plain"}}
    await send(http_spec(http_endpoint.url, ("name",), request=request), name="bob")
    assert http_endpoint.asked[0].body == b"name=bob"


async def test_refuses_a_line_break_in_a_header(http_endpoint):
    spec = http_spec(http_endpoint.url, ("trace",), request={"headers": {"X-Trace": "{trace}"}})
    with pytest.raises(ToolFault, match="X-Trace"):
        await send(spec, trace="a\r\nX-Admin: 1")


async def test_sends_secret_headers(http_endpoint):
    secret = uuid.uuid4()
    await send(
        http_spec(http_endpoint.url, secret_headers={"X-Key": secret}), secrets={secret: "s3cret-value"}
    )
    assert http_endpoint.asked[0].headers["X-Key"] == "s3cret-value"


async def test_sends_a_secret_header_once_whatever_its_spelling(http_endpoint):
    secret = uuid.uuid4()
    request = {"headers": {"Authorization": "none"}}
    spec = http_spec(http_endpoint.url, request=request, secret_headers={"authorization": secret})
    await send(spec, secrets={secret: "s3cret-value"})
    assert http_endpoint.asked[0].headers.get_all("Authorization") == ["s3cret-value"]


async def test_says_that_a_secret_is_gone(http_endpoint):
    with pytest.raises(ToolFault, match="X-Key"):
        await send(http_spec(http_endpoint.url, secret_headers={"X-Key": uuid.uuid4()}))


@pytest.mark.parametrize("status", [200, 400])
async def test_blackens_a_secret_that_the_answer_quotes(http_endpoint, status):
    secret = uuid.uuid4()
    http_endpoint.answer = Answer(status, b'{"you_sent": "s3cret-value"}')
    spec = http_spec(http_endpoint.url, secret_headers={"X-Key": secret})
    try:
        said = (await send(spec, secrets={secret: "s3cret-value"})).text
    except ToolFault as fault:
        said = fault.message
    assert "s3cret-value" not in said
    assert "***" in said


async def test_sends_the_key_of_the_call(http_endpoint):
    await send(http_spec(http_endpoint.url), key="run-1:call-2")
    assert http_endpoint.asked[0].headers["Idempotency-Key"] == "run-1:call-2"


async def test_answers_json_as_a_value(http_endpoint):
    http_endpoint.answer = Answer(body=b'{"a": [1]}')
    assert (await send(http_spec(http_endpoint.url))).content == {"a": [1]}


async def test_answers_text_as_it_is(http_endpoint):
    http_endpoint.answer = Answer(body="Grüße".encode("latin-1"), content_type="text/plain; charset=latin-1")
    assert (await send(http_spec(http_endpoint.url))).text == "Grüße"


async def test_says_that_json_is_none(http_endpoint):
    http_endpoint.answer = Answer(body=b"<html>")
    with pytest.raises(ToolFault, match="does not"):
        await send(http_spec(http_endpoint.url))


async def test_refuses_binary_answers(http_endpoint):
    http_endpoint.answer = Answer(body=b"\x89PNG\0\0", content_type="image/png")
    with pytest.raises(ToolFault, match="neither JSON nor text"):
        await send(http_spec(http_endpoint.url))


@pytest.mark.parametrize(("status", "retryable"), [(404, False), (422, False), (429, True), (503, True)])
async def test_calls_an_error_an_error(http_endpoint, status, retryable):
    http_endpoint.answer = Answer(status, b'{"error": "no such thing"}')
    with pytest.raises(ToolFault, match=f"HTTP {status}.*no such thing") as raised:
        await send(http_spec(http_endpoint.url))
    assert raised.value.retryable is retryable


async def test_shows_no_more_than_the_beginning_of_an_error(http_endpoint):
    http_endpoint.answer = Answer(500, b"x" * 10_000, "text/plain")
    with pytest.raises(ToolFault) as raised:
        await send(http_spec(http_endpoint.url))
    assert len(raised.value.message) < 600


async def test_does_not_follow_redirects(http_endpoint):
    http_endpoint.answer = Answer(302, b"", headers={"Location": "http://169.254.169.254/"})
    with pytest.raises(ToolFault, match="Redirects are not followed"):
        await send(http_spec(http_endpoint.url))


async def test_refuses_an_answer_that_is_too_long(http_endpoint):
    http_endpoint.answer = Answer(body=b"x" * 1_000_001, content_type="text/plain")
    with pytest.raises(ToolFault, match="longer"):
        await send(http_spec(http_endpoint.url))


async def test_does_not_wait_longer_than_it_may(http_endpoint):
    http_endpoint.answer = Answer(hang=True)
    with pytest.raises(ToolFault, match=r"in time|did not finish") as raised:
        await send(http_spec(http_endpoint.url, timeout_seconds=0.2))
    assert raised.value.retryable


async def test_refuses_private_addresses(http_endpoint, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    with pytest.raises(ToolFault, match="refused"):
        await send(http_spec(http_endpoint.url))


async def test_says_that_nobody_is_there(settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    with pytest.raises(ToolFault, match="cannot be reached") as raised:
        await send(http_spec("http://127.0.0.1:9/"))
    assert raised.value.retryable
