"""The operations of the API, read from the URL map, with a request for each that succeeds.

A new route has to be named here, in `OBJECTS` for its path and in `BODIES` for what it takes: the walks over
all routes fail until it is. So nobody adds a route and forgets the tenant wall, the roles or bad input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.admindocs.views import simplify_regex
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.signals import request_finished
from django.db import close_old_connections, transaction
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import URLPattern, URLResolver, get_resolver

from accounts import tokens
from accounts.models import User, Workspace
from accounts.permissions import PUBLIC, SIGNED_IN, permission_of
from agentplatform.lib import paths
from agentplatform.lib.json import dumps
from agents.models import Configuration, Document, KnowledgeBase
from runs.models import Schedule, Webhook
from tests.factories import PASSWORD
from tests.platform.tenant import Tenant

API = "/api/v1"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
WRITES = ("POST", "PUT", "PATCH", "DELETE")
Json = dict[str, Any]


@dataclass(frozen=True)
class Route:
    """A pattern of the URL map; `path` is written as `/agents/{pk}`."""

    path: str
    callback: Any

    def __str__(self) -> str:
        return self.path

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]


@dataclass(frozen=True)
class Form:
    """A multipart form with one file."""

    field: str
    name: str
    content: bytes

    @property
    def encoded(self) -> Json:
        file = SimpleUploadedFile(self.name, self.content, "text/plain")
        return {"data": encode_multipart(BOUNDARY, {self.field: file}), "content_type": MULTIPART_CONTENT}


@dataclass(frozen=True)
class Operation:
    """A method of a route below /api/v1 that its view answers."""

    method: str
    path: str
    callback: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def permission(self) -> str | None:
        """As of `accounts.permissions`; the documentation is public without saying so."""
        view = self.callback.cls
        if not hasattr(view, "permissions"):
            return PUBLIC
        action = getattr(self.callback, "actions", None)
        return permission_of(
            type(
                "View",
                (),
                {"permissions": view.permissions, "action": action and action[self.method.lower()]},
            ),
            self.method,
        )

    @property
    def takes_body(self) -> bool:
        return str(self) in BODIES and BODIES[str(self)] not in (nothing, a_file)


def routes(patterns: Any = None, prefix: str = "") -> Iterator[Route]:
    """Every route that the platform answers."""
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        text = prefix + pattern.pattern.regex.pattern.removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern):
            simple = simplify_regex(text).replace("\\", "").replace("<", "{").replace(">", "}")
            yield Route(simple, pattern.callback)


def api_routes() -> list[Route]:
    """Those below /api/v1, without that prefix."""
    found = [route for route in routes() if route.path.startswith(API)]
    return [Route(route.path.removeprefix(API), route.callback) for route in found]


def other_routes() -> list[Route]:
    """Those of pages. Other protocols have tests of their own that walk over theirs (`tests/runs/test_openai_…`)."""
    return [route for route in routes() if not route.path.startswith((*paths.API, *paths.API_ROOTS))]


def operations() -> list[Operation]:
    """All operations, those that only say "no such path" left out."""
    return [
        Operation(method, route.path, route.callback)
        for route in api_routes()
        if hasattr(route.callback, "cls")
        for method in METHODS
        if method in methods_of(route.callback)
    ]


def methods_of(callback: Any) -> set[str]:
    """The methods that a view has a handler for and lets through."""
    view = callback.cls
    handlers = getattr(callback, "actions", None) or {name: name for name in view.http_method_names}
    return {
        method.upper()
        for method, handler in handlers.items()
        if method in view.http_method_names and hasattr(view, handler)
    }


# What stands in a path, by the part of the path that ends with it.
OBJECTS: dict[str, Callable[[Tenant], Any]] = {
    "/agents/{pk}": lambda tenant: tenant.agent,
    "/agents/{pk}/versions/{number}": lambda tenant: 1,
    "/analytics/cost/{pk}": lambda tenant: tenant.session,
    "/analytics/tokens/{pk}": lambda tenant: tenant.session,
    "/approvals/{pk}": lambda tenant: tenant.approval,
    "/audit-log/{pk}": lambda tenant: tenant.audit_entry,
    "/attachments/{pk}": lambda tenant: tenant.attachment,
    "/auth/api-keys/{pk}": lambda tenant: tenant.api_key,
    "/billing/budgets/{pk}": lambda tenant: tenant.budget,
    "/billing/exports/{pk}": lambda tenant: tenant.usage_export,
    "/billing/prices/{pk}": lambda tenant: tenant.price,
    "/billing/repricings/{pk}": lambda tenant: tenant.repricing,
    "/checkpoints/{pk}": lambda tenant: tenant.checkpoint,
    "/config/{name}": lambda tenant: tenant.model,
    "/history/sessions/{pk}": lambda tenant: tenant.session,
    "/knowledge-bases/{pk}": lambda tenant: tenant.knowledge_base,
    "/knowledge-bases/{pk}/documents/{document}": lambda tenant: tenant.document,
    "/mcp-servers/{pk}": lambda tenant: tenant.mcp_server,
    "/mcp-servers/{pk}/versions/{number}": lambda tenant: 1,
    "/memories/{pk}": lambda tenant: tenant.memory,
    "/metrics/agents/{pk}": lambda tenant: tenant.agent,
    "/models/{pk}": lambda tenant: tenant.model,
    "/models/{pk}/versions/{number}": lambda tenant: 1,
    "/runs/{pk}": lambda tenant: tenant.run,
    "/runs/{pk}/payloads/{payload_id}": lambda tenant: tenant.payload,
    "/schedules/{pk}": lambda tenant: tenant.schedule,
    "/sessions/{pk}": lambda tenant: tenant.session,
    "/sessions/{pk}/messages/{message_id}": lambda tenant: tenant.message,
    "/tools/{pk}": lambda tenant: tenant.tool,
    "/tools/{pk}/versions/{number}": lambda tenant: 1,
    "/webhooks/{pk}": lambda tenant: tenant.webhook,
    "/workflows/{pk}": lambda tenant: tenant.workflow,
    "/workflows/{pk}/versions/{number}": lambda tenant: 1,
    "/webhooks/{pk}/deliveries/{delivery_id}": lambda tenant: tenant.delivery,
    "/workspaces/{workspace}": lambda tenant: tenant.workspace,
    "/workspaces/{workspace}/members/{user}": lambda tenant: tenant.member,
}
NAMES: dict[type, str] = {
    Configuration: "name",
    Document: "name",
    KnowledgeBase: "name",
    Schedule: "name",
    User: "username",
    Webhook: "name",
    Workspace: "slug",
}


def path_of(path: str, tenant: Tenant, *, by_name: bool = False) -> str:
    """The path with the tenant's objects in it, by their names where they have any and `by_name`."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if part.startswith("{"):
            template = "/".join(path.split("/")[: index + 1])
            assert template in OBJECTS, f"Say in tests/platform/operations.py what stands in {template}."
            parts[index] = identifier(OBJECTS[template](tenant), by_name=by_name or part == "{workspace}")
    return "/".join(parts)


def identifier(thing: Any, *, by_name: bool) -> str:
    """An object's id or, where it may be named instead, its name."""
    for kind, attribute in NAMES.items():
        if by_name and isinstance(thing, kind):
            return str(getattr(thing, attribute))
    return str(getattr(thing, "pk", thing))


def nothing(tenant: Tenant) -> None:
    """The body of an operation that takes none."""


def a_file(tenant: Tenant) -> Form:
    """A form with a file in it."""
    return Form("file", "fresh.txt", b"Hello")


def config_body(tenant: Tenant) -> Json:
    return {"type": "model", "provider": "demo", "model": "scripted", "fallbacks": [tenant.fallback.name]}


def model_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "provider": "demo",
        "model": "scripted",
        "parameters": {"delay_ms": 0},
        "fallbacks": [tenant.fallback.name],
    }


def tool_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "description": "Looks something up.",
        "kind": "http",
        "request": {"method": "GET", "url": "https://api.example.com/{id}", "headers": {"X-A": "b"}},
        "secret_headers": {"Authorization": "Bearer for-tests-only"},
        "arguments_schema": {"type": "object", "properties": {"id": {"type": "string"}}},
    }


def mcp_server_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "description": "Searches documents.",
        "transport": "http",
        "url": "https://mcp.example.com/mcp",
        "headers": {"X-A": "b"},
        "secrets": {"Authorization": "Bearer for-tests-only"},
        "timeout_seconds": 5,
    }


def knowledge_base_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "description": "What everybody should know.",
        "embedding_model": None,
        "chunk_size": 800,
        "chunk_overlap": 100,
    }


def workflow_source(tenant: Tenant) -> str:
    return (
        f"name: fresh\nstate: {{answer: {{type: string}}}}\nnodes:\n- {{id: start, kind: start}}\n"
        f"- {{id: say, kind: llm, model: {tenant.model.name}, prompt: Hello, output: answer}}\n"
        "- {id: end, kind: end, output: done}\nedges: [{from: start, to: say}, {from: say, to: end}]\n"
    )


def workflow_body(tenant: Tenant) -> Json:
    return {"name": "fresh", "description": "Answers.", "source": workflow_source(tenant), "tags": ["one"]}


def agent_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "model": tenant.model.name,
        "tools": [tenant.tool.name],
        "memory": {
            "summarize": {
                "trigger_tokens": 1000,
                "trigger_messages": 50,
                "keep_messages": 5,
                "model": tenant.model.name,
            },
            "long_term": {"scope": "agent"},
        },
        "system_prompt": "Be brief.",
        "config": {"max_steps": 3, "temperature": 0.5},
        "tags": ["one"],
    }


def session_body(tenant: Tenant) -> Json:
    return {"name": "Fresh", "agent": tenant.agent.name, "user_id": "customer"}


def run_body(tenant: Tenant) -> Json:
    return {
        "agent_id": tenant.agent.name,
        "message": "Hello",
        "session_id": str(tenant.session.pk),
        "user_id": "customer",
        "config": {"temperature": 0.5},
        "metadata": {"order": 7},
        "tags": ["one"],
        "priority": 1,
        "limits": {"timeout": 5},
        "multitask_strategy": "enqueue",
        "start": False,
    }


def schedule_body(tenant: Tenant) -> Json:
    run = run_body(tenant)
    names = (
        "agent_id",
        "message",
        "session_id",
        "user_id",
        "config",
        "metadata",
        "tags",
        "priority",
        "limits",
    )
    clock = {"cron": "*/5 9-17 * * MON-FRI", "timezone": "Europe/Berlin", "catch_up": "all", "enabled": True}
    return {"name": "fresh", **{name: run[name] for name in names}, **clock}


def webhook_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "url": "https://hooks.example.com/agents",
        "events": ["run_completed", "run_failed"],
        "agent_id": tenant.agent.name,
        "enabled": True,
    }


def chat_body(tenant: Tenant) -> Json:
    body = run_body(tenant)
    return {name: body[name] for name in ("agent_id", "message", "session_id", "user_id")} | {
        "multitask_strategy": "interrupt",
        "stream": True,
    }


def changes(tenant: Tenant) -> Json:
    """Modifications of a fork."""
    return {
        "modified_query": "Hello again",
        "system_prompt": "Be brief.",
        "model": tenant.model.name,
        "config": {"temperature": 0.5},
    }


def price_body(tenant: Tenant) -> Json:
    return {
        "provider": "openai",
        "model": "fresh",
        "input_per_million": "1.5",
        "cached_per_million": None,
        "output_per_million": "3",
    }


def repricing_body(tenant: Tenant) -> Json:
    return {
        "start": "2026-11-01T00:00:00Z",
        "end": "2026-12-01T00:00:00Z",
        "model": "fresh",
        "reason": "Because.",
    }


def budget_body(tenant: Tenant) -> Json:
    return {
        "name": "fresh",
        "agent_id": str(tenant.agent.pk),
        "period": "month",
        "limit_amount": "100",
        "recipients": ["finance@example.com"],
    }


def budget_changes(tenant: Tenant) -> Json:
    """What a budget is of can't be changed."""
    return {"name": "fresh", "period": "day", "limit_amount": "5", "action": "pause"}


def refresh_body(tenant: Tenant) -> Json:
    return {"refresh": tokens.issue(tenant.admin)["refresh"]}


# What each writing operation is sent.
# What goes in headers, without which an operation does nothing.
HEADERS: dict[str, dict[str, str]] = {
    "PUT /config/{name}": {"If-Match": "*"},
    "DELETE /config/{name}": {"If-Match": "*"},
    "POST /config/{name}/restore": {"If-Match": "*"},
}
# What would create something of one's own where nothing is, and its answer to `If-Match` then.
CREATES = {"PUT /config/{name}": {412}}
BODIES: dict[str, Callable[[Tenant], Json | Form | None]] = {
    "POST /auth/login": lambda tenant: {"username": tenant.admin.username, "password": PASSWORD},
    "POST /auth/refresh": refresh_body,
    "POST /auth/logout": refresh_body,
    "POST /auth/verify": lambda tenant: {"token": tokens.issue(tenant.admin)["access"]},
    "POST /auth/password": lambda tenant: {"current_password": PASSWORD, "new_password": f"{PASSWORD} again"},
    "POST /auth/ticket": nothing,
    "POST /auth/api-keys": lambda tenant: {"name": "fresh", "expires_at": "2100-01-01T00:00:00Z"},
    "PATCH /auth/api-keys/{pk}": lambda tenant: {"requests_per_minute": 60},
    "DELETE /auth/api-keys/{pk}": nothing,
    "PUT /config/{name}": lambda tenant: {"config": config_body(tenant), "validate_only": False},
    "DELETE /config/{name}": nothing,
    "POST /config/{name}/restore": lambda tenant: {"version": 1},
    "POST /config/import": lambda tenant: {
        "configuration": "models:\n  fresh: {provider: demo, model: scripted}\n",
        "secrets": {"fresh": "a secret"},
    },
    "POST /workspaces": lambda tenant: {"slug": "fresh", "name": "Fresh", "currency": "EUR"},
    "PATCH /workspaces/{workspace}": lambda tenant: {
        "name": "Renamed",
        "currency": "USD",
        "kept_checkpoints": 20,
    },
    "POST /workspaces/{workspace}/members": lambda tenant: {
        "username": "dora",
        "role": "user",
        "email": "dora@example.com",
        "create_user": True,
    },
    "PATCH /workspaces/{workspace}/members/{user}": lambda tenant: {"role": "viewer"},
    "DELETE /workspaces/{workspace}/members/{user}": nothing,
    "POST /models": model_body,
    "PUT /models/{pk}": model_body,
    "PATCH /models/{pk}": model_body,
    "DELETE /models/{pk}": nothing,
    "POST /models/{pk}/versions/{number}/restore": nothing,
    "POST /models/{pk}/test": lambda tenant: {"message": "Hello"},
    "POST /tools": tool_body,
    "PUT /tools/{pk}": tool_body,
    "PATCH /tools/{pk}": lambda tenant: {"description": "Adds.", "timeout_seconds": 5},
    "DELETE /tools/{pk}": nothing,
    "POST /tools/{pk}/versions/{number}/restore": nothing,
    "POST /tools/{pk}/test": lambda tenant: {"arguments": {"expression": "1 + 1"}},
    "POST /mcp-servers": mcp_server_body,
    "PUT /mcp-servers/{pk}": mcp_server_body,
    "PATCH /mcp-servers/{pk}": lambda tenant: {"description": "Fetches.", "timeout_seconds": 5},
    "DELETE /mcp-servers/{pk}": nothing,
    "POST /mcp-servers/{pk}/versions/{number}/restore": nothing,
    "POST /mcp-servers/{pk}/discover": lambda tenant: {"import": [], "prefix": "docs_"},
    "POST /knowledge-bases": knowledge_base_body,
    "PUT /knowledge-bases/{pk}": knowledge_base_body,
    "PATCH /knowledge-bases/{pk}": lambda tenant: {"description": "Rules.", "chunk_size": 500},
    "DELETE /knowledge-bases/{pk}": nothing,
    "POST /knowledge-bases/{pk}/reindex": nothing,
    "POST /knowledge-bases/{pk}/documents": lambda tenant: {"name": "fresh.md", "content": "# Rules"},
    "DELETE /knowledge-bases/{pk}/documents/{document}": nothing,
    "POST /knowledge-bases/{pk}/documents/{document}/reindex": nothing,
    "POST /workflows": workflow_body,
    "PUT /workflows/{pk}": workflow_body,
    "PATCH /workflows/{pk}": lambda tenant: {"description": "Answers briefly."},
    "DELETE /workflows/{pk}": nothing,
    "POST /workflows/load": lambda tenant: {"definition": workflow_source(tenant), "publish": True},
    "POST /workflows/validate": lambda tenant: {"source": workflow_source(tenant)},
    "POST /workflows/{pk}/validate": lambda tenant: {"source": workflow_source(tenant)},
    "POST /workflows/{pk}/publish": lambda tenant: {"version": 1, "replaces": 1},
    "POST /workflows/{pk}/versions/{number}/restore": nothing,
    "POST /workflows/{pk}/run": lambda tenant: {
        "input": {"message": "Hello"},
        "user_id": "customer",
        "metadata": {"order": 7},
        "tags": ["one"],
        "start": False,
    },
    "POST /agents": agent_body,
    "PUT /agents/{pk}": agent_body,
    "PATCH /agents/{pk}": agent_body,
    "DELETE /agents/{pk}": nothing,
    "POST /agents/{pk}/versions/{number}/restore": nothing,
    "POST /billing/budgets": budget_body,
    "PUT /billing/budgets/{pk}": budget_changes,
    "PATCH /billing/budgets/{pk}": lambda tenant: {"limit_tokens": 1000},
    "DELETE /billing/budgets/{pk}": nothing,
    "POST /billing/exports": lambda tenant: {
        "format": "csv",
        "filters": {"agent": "trade-assistant"},
        "columns": ["timestamp", "cost"],
        "options": {"bom": True, "decimal": "comma", "delimiter": ";", "tz": "UTC", "compression": "none"},
    },
    "DELETE /billing/exports/{pk}": nothing,
    "POST /billing/exports/{pk}/verify": nothing,
    "POST /billing/prices": price_body,
    "DELETE /billing/prices/{pk}": nothing,
    "POST /billing/repricings": repricing_body,
    "POST /chat": chat_body,
    "POST /sessions": session_body,
    "POST /agent/query": lambda tenant: {
        "message": "Hello",
        "session_id": str(tenant.session.pk),
        "stream": True,
    },
    "PUT /sessions/{pk}": session_body,
    "PATCH /sessions/{pk}": session_body,
    "DELETE /sessions/{pk}": nothing,
    "POST /sessions/{pk}/chat": lambda tenant: {
        "content": "Hello",
        "source": "user",
        "multitask_strategy": "rollback",
        "stream": False,
    },
    "POST /sessions/{pk}/messages/{message_id}/edit": lambda tenant: {
        "content": "Hello again",
        "multitask_strategy": "interrupt",
        "stream": False,
    },
    "POST /sessions/{pk}/messages/{message_id}/regenerate": lambda tenant: {
        "multitask_strategy": "interrupt",
        "stream": False,
    },
    "POST /sessions/{pk}/messages/{message_id}/select": lambda tenant: {"multitask_strategy": "interrupt"},
    "POST /sessions/{pk}/stop": nothing,
    "POST /sessions/{pk}/attachments": a_file,
    "DELETE /attachments/{pk}": nothing,
    "POST /sessions/{pk}/branch": lambda tenant: {
        "message_id": str(tenant.message.pk),
        "name": "Another way",
    },
    "POST /queue/requeue": lambda tenant: {"run_ids": [str(tenant.run.pk)]},
    "POST /runs": run_body,
    "POST /runs/{pk}/start": nothing,
    "POST /runs/{pk}/cancel": lambda tenant: {"reason": "Enough."},
    "POST /runs/{pk}/pause": nothing,
    "POST /runs/{pk}/resume": lambda tenant: {
        "limits": {"max_tokens": 1000, "max_cost": "0.5", "timeout": 60}
    },
    "POST /runs/{pk}/retry": nothing,
    "POST /approvals/{pk}/approve": nothing,
    "POST /approvals/{pk}/reject": lambda tenant: {"reason": "Too much."},
    "POST /approvals/{pk}/edit": lambda tenant: {"arguments": {"expression": "1 + 1"}, "reason": "Less."},
    "POST /runs/{pk}/checkpoints": lambda tenant: {"description": "Kept", "tags": ["one"]},
    "POST /memories": lambda tenant: {
        "content": "Likes tea.",
        "topic": "drinks",
        "agent": tenant.agent.name,
        "user_id": "customer",
    },
    "PATCH /memories/{pk}": lambda tenant: {"content": "Likes coffee.", "topic": "drinks"},
    "DELETE /memories/{pk}": nothing,
    "DELETE /memories": nothing,
    "POST /workspaces/{workspace}/members/{user}/erase": lambda tenant: {"confirm": tenant.member.username},
    "POST /schedules": schedule_body,
    "PUT /schedules/{pk}": schedule_body,
    "PATCH /schedules/{pk}": schedule_body,
    "DELETE /schedules/{pk}": nothing,
    "POST /schedules/{pk}/pause": nothing,
    "POST /schedules/{pk}/resume": nothing,
    "POST /schedules/{pk}/trigger": nothing,
    "POST /webhooks": webhook_body,
    "PUT /webhooks/{pk}": webhook_body,
    "PATCH /webhooks/{pk}": webhook_body,
    "DELETE /webhooks/{pk}": nothing,
    "POST /webhooks/{pk}/rotate-secret": nothing,
    "POST /webhooks/{pk}/test": nothing,
    "POST /webhooks/{pk}/deliveries/{delivery_id}/replay": nothing,
    "POST /checkpoints/{pk}/restore": lambda tenant: {
        "create_new_run": True,
        "modifications": changes(tenant),
    },
    "POST /checkpoints/{pk}/fork": lambda tenant: {"description": "Again", "modifications": changes(tenant)},
}
# Without these the operation would wait, go on for ever, or have nothing to say. Each is told the path.
QUERIES: dict[str, Callable[[str], dict[str, str]]] = {
    "GET /billing/reconciliation": lambda path: {"start": "2026-11-01", "end": "2026-11-02"},
    "GET /agent/stream": lambda path: {"message": "Hello"},
    "GET /history/search": lambda path: {"q": "hello"},
    "GET /history/sessions/{pk}/search": lambda path: {"q": "hello"},
    "GET /knowledge-bases/{pk}/search": lambda path: {"q": "hello"},
    "GET /runs/{pk}/wait": lambda path: {"timeout": "0"},
    "GET /checkpoints/{pk}/diff": lambda path: {"with": path.split("/")[2]},
}


def query_of(operation: Operation, path: str) -> dict[str, str]:
    """What `operation` has to be asked with."""
    return QUERIES[str(operation)](path) if str(operation) in QUERIES else {}


def body_of(operation: Operation, tenant: Tenant) -> Json | Form | None:
    """What `operation` is sent; nothing by operations that only read."""
    if operation.method not in WRITES:
        return None
    assert str(operation) in BODIES, f"Say in tests/platform/operations.py what {operation} is sent."
    return BODIES[str(operation)](tenant)


def send(client: Any, operation: Operation, path: str, body: Any = None, **query: str) -> Any:
    """The answer to `operation`, a stream closed unread."""
    query = query_of(operation, path) | query
    if operation.method == "GET":
        response = client.get(path, query)
    else:
        headers = HEADERS.get(str(operation), {})
        response = client.generic(operation.method, path, headers=headers, **encoded(body))
    if response.streaming and response.is_async:
        close_unread(response)
    return response


def close_unread(response: Any) -> None:
    """Without the end of the request that closes the connection, which holds the test's transaction."""
    request_finished.disconnect(close_old_connections)
    try:
        response.close()
    finally:
        request_finished.connect(close_old_connections)


def encoded(body: Any) -> Json:
    if isinstance(body, Form):
        return body.encoded
    return {"data": b"" if body is None else dumps(body), "content_type": "application/json"}


def text_of(response: Any) -> str:
    """What was answered; of a stream that was closed unread, nothing."""
    if not response.streaming:
        return response.content.decode(errors="replace")
    return "" if response.is_async else response.getvalue().decode()


@contextmanager
def undone() -> Iterator[None]:
    """What happens to the database inside has not happened afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def documented(schema: Json, operation: Operation) -> Json:
    """The operation as the API's own description has it, or nothing: it does not describe itself."""
    own = {re.sub(r"{.*?}", "{}", path): methods for path, methods in schema["paths"].items()}
    return own.get(API + re.sub(r"{.*?}", "{}", operation.path), {}).get(operation.method.lower(), {})


def query_parameters(schema: Json, operation: Operation) -> list[str]:
    return [
        item["name"] for item in documented(schema, operation).get("parameters", []) if item["in"] == "query"
    ]


def needs_signing_in(operation: Operation) -> bool:
    return operation.permission != PUBLIC


def by_role(operation: Operation) -> bool:
    return operation.permission not in (PUBLIC, SIGNED_IN)
