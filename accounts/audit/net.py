"""The net below: a write that has told nothing of itself gets an entry when it is answered, and so do audited reads."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.audit.models import Action, Via
from accounts.audit.recording import Thing, record, thing, type_of
from accounts.audit.trail import Trail
from accounts.throttling import client_address
from agentplatform.lib import paths
from agentplatform.lib.ids import as_uuid

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
MOST = 100
"""Objects of an action on a selection."""
ADMIN, MCP = "/admin/", "/mcp"
action_by_method = {
    "POST": Action.CREATED,
    "PUT": Action.UPDATED,
    "PATCH": Action.UPDATED,
    "DELETE": Action.DELETED,
}
action_by_name = {
    "create": Action.CREATED,
    "update": Action.UPDATED,
    "partial_update": Action.UPDATED,
    "destroy": Action.DELETED,
    "restore": Action.RESTORED,
    "test": Action.TESTED,
}


def trail_of(request: HttpRequest, request_id: str) -> Trail:
    """The trail of a request that has just come in."""
    return Trail(
        _via(request.path_info), client_address(request), request_id, str(request.method), request=request
    )


def is_missing(path: Trail, response: HttpResponseBase) -> bool:
    """Whether a request was answered that has to have an entry and has none."""
    request = path.request
    if response.status_code >= 400 or path.told or path.is_refused:
        return False
    if getattr(request, "resolver_match", None) is None:
        return False
    if path.method in SAFE_METHODS or _changes_nothing(request):
        return bool(path.method == "GET" and path.actor and path.actor.audits_reads)
    if path.via is Via.ADMIN:
        # A form with faults is shown again; whatever has done something goes on to another page.
        return response.status_code == 302
    # Messages of MCP that do something tell of it themselves; most do nothing.
    return path.via is not Via.MCP and paths.is_api(request.path_info)


def fill(path: Trail, response: HttpResponseBase) -> None:
    """Writes the entry that is missing, as far as the URL map knows what was done to what."""
    is_read = path.method in SAFE_METHODS or _changes_nothing(path.request)
    for what in _things(path, response):
        record(Action.READ if is_read else _action(path), what)


def _via(path: str) -> Via:
    if path.startswith(ADMIN):
        return Via.ADMIN
    if path == MCP or path.startswith(f"{MCP}/"):
        return Via.MCP
    return Via.API if paths.is_api(path) else Via.BROWSER


def _view(request: Any) -> Any:
    """The view's class; of an async view, the function."""
    callback = request.resolver_match.func
    return getattr(callback, "cls", callback)


def _name(request: Any) -> str:
    """The viewset's action, or the method of a plain view."""
    actions = getattr(request.resolver_match.func, "actions", None) or {}
    return str(actions.get(str(request.method).lower(), str(request.method).lower()))


def _changes_nothing(request: Any) -> bool:
    """Whether the view says that this is a check, for which a body is needed."""
    return _name(request) in getattr(_view(request), "changes_nothing", ())


def _action(path: Trail) -> Action:
    name = _name(path.request)
    if path.via is Via.ADMIN or name in ("get", "post"):
        return Action.OTHER
    return action_by_name.get(name) or action_by_method.get(name.upper(), Action.OTHER)


def _things(path: Trail, response: HttpResponseBase) -> list[Thing]:
    request, match = path.request, path.request.resolver_match
    keys = [key for value in match.kwargs.values() if (key := as_uuid(value))]
    if (model_admin := getattr(match.func, "model_admin", None)) is not None:
        chosen = [key for value in request.POST.getlist("_selected_action")[:MOST] if (key := as_uuid(value))]
        rows = model_admin.model._base_manager.filter(pk__in=keys[:1] or chosen)
        named = getattr(model_admin, "audit_thing", thing)
        return [named(row) for row in rows] or [Thing(type_of(model_admin.model))]
    model = getattr(getattr(_view(request), "queryset", None), "model", None)
    data = getattr(response, "data", None)
    own = as_uuid(data.get("id")) if isinstance(data, dict) else None
    return [Thing(type_of(model) if model else "", own or next(iter(keys), None))]
