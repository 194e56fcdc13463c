"""Bad input at every operation: a clear error in the platform's one shape, the field named, and nothing stored.

What may be sent is read from the API's own description, so a new field is walked over without being named here.
Operations share the bad values out: each field and id of a resource meets all of them, by one of its methods in turn,
and what no operation reads by itself, as a body that is no JSON, each of them meets in part. `make test-deep` sends all
to all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as configured
from django.test import Client

from accounts.models import User
from agentplatform.asgi import application
from agentplatform.lib.body_limit import limit_of
from agentplatform.lib.json import dumps
from tests.examples import in_turn, one_of_each
from tests.platform.operations import (
    CREATES,
    WRITES,
    Operation,
    body_of,
    close_unread,
    documented,
    needs_signing_in,
    operations,
    other_routes,
    path_of,
    query_of,
    send,
    text_of,
    undone,
)
from tests.platform.request_schema import Path, Place, places, replaced
from tests.platform.stored import rows_by_table
from tests.platform.tenant import Tenant
from tests.sockets import Socket

pytestmark = [pytest.mark.usefixtures("one_transaction", "without_limits"), pytest.mark.properties]

ALL = operations()
WRITING = [operation for operation in ALL if operation.takes_body]
READING = [operation for operation in ALL if operation.method == "GET"]
BELOW_API = [operation for operation in READING if operation.path not in ("/docs", "/redoc")]
WITHOUT_BODY = [operation for operation in ALL if operation.method in WRITES and not operation.takes_body]
# Those that take files have limits of their own, and tests where they are.
LIMITED = [
    operation
    for operation in ALL
    if operation.method in WRITES
    and limit_of(operation.method, f"/api/v1{operation.path}")[1] == "MAX_REQUEST_BYTES"
]
TEN_MEGABYTES = 10_000_000
Schema = dict[str, Any]
T = TypeVar("T")


class Wish(NamedTuple):
    """A bad request: `body` as it is sent; `field` is what the error has to name, if anything."""

    operation: Operation
    body: bytes
    field: str | None = None
    content_type: str = "application/json"

    def __str__(self) -> str:
        return f"{self.operation}: {self.content_type} {self.body[:80]!r} for {self.field!r}"


@pytest.fixture
def good(acme) -> dict[str, Any]:
    """By operation, a body that is as it should be. Made beforehand: some store rows to be made."""
    return {str(operation): body_of(operation, acme) for operation in WRITING}


@pytest.fixture
def breaches(api, acme):
    """`breaches(wishes, {422})`: the answers that are anything but a clear refusal with one of these statuses."""
    client = api(acme.admin)

    def breaches(wishes: Iterable[Wish], statuses: set[int]) -> dict[str, Any]:
        before = rows_by_table()
        found = {
            str(wish): fault
            for wish in wishes
            if (fault := fault_of(sent(client, acme, wish), wish, statuses))
        }
        after = rows_by_table()
        if before != after:
            found["stored"] = [table for table in after if before.get(table) != after[table]]
        return found

    return breaches


def sent(client: Any, tenant: Tenant, wish: Wish) -> Any:
    path = path_of(wish.operation.path, tenant)
    return client.generic(wish.operation.method, path, wish.body, content_type=wish.content_type)


def fault_of(answer: Any, wish: Wish, statuses: set[int]) -> str | None:
    """Why this is no clear refusal, or None."""
    if answer.status_code not in statuses:
        return f"answers {answer.status_code}: {text_of(answer)[:200]}"
    return shape_fault(answer) or name_fault(answer, wish.field)


def shape_fault(answer: Any) -> str | None:
    """Why this is not an error in the platform's shape, or None."""
    if answer.headers["Content-Type"] != "application/json":
        return f"answers {answer.headers['Content-Type']}"
    text = text_of(answer)
    error = json.loads(text).get("error", {})
    if not {"type", "message", "path", "request_id"} <= error.keys() <= SHAPE or "Traceback" in text:
        return f"answers {text[:200]}"
    return None


SHAPE = {"type", "message", "path", "request_id", "details"}


def name_fault(answer: Any, field: str | None) -> str | None:
    """A list or an object is named for what is in it, and the other way round."""
    if field is None:
        return None
    named = [entry["field"] for entry in json.loads(text_of(answer))["error"].get("details", [])]
    fits = [one for one in named if one == field or is_in(one, field) or is_in(field, one)]
    return None if fits else f"names {named}: {text_of(answer)[:200]}"


def is_in(inner: str, outer: str) -> bool:
    return outer == "" or inner.startswith(f"{outer}.")


def faults(fault: Callable[[Any], Any], wishes: Iterable[Any]) -> dict[str, Any]:
    """What is wrong with the answers to these wishes; those that are right are left out."""
    return {" ".join(str(part)[:100] for part in wish): found for wish in wishes if (found := fault(wish))}


def changed(good: dict[str, Any], operation: Operation, path: Path, value: Any) -> bytes:
    """The operation's good body with `value` at `path`."""
    body = replaced(good[str(operation)], path, value)
    if path[:1] == ("input",):
        body.pop("message", None)  # One of the two.
    return dumps(body)


def all_places(schema: Schema) -> list[tuple[Operation, Place]]:
    """Every place of what resources take, each at one of the operations that take it, in turn."""
    return one_of_each(
        ((resource_of(operation), place.path), (operation, place))
        for operation in WRITING
        for place in places(schema, operation)
    )


def shared_out(operations: list[Operation], values: Sequence[T], count: int) -> list[tuple[Operation, T]]:
    """Each operation with as many of the values as `in_turn` gives it."""
    return [(one, value) for turn, one in enumerate(operations) for value in in_turn(values, turn, count)]


def resource_of(operation: Operation) -> str:
    """The path that methods share which take the same fields, as `/agents` of `PUT /agents/{pk}`."""
    return re.sub(r"/{\w+}$", "", operation.path)


# the body

NO_JSON = [
    *(b"{", b'{"name": }', b"{'name': 1}", b"nothing", b"{} {}", b"\xff\xfe{}", b"\x00", b"<html></html>"),
    *(b'{"name": NaN}', b'{"name": 1e999}', b'{"name": 1' + b"0" * 400 + b"}"),
    *(b'{"name": "\\ud800"}', b'{"name": "\xed\xa0\x80"}', b"[" * 5000 + b"]" * 5000),
]
NO_OBJECT = [b"[]", b'["name"]', b"[{}]", b'"name"', b'""', b"null", b"7", b"true"]
NOT_JSON = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "?",
    "a/b/c",
]


# Those that take a form with a file, too.
UPLOADS = {"POST /knowledge-bases/{pk}/documents"}


def test_refuses_a_body_that_is_no_json(breaches):
    assert breaches([Wish(*wish) for wish in shared_out(WRITING, NO_JSON, 4)], {400}) == {}


def test_refuses_a_body_that_is_no_object(breaches):
    assert breaches([Wish(*wish, "") for wish in shared_out(WRITING, NO_OBJECT, 3)], {422}) == {}


def test_refuses_another_content_type(breaches, good):
    wishes = [
        Wish(one, dumps(good[str(one)]), None, kind)
        for one, kind in shared_out(WRITING, NOT_JSON, 3)
        if not (str(one) in UPLOADS and kind.startswith("multipart/"))
    ]
    assert breaches(wishes, {415}) == {}


def test_ignores_a_body_where_none_is_taken(api, acme):
    def status(operation):
        with undone():
            wish = Wish(operation, b'{"name": ')
            answer = sent(api(acme.admin), acme, wish)
            return answer.status_code, shape_fault(answer) if answer.status_code >= 400 else None

    answers = {str(operation): status(operation) for operation in WITHOUT_BODY}
    assert {name: answer for name, answer in answers.items() if answer[0] >= 500 or answer[1]} == {}


# fields

WRONG: dict[str, Any] = {
    "array": [[]],
    "object": {"a": [1]},
    "boolean": True,
    "number": 7.5,
    "string": "nonsense",
    "null": None,
}
# Null stands for an empty object or text in these.
EMPTY_FOR_NULL = {"arguments_schema", "memory", "metadata", "parameters", "user_id"}


def wrong_values(place: Place) -> list[Any]:
    """A value of each type that is not taken at this place; none where anything is."""
    types = place.types
    if not types:
        return []
    # A number is read as the text that it is written as, and the other way round.
    taken = types | ({"number"} if place.is_text else set())
    if place.path and place.path[-1] in EMPTY_FOR_NULL:
        taken.add("null")
    return [value for kind, value in WRONG.items() if kind not in taken]


def test_refuses_a_value_of_another_type(breaches, good, schema):
    wishes = [
        Wish(operation, changed(good, operation, place.path, value), str(place))
        for operation, place in all_places(schema)
        for value in wrong_values(place)
    ]

    assert len(wishes) > 500
    assert breaches(wishes, {422}) == {}


def test_names_a_field_that_does_not_exist(breaches, good, schema):
    wishes = [
        Wish(operation, changed(good, operation, path, 1), ".".join(map(str, path)))
        for operation, place in all_places(schema)
        if place.has_fixed_fields
        for path in [(*place.path, "nonsense")]
    ]

    assert len(wishes) > 35
    assert breaches(wishes, {422}) == {}


def test_takes_no_nul_character(breaches, good, schema):
    wishes = [
        Wish(operation, changed(good, operation, place.path, "a\0b"), str(place))
        for operation, place in all_places(schema)
        if place.is_text
    ]
    wishes += [
        Wish(operation, changed(good, operation, (*place.path, "a\0b"), "c"), str(place))
        for operation, place in all_places(schema)
        if "object" in place.types
    ]

    assert breaches(wishes, {422}) == {}


def test_takes_no_half_character(breaches, good, schema):
    """A lone surrogate: JSON can spell it, and no text can hold it."""
    wishes = [
        Wish(operation, changed(good, operation, place.path, "a\ud800b"))
        for operation, place in all_places(schema)
        if place.is_text
    ]

    assert breaches(wishes, {400}) == {}


def test_refuses_a_number_beyond_the_bounds(breaches, good, schema):
    numbers = [10**18, -(10**18), 10**30, 1e300, "9" * 5000]
    wishes = [
        Wish(operation, changed(good, operation, place.path, number), str(place))
        for operation, place in all_places(schema)
        if place.types & {"integer", "number"} or place.is_decimal
        for number in numbers
    ]

    assert len(wishes) > 100
    assert breaches(wishes, {422}) == {}


def test_refuses_a_text_beyond_the_bounds(breaches, good, schema):
    wishes = [
        Wish(operation, changed(good, operation, place.path, "x" * (place.longest + 1)), str(place))
        for operation, place in all_places(schema)
        if place.is_text
    ]

    assert breaches(wishes, {422}) == {}


def test_refuses_what_is_nested_too_deep(breaches, good, schema):
    deep = "[" * 900 + "]" * 900
    wishes = [
        Wish(operation, changed(good, operation, place.path, "here").replace(b'"here"', deep.encode()))
        for turn, operation in enumerate(WRITING)
        for place in in_turn(places(schema, operation), turn, 3)
    ]

    assert breaches(wishes, {400}) == {}


NO_SCHEMA = [
    *([], "text", 7, True, {"type": "strin"}, {"type": "array"}, {"type": ["object", "objekt"]}),
    {"type": "object", "properties": []},
    {"type": "object", "properties": {"id": {"type": "strin"}}},
    {"type": "object", "properties": {"id": {"minLength": "one"}}},
    {"type": "object", "properties": {"id": {"$ref": "https://example.com/schema"}}},
    {"type": "object", "properties": {"id": {"pattern": "("}}},
    {"type": "object", "properties": {"id": {"pattern": "(a+)+$"}}},
    {"type": "object", "required": "id"},
]


def test_refuses_what_is_no_json_schema(breaches, good):
    writing_tools = [
        one for one in WRITING if one.path.startswith("/tools") and not one.path.endswith("/test")
    ]
    wishes = [
        Wish(operation, changed(good, operation, ("arguments_schema",), fault), "arguments_schema")
        for operation in writing_tools
        for fault in NO_SCHEMA
    ]

    assert len(writing_tools) == 3
    assert breaches(wishes, {422}) == {}


# size


def test_names_the_limit_that_a_large_prompt_exceeds(api, acme):
    body = dumps({"message": "x" * TEN_MEGABYTES})
    before = rows_by_table()

    def fault(operation):
        answer = sent(api(acme.admin), acme, Wish(operation, body))
        return fault_of(answer, Wish(operation, body), {413}) or limit_fault(text_of(answer))

    assert {str(operation): found for operation in LIMITED if (found := fault(operation))} == {}
    assert rows_by_table() == before


def test_names_the_limit_that_a_prompt_of_unknown_length_exceeds(acme):
    """Sent in pieces, as long as anybody reads them."""

    def fault(operation):
        status, text, read = async_to_sync(in_pieces)(operation.method, path_of(operation.path, acme))
        if status != 413 or read > 2 * configured.MAX_REQUEST_BYTES:
            return f"answers {status} having read {read} bytes"
        return limit_fault(text)

    assert {str(operation): found for operation in LIMITED if (found := fault(operation))} == {}


def limit_fault(text: str) -> str | None:
    """Why an answer does not say how much would have been allowed, and who allows it."""
    message = json.loads(text)["error"]["message"]
    named = {str(configured.MAX_REQUEST_BYTES), "MAX_REQUEST_BYTES"}
    return None if all(one in message for one in named) else message


async def in_pieces(method: str, path: str) -> tuple[int, str, int]:
    """The answer's status and text to ten megabytes without Content-Length, and how many bytes of them were read."""
    headers = {b"host": b"testserver", b"content-type": b"application/json", b"transfer-encoding": b"chunked"}
    scope = {
        "type": "http",
        "method": method,
        "path": f"/api/v1{path}",
        "query_string": b"",
        "client": ("127.0.0.1", 9),
    }
    caller = ApplicationCommunicator(
        application, scope | {"headers": list(headers.items()), "http_version": "1.1"}
    )
    piece = b"x" * 100_000
    for _ in range(TEN_MEGABYTES // len(piece)):
        await caller.send_input({"type": "http.request", "body": piece, "more_body": True})
    started = await caller.receive_output(timeout=5)
    answered = await caller.receive_output(timeout=5)
    unread = caller.input_queue.qsize() * len(piece)
    await caller.wait(timeout=5)
    return started["status"], answered["body"].decode(), TEN_MEGABYTES - unread


# the query string

NONSENSE = {
    "integer": ["nonsense", "-1", "1.5", "", "９", "9" * 30, "0x10"],
    "int64": ["nonsense", "-1", "1.5", "", "９", "9" * 30, "0x10"],
    "boolean": ["nonsense", "2"],
    "uuid": ["nonsense", "9" * 33],
    "date-time": ["nonsense", "2026-13-01", "0", "2026-01-01T99:00:00Z", "99999-01-01T00:00:00Z"],
    "enum": ["nonsense", "None"],
    "text": ["", "\u202e", "'; DROP TABLE runs_run; --", "%", "x" * 5000],
}
# Texts of which not all are good.
PICKY = {
    "cursor": ["nonsense", "AAAA", "ü", "x" * 5000],
    "ordering": ["nonsense", "-", ",", "id,nonsense", "workspace__name", "user__password", "?"],
    "tz": ["nonsense", "../../etc/passwd", "/etc/passwd", "x" * 5000],
    "ticket": ["nonsense", "x" * 5000],
    "hash": ["nonsense", "0" * 63, "ü" * 64, "x" * 5000],
}


def query_wishes(schema: Schema) -> Iterator[tuple[Operation, str, str, bool]]:
    """Each parameter of each reading operation with nonsense, and whether it has to be refused."""
    for turn, operation in enumerate(READING):
        for parameter in documented(schema, operation).get("parameters", []):
            if parameter["in"] != "query":
                continue
            name, kind = parameter["name"], kind_of(parameter["schema"])
            for value in in_turn(PICKY.get(name) or NONSENSE[kind], turn, 3):
                yield operation, name, value, name in PICKY or kind != "text"


def kind_of(described: Schema) -> str:
    described = described.get("items", described)
    if "enum" in described:
        return "enum"
    return described.get("format") or {"string": "text"}.get(described["type"], described["type"])


def test_refuses_nonsense_in_a_query(api, acme, schema):
    client, before = api(acme.admin), rows_by_table()

    def fault(wish):
        operation, name, value, is_wrong = wish
        # One of them starts a run where nothing is wrong.
        with undone():
            answer = send(client, operation, path_of(operation.path, acme), **{name: value})
        # A text is the name of something; what it names may be missing.
        if not is_wrong and answer.status_code in (200, 404):
            return None
        if name == "ticket":
            return fault_of(answer, Wish(operation, b""), {401})
        return fault_of(answer, Wish(operation, b"", name), {422})

    wishes = list(query_wishes(schema))
    assert len(wishes) > 300
    assert faults(fault, wishes) == {}
    assert rows_by_table() == before


def test_refuses_a_filter_that_does_not_exist(api, acme, schema):
    client = api(acme.admin)
    lists = [
        operation
        for operation in READING
        if {"ordering", "start"}
        & {one["name"] for one in documented(schema, operation).get("parameters", [])}
    ]

    def fault(operation):
        answer = client.get(path_of(operation.path, acme), {"nonsense": "1"})
        return fault_of(answer, Wish(operation, b"", "nonsense"), {422})

    assert len(lists) == 32
    assert {str(operation): found for operation in lists if (found := fault(operation))} == {}


def test_takes_no_nul_character_in_a_query(api, acme):
    client = api(acme.admin)
    queries = shared_out(BELOW_API, ["a=%00", "limit=%00", "search=a%00b", "%00=1"], 2)

    def fault(wish):
        operation, query = wish
        return fault_of(client.get(f"{path_of(operation.path, acme)}?{query}"), Wish(operation, b""), {400})

    assert faults(fault, queries) == {}


def test_survives_a_query_that_is_no_text(api, acme):
    client = api(acme.admin)
    queries = shared_out(BELOW_API, ["search=%ED%A0%80", "%ED%A0%80=%FF", "&=&", "%"], 2)

    def fault(wish):
        operation, query = wish
        answer = client.get(
            f"{path_of(operation.path, acme)}?{query}&{urlencode(query_of(operation, path_of(operation.path, acme)))}"
        )
        if answer.streaming:
            close_unread(answer)
        return answer.status_code >= 400 and fault_of(answer, Wish(operation, b""), {404, 422})

    assert faults(fault, queries) == {}


# headers


BAD_CREDENTIALS = [
    {"Authorization": "Bearer nonsense"},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic bm9uc2Vuc2U="},
    {"Authorization": "é" * 5000},
    {"X-API-Key": "nonsense"},
    {"X-API-Key": "ap_" + "x" * 5000},
]
BAD_WORKSPACES = [{"X-Workspace": "nonsense"}, {"X-Workspace": "../é"}, {"X-Workspace": "x" * 5000}]
# A workspace in the path goes before the header.
CLOSED = [one for one in READING if needs_signing_in(one) and "{workspace}" not in one.path]


@pytest.mark.parametrize(
    ("is_signed_in", "headers", "status"), [(False, BAD_CREDENTIALS, 401), (True, BAD_WORKSPACES, 404)]
)
def test_refuses_nonsense_in_a_header(api, acme, is_signed_in, headers, status):
    client = api(acme.admin if is_signed_in else None)

    def fault(wish):
        operation, header = wish
        answer = client.get(path_of(operation.path, acme), headers=header)
        return fault_of(answer, Wish(operation, b""), {status})

    assert faults(fault, shared_out(CLOSED, headers, 2)) == {}


# paths

BAD_IDS = [
    *(
        "nonsense",
        "0",
        "-1",
        "..",
        "%2e%2e",
        "%20",
        "é",
        "%FF",
        "%ED%A0%80",
        "' OR 1=1 --",
        "a" * 5000,
        "%0a",
    ),
    *("01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5", "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "9" * 20),
]


def paths_with(value: str, operation: Operation, tenant: Tenant) -> dict[str, str]:
    """The operation's path with `value` in the place of each of its ids, by its path up to there."""
    parts, good = operation.path.split("/"), path_of(operation.path, tenant).split("/")
    places = [index for index, part in enumerate(parts) if part.startswith("{")]
    return {
        "/".join(parts[: index + 1]): "/".join([*good[:index], value, *good[index + 1 :]]) for index in places
    }


def test_finds_nothing_by_a_malformed_id(api, acme, good):
    client, before = api(acme.admin), rows_by_table()

    def fault(wish):
        operation, path, status = wish
        return fault_of(
            send(client, operation, path, good.get(str(operation))),
            Wish(operation, b""),
            {status} | CREATES.get(str(operation), set()),
        )

    wishes = one_of_each(
        ((place, value), (operation, path, status))
        for operation in ALL
        for value, status in [*((value, 404) for value in BAD_IDS), ("%00", 400)]
        for place, path in paths_with(value, operation, acme).items()
    )
    assert len(wishes) > 500
    assert faults(fault, wishes) == {}
    assert rows_by_table() == before


def test_survives_a_malformed_id_in_the_path_of_a_page(acme):
    User.objects.filter(pk=acme.admin.pk).update(is_staff=True)
    browser = Client(raise_request_exception=False)
    browser.force_login(acme.admin)
    pages = [route.path for route in other_routes() if "{" in route.path]
    values = ["nonsense", "%00", "%FF", "0", "a" * 500, "'", "_5F"]
    paths = {
        "/".join(value if "{" in part else part for part in page.split("/"))
        for turn, page in enumerate(pages)
        for value in in_turn(values, turn, 3)
    }

    assert len(paths) > 100
    assert {path: status for path in paths if (status := browser.get(path).status_code) >= 500} == {}


# sockets


@pytest.mark.parametrize(
    "path", ["/ws/runs/nonsense/", f"/ws/runs/{'-' * 36}/", "/ws/", "/ws/nonsense/", "/"]
)
def test_closes_a_socket_on_what_does_not_exist(api, acme, path):
    assert async_to_sync(closed)(path, {"X-API-Key": acme.api_key.text})["closed"] == 4404


async def closed(path: str, headers: dict[str, str]) -> Any:
    async with Socket(path, headers=headers) as socket:
        return (await socket.frames())[-1]
