"""One handler turns every error into `{"error": {"type", "message", "path", "request_id", "details"?}}`."""

from __future__ import annotations

import re
from typing import Any

from django.db import IntegrityError, InterfaceError, OperationalError
from django.db.models import ProtectedError
from django.http import HttpRequest, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from psycopg.errors import UniqueViolation
from psycopg_pool import PoolTimeout
from rest_framework import exceptions
from rest_framework.response import Response

from agentplatform.lib.errors import Conflict, PlatformError, ServiceUnavailable, type_by_status

Body = dict[str, dict[str, Any]]
DATABASE_ERRORS = (OperationalError, InterfaceError, PoolTimeout)


def error_body(
    request: HttpRequest, status: int, message: str, error_type: str = "", details: Any = None
) -> Body:
    """The one error shape, for any place that answers an error."""
    error: dict[str, Any] = {
        "type": error_type or type_by_status.get(status, "InternalServerError"),
        "message": message,
        "path": request.path,
        "request_id": getattr(request, "request_id", ""),
    }
    if details is not None:
        error["details"] = details
    return {"error": error}


def error_response(request: HttpRequest, error: PlatformError) -> JsonResponse:
    """`error` as a plain Django response, for views that are not DRF's."""
    body = error_body(request, error.status_code, error.message, error.error_type, error.details)
    response = JsonResponse(body, status=error.status_code)
    if challenge := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        response["Retry-After"] = str(max(1, round(wait)))
    return response


def as_platform_error(error: Exception) -> Exception:
    """`error`, or the platform's error that says the same of a database fault or a protected row."""
    if isinstance(error, ProtectedError):
        return Conflict(str(error.args[0]))
    if isinstance(error, IntegrityError) and isinstance(error.__cause__, UniqueViolation):
        return Conflict(duplicate_message(error.__cause__.diag.message_detail or ""))
    if isinstance(error, DATABASE_ERRORS):
        return ServiceUnavailable("The database does not answer at the moment. Try again shortly.")
    return error


def duplicate_message(detail: str) -> str:
    """What PostgreSQL says of a duplicate, `Key (workspace_id, name)=(…) already exists.`, for clients."""
    columns = re.search(r"Key \(([^)]*)\)", detail)
    names = [name for name in (columns[1].split(", ") if columns else []) if name != "workspace_id"]
    return f"Another one has the same {' and '.join(names) or 'key'}; choose a different value."


class PlatformExceptionHandler(ExceptionHandler):
    """Adds the database's and the domain's errors to what DRF knows, and makes validation 422."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        return super().convert_known_exceptions(as_platform_error(exc))

    def get_response(self, exc: exceptions.APIException, data: dict[str, Any]) -> Response:
        response = super().get_response(exc, data)
        if isinstance(exc, exceptions.ValidationError):
            response.status_code = 422
        if response.status_code in (429, 503) and response.headers.get("Retry-After", "0") == "0":
            response["Retry-After"] = "1"
        if etag := getattr(exc, "etag", ""):
            response["ETag"] = etag
        return response


class PlatformExceptionFormatter(ExceptionFormatter):
    """Writes the body. Unknown errors say nothing of their inside."""

    def format_error_response(self, error_response: ErrorResponse) -> Body:
        request: Any = self.context["request"]
        if isinstance(self.exc, PlatformError):
            return error_body(
                request, self.exc.status_code, self.exc.message, self.exc.error_type, self.exc.details
            )
        if isinstance(self.exc, exceptions.ValidationError):
            details = [
                {"field": field_of(item.attr), "message": item.detail} for item in error_response.errors
            ]
            lines = [
                f"{item['field']}: {item['message']}" if item["field"] else item["message"]
                for item in details
            ]
            return error_body(request, 422, "; ".join(lines), "ValidationError", details)
        return error_body(request, self.exc.status_code, str(error_response.errors[0].detail))


def field_of(attribute: str | None) -> str:
    """The dotted path of a field; what is wrong with an object as a whole belongs to the object."""
    return (attribute or "").removesuffix("non_field_errors").rstrip(".")
