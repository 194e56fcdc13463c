"""Views that show what the cellar does to requests."""

from __future__ import annotations

import structlog
from django.contrib import messages
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView

from agentplatform.lib import error_views
from agentplatform.lib.errors import Conflict, RateLimited

log = structlog.get_logger("tests")


class Echo(APIView):
    authentication_classes = []
    permission_classes = []

    def get(self, request):
        return Response({"path": request.path, "routed": request.path_info})

    def post(self, request):
        return Response({"received": request.data})


async def async_echo(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"path": request.path, "has_session": hasattr(request, "session")})


async def async_conflict(request: HttpRequest) -> HttpResponse:
    raise Conflict("Not now.")


async def async_busy(request: HttpRequest) -> HttpResponse:
    raise RateLimited("Slowly.", retry_after=7)


async def async_broken(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("the inside")


async def async_without_database(request: HttpRequest) -> HttpResponse:
    raise OperationalError("server closed the connection unexpectedly")


def page_without_database(request: HttpRequest) -> HttpResponse:
    raise OperationalError("server closed the connection unexpectedly")


def page(request: HttpRequest) -> HttpResponse:
    messages.info(request, "hello")
    return HttpResponse(f"page {hasattr(request, 'session')}")


def broken_page(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError("the inside")


urlpatterns = [
    path("api/v1/echo", Echo.as_view()),
    path("api/v1/health", Echo.as_view()),
    path("api/v1/health/liveness", Echo.as_view()),
    path("api/v1/async", async_echo),
    path("api/v1/conflict", async_conflict),
    path("api/v1/busy", async_busy),
    path("api/v1/broken", async_broken),
    path("page/", page),
    path("broken-page/", broken_page),
    path("api/v1/without-database", async_without_database),
    path("page-without-database/", page_without_database),
    path("api/<path:path>", error_views.unknown_path),
]
handler400 = "agentplatform.lib.error_views.bad_request"
handler403 = "agentplatform.lib.error_views.permission_denied"
handler404 = "agentplatform.lib.error_views.page_not_found"
handler500 = "agentplatform.lib.error_views.server_error"
