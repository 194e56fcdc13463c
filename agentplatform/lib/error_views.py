"""Errors outside Django REST framework: our shape under the API's paths, Django's pages elsewhere."""

from __future__ import annotations

import sys

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views import defaults

from agentplatform.lib.error_format import as_platform_error, error_body, error_response
from agentplatform.lib.errors import ServiceUnavailable
from agentplatform.lib.paths import is_api

UNREADABLE = "The request could not be read."
FORBIDDEN = "This is not permitted."
UNKNOWN_PATH = "There is nothing at this path; /api/v1/docs lists what there is."
UNAVAILABLE_PAGE = "<!doctype html><title>503</title><h1>Service unavailable</h1><p>{message}</p>"
BROKEN = "Something went wrong on our side. The request id finds it in the log."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, UNREADABLE) or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """On pages, what somebody may do who has come where the role does not reach."""
    page = {"site": settings.APP_NAME}
    return _answer(request, 403, FORBIDDEN) or render(request, "403.html", page, status=403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, UNKNOWN_PATH) or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Also of a page whose database is away: 503, which says when to come back."""
    raised = sys.exception()
    error = as_platform_error(raised) if isinstance(raised, Exception) else None
    if isinstance(error, ServiceUnavailable):
        answer = error_response(request, error)
        if is_api(request.path_info):
            return answer
        page = UNAVAILABLE_PAGE.format(message=error.message)
        return HttpResponse(page, status=503, headers={"Retry-After": answer["Retry-After"]})
    return _answer(request, 500, BROKEN) or defaults.server_error(request)


def unknown_path(request: HttpRequest, path: str = "") -> HttpResponse:
    """The last route under `/api/`: without it DEBUG would answer unknown paths with a page."""
    return JsonResponse(error_body(request, 404, UNKNOWN_PATH), status=404)


def _answer(request: HttpRequest, status: int, message: str) -> HttpResponse | None:
    if not is_api(request.path_info):
        return None
    return JsonResponse(error_body(request, status, message), status=status)
