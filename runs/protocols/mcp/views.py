"""The route `/mcp`: lets a request in, and hands it to the SDK's server."""

from __future__ import annotations

import asyncio
import importlib
import uuid
from dataclasses import dataclass, field
from typing import Any, cast

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.exceptions import MethodNotAllowed

from accounts import limits
from accounts.actor import Actor
from accounts.actors import bind_to_logs
from accounts.authentication import uncounted_actor
from agentplatform.lib.async_views import error_answer
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import NotAuthenticated, PermissionDenied
from agentplatform.lib.json import dumps, loads, read_limited
from runs.protocols.mcp.cancelling import Origin, take_back
from runs.protocols.mcp.exchange import Exchange
from runs.protocols.mcp.tools import SOURCES, permitted

SERVER = "runs.protocols.mcp.server"
SESSION_HEADER = "Mcp-Session-Id"
FOREIGN_ORIGIN = "Requests from {origin} are refused; the operator lists origins in CORS_ORIGINS."
REFUSED = -32000
"""JSON-RPC's code of an error that is the server's own kind."""
CHALLENGE = 'Bearer realm="mcp", scope="{scope}"'

Json = dict[str, Any]


class ForeignOrigin(PermissionDenied):
    """403 for a browser's page that is not one of ours, whatever it sends."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may be answered. `message` is its JSON-RPC message; empty where it is none."""

    actor: Actor
    body: bytes
    message: Json = field(default_factory=dict)


async def mcp(request: HttpRequest) -> HttpResponseBase:
    """One message of an MCP client, answered with JSON or a stream of events."""
    try:
        if request.method != "POST":
            raise MethodNotAllowed(str(request.method))
        return await _answer(cast(ASGIRequest, request))
    except Exception as error:
        return _refusal(request, error)


# Nothing here trusts a cookie, so nothing can be forged.
mcp.csrf_exempt = True  # type: ignore[attr-defined]


async def _answer(request: ASGIRequest) -> HttpResponseBase:
    admitted = await in_thread(_admit, request)
    bind_to_logs(admitted.actor)
    server = await asyncio.to_thread(importlib.import_module, SERVER)
    application = server.application(admitted.actor, request.headers.get(SESSION_HEADER, ""))
    response = await Exchange(application, request, admitted.body).response()
    if admitted.message.get("method") == "initialize":
        # Only a name, by which its calls are known again. Nothing is kept under it.
        response[SESSION_HEADER] = uuid.uuid4().hex
    return response


def _admit(request: ASGIRequest) -> Admitted:
    """Raises what the request is refused for: its origin, credentials, permission, form, size or rate."""
    _require_known_origin(request)
    actor = uncounted_actor(request)
    if not permitted(actor):
        actor.require(SOURCES[0].permission)
    message = loads(read_limited(request, settings.MAX_REQUEST_BYTES))  # type: ignore[arg-type]
    # Written anew, so that the SDK answers what has been looked at here, whatever its parser makes of the original.
    admitted = Admitted(actor, dumps(message), message if isinstance(message, dict) else {})
    limits.admit(request, actor, "chat" if admitted.message.get("method") == "tools/call" else "")
    if admitted.message.get("method") == "notifications/cancelled":
        take_back(actor, _origin_of_cancelled(request, admitted.message))
    return admitted


def _require_known_origin(request: HttpRequest) -> None:
    """A browser's page may only ask from here, or from an origin of CORS_ORIGINS: no rebound name gets in."""
    origin = request.headers.get("Origin")
    own = f"{request.scheme}://{request.get_host()}"
    if origin and origin not in (own, *settings.CORS_ALLOWED_ORIGINS):
        raise ForeignOrigin(FOREIGN_ORIGIN.format(origin=origin))


def _origin_of_cancelled(request: HttpRequest, message: Json) -> Origin:
    parameters = message.get("params")
    number = parameters.get("requestId") if isinstance(parameters, dict) else None
    return Origin(request.headers.get(SESSION_HEADER, ""), number if isinstance(number, int | str) else None)


def _refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    """`error` in the platform's shape, which is made JSON-RPC's too: clients show the message only of that."""
    answer = error_answer(request, error, "POST")
    document = loads(answer.content)
    answer.content = dumps({"jsonrpc": "2.0", "id": None, "error": {"code": REFUSED, **document["error"]}})
    if isinstance(error, NotAuthenticated | PermissionDenied) and not isinstance(error, ForeignOrigin):
        answer["WWW-Authenticate"] = _challenge(error)
    return answer


def _challenge(error: NotAuthenticated | PermissionDenied) -> str:
    """What to send, by RFC 6750; with an error where something was sent."""
    challenge = CHALLENGE.format(scope=" ".join(source.permission for source in SOURCES))
    if isinstance(error, PermissionDenied):
        return f'{challenge}, error="insufficient_scope"'
    if error.message == NotAuthenticated.default_detail:
        return challenge
    return f'{challenge}, error="invalid_token", error_description="{error.message}"'
