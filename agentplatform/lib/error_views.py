"""Errors outside Django REST framework: our shape under the API's paths, Django's pages elsewhere."""

from __future__ import annotations

import sys

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _

from agentplatform.lib.error_format import as_platform_error, error_body, error_response
from agentplatform.lib.errors import ServiceUnavailable
from agentplatform.lib.paths import is_api

UNREADABLE = "The request could not be read."
FORBIDDEN = "This is not permitted."
UNKNOWN_PATH = "There is nothing at this path; /api/v1/docs lists what there is."
BROKEN = "Something went wrong on our side. The request id finds it in the log."
# What pages say: a title, and what can be done.
pages = {
    400: (
        _("The request could not be read"),
        _("Go back and try again. If a link has led here, it is broken."),
    ),
    404: (
        _("There is nothing here"),
        _(
            "What was here is deleted, or it is in a workspace that you are not a member of. Check the address."
        ),
    ),
    500: (
        _("Something went wrong on our side"),
        _("Try again. If it stays so, tell whoever runs the platform: this number finds it in the log."),
    ),
    503: (
        _("The platform is not available at the moment"),
        _("It is restarting, or its database does not answer. Try again shortly."),
    ),
}
FORGERY = (
    _("This page is out of date"),
    _("Nothing was changed. Go back, reload the page and send it again. It needs cookies of this site."),
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, UNREADABLE) or _page(request, 400, *pages[400])


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """On pages, what somebody may do who has come where the role does not reach."""
    page = {"site": settings.APP_NAME}
    return _answer(request, 403, FORBIDDEN) or render(request, "403.html", page, status=403)


def forgery_refused(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without the token against forgery: most often of a page that was open while somebody signed in anew."""
    return _answer(request, 403, FORBIDDEN) or _page(request, 403, *FORGERY)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, UNKNOWN_PATH) or _page(request, 404, *pages[404])


def server_error(request: HttpRequest) -> HttpResponse:
    """Also of a page whose database is away: 503, which says when to come back."""
    raised = sys.exception()
    error = as_platform_error(raised) if isinstance(raised, Exception) else None
    if isinstance(error, ServiceUnavailable):
        answer = error_response(request, error)
        if is_api(request.path_info):
            return answer
        return _bare_page(request, 503, headers={"Retry-After": answer["Retry-After"]})
    return _answer(request, 500, BROKEN) or _bare_page(request, 500)


def unknown_path(request: HttpRequest, path: str = "") -> HttpResponse:
    """The last route under `/api/`: without it DEBUG would answer unknown paths with a page."""
    return JsonResponse(error_body(request, 404, UNKNOWN_PATH), status=404)


def _page(request: HttpRequest, status: int, title: object, text: object) -> HttpResponse:
    page = {"site": settings.APP_NAME, "title": title, "text": text}
    return render(request, "error.html", page, status=status)


def _bare_page(request: HttpRequest, status: int, headers: dict[str, str] | None = None) -> HttpResponse:
    """A page that does not ask who is signed in, so that it needs no database."""
    title, text = pages[status]
    page = {
        "site": settings.APP_NAME,
        "title": title,
        "text": text,
        "request_id": getattr(request, "request_id", ""),
    }
    return HttpResponse(render_to_string("error.html", page), status=status, headers=headers)


def _answer(request: HttpRequest, status: int, message: str) -> HttpResponse | None:
    if not is_api(request.path_info):
        return None
    return JsonResponse(error_body(request, status, message), status=status)
