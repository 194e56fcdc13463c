"""Logs: one JSON line with the context, and never a secret in it."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from agentplatform.lib.logs import REDACTED, json_formatter, redact


@pytest.fixture
def lines():
    """What a logger writes through the platform's formatter, parsed."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_formatter())
    logger = logging.getLogger("tests.logs")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel("INFO")
    structlog.contextvars.clear_contextvars()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.handlers, logger.propagate = [], True
    structlog.contextvars.clear_contextvars()


def test_writes_one_line_with_the_standard_fields(lines):
    structlog.get_logger("tests.logs").info("run ended", seconds=1.5)
    line = lines()[0]
    assert (line["message"], line["level"], line["logger"], line["seconds"]) == (
        "run ended",
        "info",
        "tests.logs",
        1.5,
    )


def test_dates_lines_in_utc(lines):
    structlog.get_logger("tests.logs").info("x")
    assert lines()[0]["timestamp"].endswith("Z")


def test_puts_the_context_on_lines_of_other_libraries(lines):
    structlog.contextvars.bind_contextvars(request_id="r1", user_id="u1", workspace="acme", run_id="run1")
    logging.getLogger("tests.logs").warning("slow %s", "query")
    line = lines()[0]
    assert (line["message"], line["request_id"], line["run_id"]) == ("slow query", "r1", "run1")


def test_keeps_an_exception_on_its_line(lines):
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        structlog.get_logger("tests.logs").exception("failed")
    assert len(lines()) == 1


def test_redacts_exceptions(lines):
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        structlog.get_logger("tests.logs").exception("failed")
    assert "hunter22" not in json.dumps(lines())


@pytest.mark.parametrize("value", [object(), {1: {2}}, "\ud800", b"x", float("nan")])
def test_writes_whatever_it_is_given(lines, value):
    structlog.get_logger("tests.logs").info("x", value=value)
    assert len(lines()) == 1


@pytest.mark.parametrize(
    "name",
    ["authorization", "Authorization", "api_key", "X-API-Key", "password", "new_password", "secret", "token"],
)
def test_redacts_by_name(name):
    assert redact({name: "hunter22"}) == {name: REDACTED}


def test_redacts_deep_inside():
    assert redact({"request": {"headers": [{"authorization": "x"}]}}) == {
        "request": {"headers": [{"authorization": REDACTED}]}
    }


@pytest.mark.parametrize("name", ["input_tokens", "max_tokens", "tokens"])
def test_spares_counts(name):
    assert redact({name: 12}) == {name: 12}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def.hunter22",
        "GET /ws/?ticket=hunter22&after=3",
        "token=hunter22",
        '{"api_key": "hunter22"}',
        "key ap_hunter22hunter22hunter22 refused",
        "used sk-hunter22hunter22hunter22",
        "jwt eyJhbGciOi.eyJhunter22.sig",
        "postgresql://root:hunter22@db/x",
    ],
)
def test_redacts_by_form(text):
    assert "hunter22" not in redact(text)


def test_redacts_what_objects_show_of_themselves():
    class Request:
        def __repr__(self):
            return "<Request GET /?token=hunter22>"

    assert "hunter22" not in redact({"request": Request()})["request"]


@pytest.mark.parametrize("text", ["42 tokens used", "run ended in 3 s", "https://example.com/path?page=2"])
def test_leaves_other_text_alone(text):
    assert redact(text) == text


def test_leaves_out_the_request_that_django_adds_to_lines_about_it(lines, rf):
    request = rf.get("/api/v1/agents?search=private")
    logging.getLogger("tests.logs").error("Server Error: %s", request.path, extra={"request": request})
    assert "private" not in json.dumps(lines())
