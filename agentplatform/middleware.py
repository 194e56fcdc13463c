"""What happens around every request: its id, its log line, its path's one form, and the security headers.

All of it runs without a change of thread, in sync and in async, because all of it is on the way of
every request. Middleware that only pages need steps aside for the API (`PagesOnly`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from csp.middleware import CSPMiddleware
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import DisallowedHost
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse, HttpResponsePermanentRedirect
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.common import CommonMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.middleware.locale import LocaleMiddleware

from accounts.audit import Trail, following, net
from accounts.audit.trail import template_of
from accounts.limits.fields import add_fields
from agentplatform.lib import paths
from agentplatform.lib.body_limit import limit_of
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.error_format import as_platform_error, error_response
from agentplatform.lib.errors import MalformedRequest, PlatformError
from agentplatform.lib.ids import uuid7
from agentplatform.lib.json import too_large
from agentplatform.lib.telemetry import metrics
from runs.protocols.openai.errors import reshape

UNKNOWN_HOST = "Unknown host name; the operator lists names in ALLOWED_HOSTS."
NUL_IN_URL = "Remove the NUL character (%00) from the URL; nothing stored can hold it."
SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
Respond = Callable[[Any], Any]
log = structlog.get_logger("agentplatform.request")


class TrackedRequest(HttpRequest):
    """A request as `RequestMiddleware` leaves it for everything inside."""

    request_id: str
    started_at: float


class Around:
    """A middleware of two steps, `before` and `after`, that stays in its thread, sync and async alike."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Respond) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        return self.after(request, self.before(request) or self.get_response(request))

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        return self.after(request, self.before(request) or await self.get_response(request))

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        """Prepares the request; a response answers it at once."""
        return None

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Completes the response."""
        return response


class RequestMiddleware(Around):
    """Gives each request an id, a log line and its canonical path; answers the API's unhandled errors."""

    def before(self, request: HttpRequest) -> None:
        tracked = cast(TrackedRequest, request)
        tracked.started_at = time.perf_counter()
        tracked.request_id = request_id(request)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=tracked.request_id)
        request.path_info = paths.canonical(request.path_info)

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        tracked = cast(TrackedRequest, request)
        seconds = time.perf_counter() - tracked.started_at
        response.headers["X-Request-ID"] = tracked.request_id
        response.headers["X-Process-Time"] = f"{seconds:.4f}"
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        metrics.request_answered(request.method, route_of(request), response.status_code, seconds)
        write_log_line(request, response.status_code, seconds)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Answers errors of API views that are not Django REST framework's; with DEBUG no page either."""
        if not paths.is_api(request.path_info):
            return None
        error = as_platform_error(exception)
        if not isinstance(error, PlatformError):
            error = PlatformError()
            got_request_exception.send(sender=type(self), request=request)
            log.error("unhandled error", endpoint=request.path, exc_info=exception)
        return error_response(request, error)


def route_of(request: HttpRequest) -> str:
    """The template of the request's path in the URL map; empty where it has none."""
    match = request.resolver_match
    return template_of(match.route) if match else ""


def request_id(request: HttpRequest) -> str:
    """The client's X-Request-ID where it is a plain token, otherwise a new one."""
    offered = request.headers.get("X-Request-ID", "")
    return offered if SANE_REQUEST_ID.match(offered) else str(uuid7())


def refusal(request: HttpRequest) -> HttpResponseBase | None:
    """The answer to a request that need not be read further."""
    maximum, setting = limit_of(str(request.method), request.path_info)
    if int(request.META.get("CONTENT_LENGTH") or 0) > maximum:
        return error_response(request, too_large(maximum, setting))
    if not paths.is_api(request.path_info):
        return None
    if not paths.takes_any_host(request.path_info) and not has_allowed_host(request):
        return error_response(request, MalformedRequest(UNKNOWN_HOST))
    if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
        return error_response(request, MalformedRequest(NUL_IN_URL))
    return None


def has_allowed_host(request: HttpRequest) -> bool:
    try:
        return bool(request.get_host())
    except DisallowedHost:
        return False


def write_log_line(request: HttpRequest, status: int, seconds: float) -> None:
    """One line per request; query strings stay out of it."""
    actor = getattr(request, "actor", None)
    user_id = actor.user_id if actor else getattr(getattr(request, "_cached_user", None), "pk", None)
    write = log.error if status >= 500 else log.info
    write(
        f"{request.method} {request.path} {status}",
        user_id=str(user_id) if user_id else None,
        endpoint=request.path,
        method=request.method,
        status_code=status,
        response_time_ms=round(seconds * 1000, 2),
    )


class AuditMiddleware(Around):
    """Lets everything inside know what the audit log tells of the request, and sees that no write is missing in it."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._call_async(request)
        with following(net.trail_of(request, cast(TrackedRequest, request).request_id)) as trail:
            response: HttpResponseBase = self.get_response(request)
            if net.is_missing(trail, response):
                fill_in(trail, response)
        return response

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        with following(net.trail_of(request, cast(TrackedRequest, request).request_id)) as trail:
            response: HttpResponseBase = await self.get_response(request)
            if net.is_missing(trail, response):
                await in_thread(fill_in, trail, response)
        return response


def fill_in(trail: Trail, response: HttpResponseBase) -> None:
    """Writes the missing entry. What was done is done: where the entry cannot be written, the answer stays."""
    try:
        net.fill(trail, response)
    except Exception:
        log.exception("the audit log has no entry of a request", endpoint=trail.template, method=trail.method)


class SecurityHeadersMiddleware(Around):
    """What Django's SecurityMiddleware does with the SECURE_* settings, without two changes of thread."""

    def __init__(self, get_response: Respond) -> None:
        super().__init__(get_response)
        self.exempt = [re.compile(pattern) for pattern in settings.SECURE_REDIRECT_EXEMPT]
        self.headers = {
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
            "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
        }
        self.transport_security = "; ".join(
            [
                f"max-age={settings.SECURE_HSTS_SECONDS}",
                *(["includeSubDomains"] if settings.SECURE_HSTS_INCLUDE_SUBDOMAINS else []),
                *(["preload"] if settings.SECURE_HSTS_PRELOAD else []),
            ]
        )

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        if not settings.SECURE_SSL_REDIRECT or request.is_secure():
            return None
        if any(pattern.search(request.path_info.lstrip("/")) for pattern in self.exempt):
            return None
        if not has_allowed_host(request):
            return None
        host = settings.SECURE_SSL_HOST or request.get_host()
        return HttpResponsePermanentRedirect(f"https://{host}{request.get_full_path()}")

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in self.headers.items():
            response.headers.setdefault(name, value)
        if settings.SECURE_HSTS_SECONDS and request.is_secure():
            response.headers.setdefault("Strict-Transport-Security", self.transport_security)
        return response


class RateLimitMiddleware(Around):
    """Tells the caller what its limits have left."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        add_fields(request, response)
        return response


class RefusalMiddleware(Around):
    """Answers requests that need not be read further. Inside of what completes answers, so that these are whole too."""

    def before(self, request: HttpRequest) -> HttpResponseBase | None:
        return refusal(request)


class OpenAIErrorsMiddleware(Around):
    """Errors below /v1/ in the shape that OpenAI's clients expect, wherever they come from."""

    def after(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return reshape(request, response)


class PagesOnly:
    """Mixin: a middleware that is for people's pages and leaves the API's requests alone."""

    get_response: Respond

    def __call__(self, request: HttpRequest) -> Any:
        if paths.is_api(request.path_info):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class PageContentSecurityPolicyMiddleware(PagesOnly, CSPMiddleware):
    """Content-Security-Policy on pages."""


class PageSessionMiddleware(PagesOnly, SessionMiddleware):
    """Sessions of people in browsers."""


class PageLocaleMiddleware(PagesOnly, LocaleMiddleware):
    """The language of pages."""


class PageCommonMiddleware(PagesOnly, CommonMiddleware):
    """Django's common page behaviour."""


class PageCsrfMiddleware(PagesOnly, CsrfViewMiddleware):
    """Request forgery protection. The API takes the session cookie only with the same check (`accounts.browser`)."""

    def __init__(self, get_response: Respond) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            # Django would send a sync `process_view` through a thread for each request, the API's too.
            self.process_view = self._process_view_async  # type: ignore[method-assign, assignment]

    def process_view(
        self, request: HttpRequest, callback: Any, callback_args: Any, callback_kwargs: Any
    ) -> Any:
        if paths.is_api(request.path_info):
            return None
        return super().process_view(request, callback, callback_args, callback_kwargs)

    async def _process_view_async(self, request: HttpRequest, *args: Any) -> Any:
        """The check reads cookies and the body, which the server has received already; it does not wait."""
        return type(self).process_view(self, request, *args)


class PageAuthenticationMiddleware(PagesOnly, AuthenticationMiddleware):
    """The signed-in user of a page."""


class PageMessageMiddleware(PagesOnly, MessageMiddleware):
    """Messages between pages."""


class PageClickjackingMiddleware(PagesOnly, XFrameOptionsMiddleware):
    """No page in a foreign frame."""
