"""The tree of errors that the platform answers with.

    PlatformError                 500 InternalServerError
    ├── MalformedRequest          400 MalformedRequest
    ├── NotAuthenticated          401 NotAuthenticated
    ├── BudgetExceeded            402 BudgetExceeded, with Retry-After where it begins anew
    ├── PermissionDenied          403 PermissionDenied
    ├── NotFound                  404 <Resource>NotFound
    ├── Conflict                  409 Conflict
    ├── PreconditionFailed        412 PreconditionFailed, with the present ETag
    ├── PayloadTooLarge           413 PayloadTooLarge
    ├── Invalid                   422 ValidationError, one entry per field
    │   └── InvalidConfig         422 InvalidConfig
    ├── PreconditionRequired      428 PreconditionRequired, with the present ETag
    ├── RateLimited               429 RateLimited, with Retry-After
    └── ServiceUnavailable        503 ServiceUnavailable, with Retry-After

Domain code raises these; one handler (`agentplatform.lib.error_format`) turns them, and Django's and
DRF's own, into the one error shape. The consequence is in the exception: nobody downstream decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import APIException

type_by_status: dict[int, str] = {
    400: "MalformedRequest",
    401: "NotAuthenticated",
    402: "BudgetExceeded",
    403: "PermissionDenied",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    412: "PreconditionFailed",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
    422: "ValidationError",
    428: "PreconditionRequired",
    429: "RateLimited",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


class PlatformError(APIException):
    """An error with a status, a `type` for programs, a message for people, and optional details."""

    status_code = 500
    error_type = "InternalServerError"
    default_detail = "Something went wrong on our side. The request id finds it in the log."

    def __init__(self, message: str | None = None, *, details: Any = None) -> None:
        super().__init__(message or self.default_detail)
        self.message = message or str(self.default_detail)
        self.details = details

    def __str__(self) -> str:
        return self.message


class MalformedRequest(PlatformError):
    status_code = 400
    error_type = "MalformedRequest"
    default_detail = "The request could not be read."


class NotAuthenticated(PlatformError):
    status_code = 401
    error_type = "NotAuthenticated"
    default_detail = "Sign in first: send `Authorization: Bearer <token>` or `X-API-Key: <key>`."
    auth_header = 'Bearer realm="api"'


class BudgetExceeded(PlatformError):
    status_code = 402
    error_type = "BudgetExceeded"
    default_detail = "The budget is spent."

    def __init__(
        self, message: str | None = None, *, details: Any = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, details=details)
        # DRF and ours look for it: seconds until the budget begins anew.
        self.wait = retry_after


class PermissionDenied(PlatformError):
    status_code = 403
    error_type = "PermissionDenied"
    default_detail = "Your role does not permit this."


class NotFound(PlatformError):
    """404 for what does not exist and, so that nothing is revealed, for what belongs to another workspace."""

    status_code = 404
    default_detail = "It does not exist."

    def __init__(self, resource: str = "", identifier: object = "") -> None:
        name = resource or "Object"
        super().__init__(
            f"{name} {str(identifier)!r} does not exist." if identifier else f"{name} does not exist."
        )
        self.error_type = f"{resource}NotFound" if resource else "NotFound"


class Conflict(PlatformError):
    status_code = 409
    error_type = "Conflict"
    default_detail = "The object's present state does not allow this."


class PreconditionFailed(PlatformError):
    """`etag` is that of the object as it is; empty where there is none."""

    status_code = 412
    error_type = "PreconditionFailed"
    default_detail = "The object is not the one that you have read."

    def __init__(self, message: str | None = None, *, etag: str = "") -> None:
        super().__init__(message, details={"etag": etag or None})
        self.etag = etag


class PreconditionRequired(PreconditionFailed):
    status_code = 428
    error_type = "PreconditionRequired"
    default_detail = "Say which state of the object you change, in the header If-Match."


class PayloadTooLarge(PlatformError):
    status_code = 413
    error_type = "PayloadTooLarge"
    default_detail = "The request is too large."


class Invalid(PlatformError):
    """Wrong input. `fields` maps a field's dotted path to what is wrong with it and how to mend it."""

    status_code = 422
    error_type = "ValidationError"
    default_detail = "The input is not valid; see details."

    def __init__(self, fields: Mapping[str, str] | str) -> None:
        entries = {"": fields} if isinstance(fields, str) else dict(fields)
        details = [{"field": field, "message": message} for field, message in entries.items()]
        super().__init__(
            "; ".join(f"{field}: {text}" if field else text for field, text in entries.items()),
            details=details,
        )


class InvalidConfig(Invalid):
    """A configuration (agent, model, tool, workflow) that cannot work as it stands."""

    error_type = "InvalidConfig"


class RateLimited(PlatformError):
    status_code = 429
    error_type = "RateLimited"
    default_detail = "Too many requests."

    def __init__(self, message: str | None = None, *, retry_after: float = 1) -> None:
        super().__init__(message)
        self.wait = retry_after


class ServiceUnavailable(PlatformError):
    status_code = 503
    error_type = "ServiceUnavailable"
    default_detail = "A service that this needs does not answer at the moment. Try again shortly."

    def __init__(self, message: str | None = None, *, retry_after: float = 2) -> None:
        super().__init__(message)
        self.wait = retry_after
