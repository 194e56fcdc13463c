"""Errors as OpenAI's clients know them: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from agentplatform.lib.errors import Conflict, PlatformError
from agentplatform.lib.json import dumps

Json = dict[str, Any]

PATHS = "/v1/"
REQUEST = "invalid_request_error"
type_by_status = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error"}
type_by_status |= {409: "conflict_error", 429: "rate_limit_error"}
# By the platform's type: the parameter that is wrong, as far as it is one, and the code.
words_by_type: dict[str, tuple[str | None, str]] = {
    "AgentNotFound": ("model", "model_not_found"),
    "NotAuthenticated": (None, "invalid_api_key"),
    "RateLimited": (None, "rate_limit_exceeded"),
    "BudgetExceeded": (None, "insufficient_quota"),
    "PermissionDenied": (None, "permission_denied"),
    "PayloadTooLarge": (None, "payload_too_large"),
    "ValidationError": (None, "invalid_value"),
    "InvalidConfig": (None, "invalid_configuration"),
    "MalformedRequest": (None, "malformed_request"),
    "ServiceUnavailable": (None, "service_unavailable"),
}
# Where OpenAI answers another status.
STATUS_OF: dict[int, int] = {
    HTTPStatus.UNPROCESSABLE_ENTITY: HTTPStatus.BAD_REQUEST,
    HTTPStatus.PAYMENT_REQUIRED: HTTPStatus.TOO_MANY_REQUESTS,
}
# What a repeat may help with. All else would only be run, and paid for, again.
MAY_BE_REPEATED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Refused(PlatformError):
    """400: a parameter that is not taken, `param` its path."""

    status_code = 400
    error_type = "MalformedRequest"

    def __init__(self, message: str, param: str, code: str = "invalid_value") -> None:
        super().__init__(message, details={"param": param, "code": code})


class Unfinished(Conflict):
    """409: there is no answer for now, or not the one that was begun; `code` says why, `facts` name the run."""

    def __init__(self, message: str, code: str, **facts: Any) -> None:
        super().__init__(message, details={"code": code, **facts})


def error_json(error: PlatformError) -> Json:
    """What a stream that has begun ends with."""
    return _reshaped(error.status_code, error.error_type, error.message, error.details)


def _reshaped(status: int, kind: str, message: str, details: Any) -> Json:
    """`details` are a list of `{field, message}`, or an object, whose run and the like are told too."""
    param, code = words_by_type.get(kind, (None, None))
    facts = {**details} if isinstance(details, dict) else {}
    if isinstance(details, list):
        param = param or next((entry["field"] for entry in details if entry["field"]), None)
    code = code if status == HTTPStatus.PAYMENT_REQUIRED else facts.get("class", code)
    facts.pop("class", None)
    return {"error": {"message": message, "type": _type_of(status), "param": param, "code": code, **facts}}


def _type_of(status: int) -> str:
    return type_by_status.get(status, "server_error" if status >= 500 else REQUEST)


def reshape(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response as it is or, for an error below /v1/, in the other shape."""
    if response.status_code < 400 or not request.path_info.startswith(PATHS):
        return response
    assert isinstance(response, HttpResponse)
    error = orjson.loads(response.content)["error"]
    body = _reshaped(response.status_code, error["type"], error["message"], error.get("details"))
    # What a repeat would only meet again.
    response["X-Should-Retry"] = "true" if response.status_code in MAY_BE_REPEATED else "false"
    response.status_code = STATUS_OF.get(response.status_code, response.status_code)
    response.content = dumps(body)
    if run_id := body["error"].get("run_id"):
        response["X-Run-ID"] = run_id
    return response
