"""What happens around every request: id, log line, canonical path, headers, limits, errors."""

from __future__ import annotations

import logging

import pytest
from django.core.handlers.base import BaseHandler
from django.test import AsyncClient, AsyncRequestFactory, Client

from agentplatform.lib.paths import canonical, is_api

pytestmark = pytest.mark.urls("tests.lib.urls")


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


@pytest.fixture
def async_client():
    return AsyncClient(raise_request_exception=False)


@pytest.fixture
def log_line(caplog):
    caplog.set_level(logging.INFO, logger="agentplatform.request")
    return lambda: next(
        r.msg for r in caplog.records if r.name == "agentplatform.request" and "method" in r.msg
    )


@pytest.mark.parametrize(
    ("path", "routed"),
    [
        ("/api/agents", "/api/v1/agents"),
        ("/api/agents/", "/api/v1/agents"),
        ("/api/v1/agents/", "/api/v1/agents"),
        ("/api/v1", "/api/v1"),
        ("/api/", "/api/v1"),
        ("/api/v10/agents", "/api/v1/v10/agents"),
        ("/health", "/api/v1/health"),
        ("/health/liveness/", "/api/v1/health/liveness"),
        ("/healthy", "/healthy"),
        ("/v1/models/", "/v1/models"),
        ("/admin/", "/admin/"),
        ("/", "/"),
    ],
)
def test_routes_each_path_in_one_form(path, routed):
    assert canonical(path) == routed


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/api/v1/x", True), ("/mcp", True), ("/v1/models", True), ("/api/v1/docs", False), ("/", False)],
)
def test_tells_the_api_from_pages(path, answer):
    assert is_api(path) is answer


@pytest.mark.parametrize("path", ["/api/v1/echo", "/api/v1/echo/", "/api/echo", "/api/echo/"])
def test_answers_the_aliases(client, path):
    assert client.get(path).json() == {"path": path, "routed": "/api/v1/echo"}


def test_answers_health_without_a_prefix(client):
    assert client.get("/health/").status_code == 200


def test_makes_a_request_id(client):
    assert len(client.get("/api/echo").headers["X-Request-ID"]) == 36


def test_keeps_a_sane_request_id(client):
    assert client.get("/api/echo", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"


@pytest.mark.parametrize("offered", ["a b", "x" * 129, "a\n", '"><script>', "é"])
def test_replaces_another_request_id(client, offered):
    assert client.get("/api/echo", headers={"X-Request-ID": offered}).headers["X-Request-ID"] != offered


def test_says_how_long_it_took_in_seconds(client):
    assert 0 <= float(client.get("/api/echo").headers["X-Process-Time"]) < 5


def test_says_how_long_the_body_is(client):
    response = client.get("/api/echo")
    assert int(response.headers["Content-Length"]) == len(response.content)


def test_writes_a_log_line(client, log_line):
    client.get("/api/echo?token=hunter22")
    line = log_line()
    assert (line["endpoint"], line["method"], line["status_code"]) == ("/api/echo", "GET", 200)


@pytest.mark.parametrize("name", ["user_id", "response_time_ms", "request_id"])
def test_has_the_contracts_fields_on_the_line(client, log_line, name):
    client.get("/api/echo")
    assert name in log_line()


def test_keeps_query_strings_out_of_the_log(client, log_line):
    client.get("/api/echo?token=hunter22")
    assert "hunter22" not in str(log_line())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "same-origin"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
    ],
)
@pytest.mark.parametrize("path", ["/api/echo", "/page/"])
def test_sends_security_headers(client, path, name, value):
    assert client.get(path).headers[name] == value


def test_sends_a_content_security_policy_on_pages(client):
    assert "frame-ancestors 'none'" in client.get("/page/").headers["Content-Security-Policy"]


def test_sends_strict_transport_security_over_https(settings):
    settings.SECURE_HSTS_SECONDS = 60
    assert (
        Client().get("/api/echo", secure=True).headers["Strict-Transport-Security"].startswith("max-age=60")
    )


def test_redirects_to_https_where_it_is_on(settings):
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/api/echo").headers["Location"] == "https://testserver/api/echo"


def test_answers_health_checks_without_https(settings):
    settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/health").status_code == 200


def test_keeps_sessions_for_pages(client):
    assert client.get("/page/").content == b"page True"


async def test_steps_aside_for_the_api(async_client):
    assert (await async_client.get("/api/async")).json()["has_session"] is False


async def test_stays_in_its_thread_for_the_api(monkeypatch):
    handler = BaseHandler()
    handler.load_middleware(is_async=True)

    def refuse(*_args, **_kwargs):
        raise AssertionError("a change of thread")

    monkeypatch.setattr("asgiref.sync.SyncToAsync.__call__", refuse)
    response = await handler.get_response_async(AsyncRequestFactory().get("/api/async"))
    assert response.status_code == 200


async def test_serves_pages_under_asgi(async_client):
    assert (await async_client.get("/page/")).content == b"page True"


async def test_answers_domain_errors_of_async_views(async_client):
    response = await async_client.get("/api/conflict")
    assert (response.status_code, response.json()["error"]["type"]) == (409, "Conflict")


async def test_says_when_to_come_back(async_client):
    assert (await async_client.get("/api/busy")).headers["Retry-After"] == "7"


@pytest.mark.parametrize("debug", [True, False])
async def test_hides_the_inside_of_a_fault(async_client, settings, debug):
    settings.DEBUG = debug
    response = await async_client.get("/api/broken")
    assert response.json()["error"]["type"] == "InternalServerError"
    assert "the inside" not in response.content.decode()


def test_answers_a_page_where_a_page_fails(client):
    response = client.get("/broken-page/")
    assert (response.status_code, response.headers["Content-Type"]) == (500, "text/html; charset=utf-8")


def test_says_when_to_come_back_while_the_database_is_away(client):
    response = client.get("/page-without-database/")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


async def test_says_so_of_asynchronous_views_and_pages_too(async_client):
    for path in ("/api/without-database", "/page-without-database/"):
        response = await async_client.get(path)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")


def test_shows_nothing_of_the_inside_while_the_database_is_away(client):
    assert b"unexpectedly" not in client.get("/page-without-database/").content


@pytest.mark.parametrize("debug", [True, False])
def test_answers_unknown_paths_in_the_apis_shape(client, settings, debug):
    settings.DEBUG = debug
    error = client.get("/api/v1/nothing").json()["error"]
    assert (error["type"], error["path"]) == ("NotFound", "/api/v1/nothing")


def test_answers_unknown_pages_with_a_page(client):
    assert client.get("/nothing").headers["Content-Type"].startswith("text/html")


def test_has_the_request_id_in_errors(client):
    response = client.get("/api/v1/nothing")
    assert response.json()["error"]["request_id"] == response.headers["X-Request-ID"]


def test_refuses_an_announced_body_that_is_too_large(client, settings):
    settings.MAX_REQUEST_BYTES = 10
    response = client.post("/api/echo", {"a": "0123456789"}, content_type="application/json")
    assert (response.status_code, response.json()["error"]["type"]) == (413, "PayloadTooLarge")


@pytest.mark.parametrize("path", ["/api/echo%00", "/api/echo?search=a%00"])
def test_refuses_a_nul_character_in_the_url(client, path):
    assert client.get(path).json()["error"]["type"] == "MalformedRequest"


@pytest.mark.parametrize("path", ["/api/echo%00", "/api/echo?search=a%00"])
def test_sends_security_headers_with_a_refusal(client, path):
    assert client.get(path).headers["X-Content-Type-Options"] == "nosniff"


def test_refuses_malformed_json(client):
    response = client.post("/api/echo", '{"a": ', content_type="application/json")
    assert (response.status_code, response.json()["error"]["type"]) == (400, "MalformedRequest")


def test_refuses_other_content_types(client):
    response = client.post("/api/echo", {"a": "b"})
    assert (response.status_code, response.json()["error"]["type"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("https", [True, False])
def test_refuses_an_unknown_host(settings, https):
    settings.ALLOWED_HOSTS = ["example.com"]
    settings.SECURE_SSL_REDIRECT = https
    error = Client().get("/api/echo", headers={"Host": "evil.test"}).json()["error"]
    assert (error["type"], "ALLOWED_HOSTS" in error["message"]) == ("MalformedRequest", True)
