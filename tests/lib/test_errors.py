"""Errors: one shape, the right status, and nothing of the inside."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError
from django.db.models import ProtectedError
from django.http import Http404
from django.test import RequestFactory
from drf_standardized_errors.handler import exception_handler
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.request import Request

from accounts.models import Workspace
from agentplatform.lib import errors
from agentplatform.lib.error_format import duplicate_message, error_response
from tests.factories import WorkspaceFactory


def answer(error):
    """What the handler makes of an error."""
    request = RequestFactory().get("/api/v1/agents/x")
    request.request_id = "r1"
    return exception_handler(error, {"request": Request(request), "view": None, "args": (), "kwargs": {}})


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.MalformedRequest(), 400, "MalformedRequest"),
        (errors.NotAuthenticated(), 401, "NotAuthenticated"),
        (errors.BudgetExceeded(), 402, "BudgetExceeded"),
        (errors.PermissionDenied(), 403, "PermissionDenied"),
        (errors.NotFound("Agent", "x"), 404, "AgentNotFound"),
        (errors.Conflict(), 409, "Conflict"),
        (errors.PayloadTooLarge(), 413, "PayloadTooLarge"),
        (errors.Invalid({"name": "wrong"}), 422, "ValidationError"),
        (errors.InvalidConfig({"model": "missing"}), 422, "InvalidConfig"),
        (errors.RateLimited(), 429, "RateLimited"),
        (errors.ServiceUnavailable(), 503, "ServiceUnavailable"),
        (exceptions.ValidationError({"name": ["wrong"]}), 422, "ValidationError"),
        (exceptions.MethodNotAllowed("PUT"), 405, "MethodNotAllowed"),
        (exceptions.UnsupportedMediaType("text/plain"), 415, "UnsupportedMediaType"),
        (Http404(), 404, "NotFound"),
        (OperationalError("server closed the connection"), 503, "ServiceUnavailable"),
        (PoolTimeout("no connection"), 503, "ServiceUnavailable"),
        (ProtectedError("It is used by an agent.", set()), 409, "Conflict"),
        (ZeroDivisionError("the inside"), 500, "InternalServerError"),
        (IntegrityError("a check failed"), 500, "InternalServerError"),
    ],
)
def test_answers_each_error_with_its_status_and_type(error, status, kind):
    response = answer(error)
    assert (response.status_code, response.data["error"]["type"]) == (status, kind)


def test_has_the_whole_shape():
    assert answer(errors.NotFound("Agent", "x")).data == {
        "error": {
            "type": "AgentNotFound",
            "message": "Agent 'x' does not exist.",
            "path": "/api/v1/agents/x",
            "request_id": "r1",
        }
    }


def test_has_an_entry_for_each_field():
    error = exceptions.ValidationError({"name": ["short"], "config": {"max_steps": ["negative"]}})
    assert answer(error).data["error"]["details"] == [
        {"field": "name", "message": "short"},
        {"field": "config.max_steps", "message": "negative"},
    ]


def test_names_the_fields_in_the_message():
    assert answer(errors.Invalid({"name": "too short"})).data["error"]["message"] == "name: too short"


@pytest.mark.parametrize("error", [ZeroDivisionError("the inside"), OperationalError("password=hunter22")])
def test_hides_the_inside(error):
    assert not {"the inside", "hunter22"} & set(str(answer(error).data).split())


@pytest.mark.parametrize(("wait", "header"), [(0.2, "1"), (7, "7"), (6.6, "7")])
def test_rounds_the_wait_to_whole_seconds(wait, header):
    request = RequestFactory().get("/")
    assert error_response(request, errors.RateLimited(retry_after=wait))["Retry-After"] == header


def test_never_says_to_come_back_at_once():
    assert answer(errors.RateLimited(retry_after=0.2))["Retry-After"] == "1"


def test_challenges_who_is_not_signed_in():
    assert answer(errors.NotAuthenticated())["WWW-Authenticate"] == 'Bearer realm="api"'


def test_turns_a_duplicate_into_a_conflict(db):
    WorkspaceFactory(slug="acme")
    with pytest.raises(IntegrityError) as caught:
        Workspace.objects.create(slug="acme", name="Again")
    response = answer(caught.value)
    assert (response.status_code, "slug" in response.data["error"]["message"]) == (409, True)


@pytest.mark.parametrize(
    ("detail", "fields"),
    [
        ("Key (workspace_id, name)=(1, x) already exists.", "the same name;"),
        ("Key (workspace_id, provider, model)=(1, x, y) already exists.", "the same provider and model;"),
        ("", "the same key;"),
    ],
)
def test_names_the_fields_of_a_duplicate_but_the_workspace(detail, fields):
    assert fields in duplicate_message(detail)
