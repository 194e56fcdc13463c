"""/tools: functions and HTTP requests, their schemas and their secret headers."""

from __future__ import annotations

import pytest

from agents.models import Secret, Tool
from tests.factories import AgentFactory, ToolFactory

SECRET = "Bearer very-secret-token-9xKe"
SCHEMA = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}


def nested(levels):
    value = {"type": "object"}
    for _ in range(levels):
        value = {"type": "object", "properties": {"a": value}}
    return value


HTTP = {
    "name": "get_order",
    "kind": "http",
    "request": {"method": "GET", "url": "https://shop.example.com/orders/{number}"},
    "arguments_schema": SCHEMA,
}


@pytest.fixture
def client(api, olivia):
    return api(olivia)


@pytest.fixture
def tool(client):
    client.post(
        "/tools", {**HTTP, "secret_headers": {"Authorization": SECRET, "X-Key": "another-secret-1234"}}
    )
    return Tool.objects.get(name="get_order")


def fields_of(response):
    return {entry["field"] for entry in response.json()["error"]["details"]}


def test_creates_a_function_tool_with_the_functions_own_schema(client, workspace):
    created = client.post("/tools", {"name": "sums", "kind": "function", "function": "calculator"})
    assert (created.status_code, created.json()["arguments_schema"]["required"]) == (201, ["expression"])


def test_describes_a_function_tool_as_the_function_does(client, workspace):
    created = client.post("/tools", {"name": "sums", "kind": "function", "function": "calculator"})
    assert "arithmetic" in created.json()["description"]


def test_creates_an_http_tool(client, workspace):
    created = client.post("/tools", HTTP)
    assert (created.status_code, created.json()["request"]["url"]) == (201, HTTP["request"]["url"])


def test_answers_all_fields_of_a_tool(client, tool):
    assert client.get("/tools/get_order").json().keys() == {
        "id", "name", "description", "enabled", "kind", "function", "request", "secret_header_hints", "agent",
        "mcp_server", "mcp_tool", "knowledge_base",
        "arguments_schema", "timeout_seconds", "idempotent", "requires_approval", "approval_timeout_seconds",
        "approval_default", "version", "created_at", "updated_at",
    }  # fmt: skip


def test_shows_the_last_characters_of_secret_headers_only(client, tool):
    response = client.get("/tools/get_order")
    hints = response.json()["secret_header_hints"]
    assert (hints, SECRET in response.text) == ({"Authorization": "9xKe", "X-Key": "1234"}, False)


def test_keeps_secret_headers_where_none_are_sent(client, tool):
    client.put("/tools/get_order", {**HTTP, "description": "changed"})
    assert Tool.objects.get(pk=tool.pk).secret_headers == tool.secret_headers


def test_changes_one_secret_header_and_keeps_the_others(client, tool):
    changed = client.patch("/tools/get_order", {"secret_headers": {"X-Key": "a-new-secret-5678"}}).json()
    assert changed["secret_header_hints"] == {"Authorization": "9xKe", "X-Key": "5678"}


def test_removes_a_secret_header_for_null(client, tool):
    changed = client.patch("/tools/get_order", {"secret_headers": {"X-Key": None}}).json()
    assert changed["secret_header_hints"] == {"Authorization": "9xKe"}


def test_removes_all_secret_headers_for_null(client, tool):
    assert client.patch("/tools/get_order", {"secret_headers": None}).json()["secret_header_hints"] == {}


def test_keeps_the_old_secret_for_its_versions(client, tool):
    client.patch("/tools/get_order", {"secret_headers": {"Authorization": "Bearer another-token"}})
    assert Secret.objects.get(pk=tool.secret_headers["Authorization"]["secret"]).value == SECRET


def test_never_sends_stored_secrets_to_another_server(client, tool):
    change = {"request": {"method": "GET", "url": "https://evil.example.com/{number}"}}
    response = client.patch("/tools/get_order", change)
    assert (response.status_code, fields_of(response)) == (422, {"secret_headers"})


def test_moves_to_another_server_with_new_secrets(client, tool):
    change = {
        "request": {"method": "GET", "url": "https://other.example.com/{number}"},
        "secret_headers": {"Authorization": "Bearer another-token", "X-Key": None},
    }
    assert client.patch("/tools/get_order", change).status_code == 200


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "shell"}, "kind"),
        ({"name": "has.dots"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"request": None}, "request.url"),
        ({"request": {"url": "shop.example.com/{number}"}}, "request.url"),
        ({"request": {"url": "ftp://shop.example.com/{number}"}}, "request.url"),
        ({"request": {"url": "https://{number}.example.com/"}}, "request.url"),
        ({"request": {"url": "{number}://example.com/"}}, "request.url"),
        ({"request": {"url": "http://127.0.0.1/{number}"}}, "request.url"),
        ({"request": {"url": "https://user:pass@shop.example.com/"}}, "request.url"),
        ({"request": {"url": "https://shop.example.com/{nobody}"}}, "request"),
        ({"request": {**HTTP["request"], "method": "TRACE"}}, "request.method"),
        ({"request": {**HTTP["request"], "headers": {"Host": "evil"}}}, "request.headers.Host"),
        ({"request": {**HTTP["request"], "headers": {"X-A": "a\r\nb"}}}, "request.headers.X-A"),
        ({"request": {**HTTP["request"], "headers": {"X A": "a"}}}, "request.headers.X A"),
        ({"request": {**HTTP["request"], "body": {"a": "{nobody}"}}}, "request"),
        ({"request": {**HTTP["request"], "retries": 3}}, "request.retries"),
        ({"function": "calculator"}, "function"),
        ({"arguments_schema": {"type": "strin"}}, "arguments_schema"),
        (
            {"arguments_schema": {"type": "object", "properties": {"number": {"type": "strin"}}}},
            "arguments_schema",
        ),
        ({"arguments_schema": "text"}, "arguments_schema"),
        ({"arguments_schema": nested(40)}, "arguments_schema"),
        ({"request": {**HTTP["request"], "body": nested(40)}}, "request"),
        ({"secret_headers": {"Host": "evil"}}, "secret_headers.Host"),
        ({"secret_headers": {"X-Key": "a\nb"}}, "secret_headers.X-Key"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 601}, "timeout_seconds"),
        ({"requires_approval": "perhaps"}, "requires_approval"),
        ({"approval_timeout_seconds": 0}, "approval_timeout_seconds"),
        ({"approval_timeout_seconds": 31_536_001}, "approval_timeout_seconds"),
        ({"approval_default": "ignore"}, "approval_default"),
        ({"url": "https://example.com"}, "url"),
    ],
)
def test_says_which_field_is_wrong(client, workspace, values, field):
    response = client.post("/tools", {**HTTP, **values})
    assert response.status_code == 422
    assert field in fields_of(response)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"function": "rm"}, "function"),
        ({"function": ""}, "function"),
        ({"request": {"url": "https://example.com"}}, "request"),
        ({"secret_headers": {"X-Key": "a-secret-value"}}, "secret_headers"),
    ],
)
def test_says_what_does_not_go_with_a_function(client, workspace, values, field):
    response = client.post("/tools", {"name": "sums", "kind": "function", "function": "calculator", **values})
    assert (response.status_code, field in fields_of(response)) == (422, True)


def test_waits_for_a_person_for_ever_and_then_rejects_unless_it_is_said(client, tool):
    shown = client.get("/tools/get_order").json()
    assert (shown["requires_approval"], shown["approval_timeout_seconds"], shown["approval_default"]) == (
        False,
        None,
        "reject",
    )


def test_takes_a_deadline_for_approvals_and_what_happens_then(client, tool):
    wanted = {"requires_approval": True, "approval_timeout_seconds": 3600, "approval_default": "approve"}
    assert wanted.items() <= client.patch("/tools/get_order", wanted).json().items()


def test_changes_a_secret_header_whatever_its_spelling(client, tool):
    changed = client.patch(
        "/tools/get_order", {"secret_headers": {"authorization": "Bearer another-5678"}}
    ).json()
    assert changed["secret_header_hints"] == {"authorization": "5678", "X-Key": "1234"}


def test_refuses_to_delete_what_an_agent_uses(client, workspace, tool):
    AgentFactory(workspace=workspace, tools=[tool], name="helper")
    response = client.delete("/tools/get_order")
    assert (response.status_code, "helper" in response.json()["error"]["message"]) == (409, True)


def test_deletes_what_nobody_uses(client, tool):
    assert client.delete("/tools/get_order").status_code == 204


def test_lists_any_number_of_tools_in_as_many_queries(client, workspace, django_assert_max_num_queries):
    ToolFactory.create_batch(15, workspace=workspace)
    with django_assert_max_num_queries(3):
        assert len(client.get("/tools").json()["items"]) == 15


@pytest.mark.parametrize(("query", "count"), [("kind=http", 1), ("kind=function", 2), ("search=order", 1)])
def test_narrows_the_list(client, workspace, tool, query, count):
    ToolFactory.create_batch(2, workspace=workspace)
    assert client.get(f"/tools?{query}").json()["total"] == count
