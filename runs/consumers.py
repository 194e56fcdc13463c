"""`/ws/runs/{id}/?after=<seq>`: a run's events over WebSocket, and commands to it.

Frames from the server are event envelopes (`runs.events`), and `{"action", "ok", …}` as answers to the commands in
`runs.socket_commands`, with `"error": {"type", "message", "details"?}` to those that are refused. The socket says
who it is by a `ticket` in the query, by the headers of the REST API, or by the admin's session cookie (then its
Origin must be ours).

Close codes: 1000 the run has ended; 1012 the server restarts or its database is away, reconnect with `after`; 4400
malformed; 4401 not signed in, or the credential has ended; 4403 not permitted; 4404 no such run;
4429 too many requests, or too many open at once.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http.cookie import parse_cookie

from accounts import audit, authentication, limits
from accounts.actor import Actor
from accounts.browser import session_of
from accounts.throttling import address_behind_proxies
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.error_format import DATABASE_ERRORS, as_platform_error
from agentplatform.lib.errors import Invalid, NotAuthenticated, NotFound, PermissionDenied, PlatformError
from agentplatform.lib.ids import as_uuid, uuid7
from agentplatform.lib.json import dumps
from runs import live
from runs.follow import Follower
from runs.models import Run
from runs.socket_commands import obey

logger = structlog.get_logger(__name__)

# How often a socket asks whether its credential and role still stand.
RECHECK_SECONDS = 30.0
ENDED, RESTART, MALFORMED, UNAUTHENTICATED, FORBIDDEN, MISSING, LIMITED = (
    1000,
    1012,
    4400,
    4401,
    4403,
    4404,
    4429,
)
close_code_by_status = {
    401: UNAUTHENTICATED,
    403: FORBIDDEN,
    404: MISSING,
    422: MALFORMED,
    429: LIMITED,
    503: RESTART,
}
REFUSALS = (PlatformError, *DATABASE_ERRORS)


async def refuse_unknown_socket(scope: Any, receive: Any, send: Any) -> None:
    """The last route: without it an unknown path would be a fault of ours, with a traceback in the log."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": MISSING, "reason": "There is no socket at this path."})


class RunConsumer(AsyncWebsocketConsumer):
    """One socket on one run."""

    actor: Actor
    tasks: tuple[asyncio.Task[None], ...] = ()

    async def connect(self) -> None:
        await self.accept()
        try:
            self.run_id = _run_id(self.scope)
            after = _after(self.scope)
            self.actor = await in_thread(_admit, self.scope, self.run_id)
            await in_thread(_visible_run, self.actor, self.run_id)
        except REFUSALS as error:
            await self.refuse(error)
            return
        self.tasks = (
            asyncio.create_task(self._follow(after)),
            asyncio.create_task(self._recheck()),
        )

    async def refuse(self, error: Exception) -> None:
        told = _as_platform_error(error)
        await self.close(close_code_by_status.get(told.status_code, MALFORMED), told.message[:120])

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if not self.tasks:  # It was refused; this was sent before the client heard of that.
            return
        action = ""
        try:
            command = _command(text_data)
            action = command["action"]
            with audit.following(self._trail()):
                told, events = await in_thread(obey, self.actor, self.run_id, command)
            live.announce(events)
            answer = {"action": action, "ok": True, **told}
        except REFUSALS as error:
            answer = {"action": action, "ok": False, "error": _told(error)}
        await self.send(dumps(answer).decode())

    def _trail(self) -> audit.Trail:
        """Where a command comes from, for the audit log."""
        peer = (self.scope.get("client") or ("",))[0]
        address = address_behind_proxies(_headers(self.scope), peer)
        return audit.Trail(
            audit.Via.WEBSOCKET, address, str(uuid7()), path="/ws/runs/{run_id}/", actor=self.actor
        )

    async def _follow(self, after: int) -> None:
        follower = Follower(self.run_id, after)
        try:
            async for batch in follower.batches():
                for event in batch:
                    await self.send(event.envelope())
            await self.close(ENDED if follower.ended else RESTART)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("socket_failed", run_id=str(self.run_id))
            await self.close(RESTART)
        finally:
            follower.close()

    async def _recheck(self) -> None:
        """A socket lives no longer than the right to it."""
        while True:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                self.actor = await in_thread(_still_permitted, self.scope, self.actor, self.run_id)
            except PlatformError as error:
                await self.refuse(error)
                return
            except DATABASE_ERRORS as error:
                # Nobody can say, so it is asked again.
                logger.warning("socket_not_rechecked", run_id=str(self.run_id), error=str(error))


def _still_permitted(scope: dict[str, Any], actor: Actor, run_id: uuid.UUID) -> Actor:
    """The actor as it may act now. Raises what it is to be refused with."""
    fresh = authentication.refresh(actor)
    if fresh is None or (_relies_on_cookie(scope) and not _user_from_cookie(scope).is_authenticated):
        raise NotAuthenticated("The credential has ended; connect again with a new one.")
    _visible_run(fresh, run_id)
    return fresh


def _visible_run(actor: Actor, run_id: uuid.UUID) -> None:
    actor.require("read:run")
    if not Run.objects.visible_to(actor).filter(pk=run_id).exists():
        raise NotFound("Run", run_id)


def _admit(scope: dict[str, Any], run_id: uuid.UUID) -> Actor:
    """Who opens a socket, counted for its limits. Raises what it is refused with."""
    actor = _authenticate(scope, run_id)
    limits.admit_socket(scope, actor)
    return actor


def _authenticate(scope: dict[str, Any], run_id: uuid.UUID) -> Actor:
    query = _query(scope)
    ticket = query.pop("ticket", "")
    authentication.refuse_credentials_in_url(query)
    if ticket:
        return authentication.actor_from_ticket(ticket)
    if _relies_on_cookie(scope):
        return _actor_from_cookie(scope, run_id)
    address = (scope.get("client") or ("",))[0]
    return authentication.actor_from_headers(_headers(scope), address)


def _relies_on_cookie(scope: dict[str, Any]) -> bool:
    return not (_query(scope).get("ticket") or _headers(scope).keys() & {"authorization", "x-api-key"})


def _actor_from_cookie(scope: dict[str, Any], run_id: uuid.UUID) -> Actor:
    """The admin's signed-in user, in the run's workspace. Cookies travel by themselves, so the Origin must be ours."""
    user, headers = _user_from_cookie(scope), _headers(scope)
    if not user.is_authenticated:
        raise NotAuthenticated
    if urlsplit(headers.get("origin", "")).netloc != headers.get("host"):
        raise PermissionDenied("This page may not open a socket here.")
    workspace_id = Run.objects.filter(pk=run_id).values_list("workspace_id", flat=True).first()
    if workspace_id is None:
        raise NotFound("Run", run_id)
    try:
        return authentication.actor_from_session(user, workspace_id)
    except NotFound as error:
        # Whose run it is stays unsaid.
        raise NotFound("Run", run_id) from error


def _user_from_cookie(scope: dict[str, Any]) -> Any:
    """The user of the admin's session, anonymous where there is none."""
    key = parse_cookie(_headers(scope).get("cookie", "")).get(settings.SESSION_COOKIE_NAME)
    return session_of(key)[0]


def _headers(scope: dict[str, Any]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _query(scope: dict[str, Any]) -> dict[str, str]:
    return dict(parse_qsl(scope["query_string"].decode("latin-1")))


def _run_id(scope: dict[str, Any]) -> uuid.UUID:
    text = scope["url_route"]["kwargs"]["run_id"]
    if (run_id := as_uuid(text)) is None:
        raise NotFound("Run", text)
    return run_id


def _after(scope: dict[str, Any]) -> int:
    text = _query(scope).get("after", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid({"after": "Send the last `seq` that you have seen, a number from 0 on."})
    return int(text)


def _command(text: str | None) -> dict[str, Any]:
    try:
        command = orjson.loads(text or "")
    except orjson.JSONDecodeError as error:
        raise Invalid({"": 'Send JSON text like {"action": "cancel"}.'}) from error
    if (
        not isinstance(command, dict)
        or not isinstance(command.get("action"), str)
        or len(text or "") > settings.MAX_REQUEST_BYTES
    ):
        raise Invalid({"action": "Send a JSON object with a text `action`."})
    return command


def _told(error: Exception) -> dict[str, Any]:
    refusal = _as_platform_error(error)
    told = {"type": refusal.error_type, "message": refusal.message}
    return told if refusal.details is None else {**told, "details": refusal.details}


def _as_platform_error(error: Exception) -> PlatformError:
    """One of REFUSALS in the platform's words."""
    told = as_platform_error(error)
    assert isinstance(told, PlatformError)
    return told
