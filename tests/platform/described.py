"""The API's own description with real objects in it, and requests that Schemathesis makes of it.

In what is generated, ids are those of a tenant's objects, of one that does not exist, or nonsense where data are to be
wrong; bodies grow from ones that succeed. What is said of answers is left as it is: it is what they are held against.
"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from asgiref.sync import async_to_sync

from runs.models import Approval, Status
from tests import factories
from tests.platform.operations import (
    API,
    OBJECTS,
    Operation,
    body_of,
    close_unread,
    identifier,
    operations,
    path_of,
    query_of,
    routes,
)
from tests.platform.tenant import Tenant

Json = dict[str, Any]
SITE = "http://testserver"
NOBODY = "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"
# These serve the description; it says nothing of them.
UNDESCRIBED = {"/docs", "/redoc", "/openapi.json"}
# What else names an object, wherever a parameter has this name.
NAMED: dict[str, Callable[[Tenant], Any]] = {
    "agent_id": lambda tenant: tenant.agent,
    "api_key_id": lambda tenant: tenant.api_key,
    "parent_id": lambda tenant: tenant.run,
    "resource_id": lambda tenant: tenant.agent,
    "run_id": lambda tenant: tenant.run,
    "session_id": lambda tenant: tenant.session,
    "user_id": lambda tenant: tenant.admin,
    "with": lambda tenant: tenant.checkpoint,
    "workflow_id": lambda tenant: tenant.workflow,
    "X-Workspace": lambda tenant: tenant.workspace.slug,
}


def described() -> list[Operation]:
    """The operations that the description has to have, with the one that is not below /api/v1."""
    (latest,) = [route for route in routes() if route.path == "/history"]
    found = [operation for operation in operations() if operation.path not in UNDESCRIBED]
    return [*found, Operation("GET", latest.path, latest.callback)]


def add_bare_rows(tenant: Tenant) -> None:
    """Of each kind that lists show a row that has as little as it may, and of what has a status one with each."""
    own = {"workspace": tenant.workspace}
    for status in Status:
        factories.RunFactory(**own, user=None, agent=tenant.agent, status=status)
    for decision in Approval.Status:
        factories.ApprovalFactory(run=tenant.run, status=decision)
    for factory in BARE:
        factory(**own)
    factories.DocumentFactory(knowledge_base=tenant.knowledge_base)
    factories.MemoryFactory(**own, user=tenant.admin)
    factories.MessageFactory(session=tenant.session)
    factories.CheckpointFactory(run=tenant.run)
    factories.WebhookDeliveryFactory(webhook=tenant.webhook)


BARE = (
    factories.AgentFactory,
    factories.AuditEntryFactory,
    factories.ChatModelFactory,
    factories.HttpToolFactory,
    factories.KnowledgeBaseFactory,
    factories.McpServerFactory,
    factories.PriceFactory,
    factories.RepricingFactory,
    factories.ScheduleFactory,
    factories.SessionFactory,
    factories.ToolFactory,
    factories.UsageExportFactory,
    factories.UsageRecordFactory,
    factories.WebhookFactory,
    factories.WorkflowFactory,
)


def own_path(schema: Json, operation: Operation) -> str:
    """The operation's path as the description writes it."""
    own = {_nameless(operation.path), _nameless(API + operation.path)}
    (found,) = [path for path in schema["paths"] if _nameless(path) in own]
    return str(found)


def _nameless(path: str) -> str:
    return re.sub(r"{.*?}", "{}", path)


def with_objects(schema: Json, tenant: Tenant) -> Json:
    """A copy of the description in which what is sent may be of the tenant's objects."""
    filled = copy.deepcopy(schema)
    for operation in described():
        path = own_path(filled, operation)
        own = filled["paths"][path][operation.method.lower()]
        in_path = dict(zip(re.findall(r"{(.*?)}", path), _ids(operation, tenant), strict=True))
        required = query_of(operation, path_of(operation.path, tenant))
        for parameter in own.get("parameters", []):
            name = parameter["name"]
            if parameter["in"] == "path":
                parameter["schema"] = {"enum": in_path[name], "type": parameter["schema"]["type"]}
            elif name in NAMED:
                parameter["schema"] = {"enum": _names(NAMED[name](tenant)), "type": "string"}
            if name in required:
                parameter["example"] = required[name]
        good = body_of(operation, tenant) if "requestBody" in own else None
        if isinstance(good, dict):
            body = own["requestBody"]["content"]["application/json"]
            body["schema"] = grown_from(good, body["schema"], filled["components"]["schemas"])
            body["example"] = good
    return filled


def _ids(operation: Operation, tenant: Tenant) -> list[list[Any]]:
    """By its place in the path, what may stand there."""
    parts = operation.path.split("/")
    places = [index for index, part in enumerate(parts) if part.startswith("{")]
    things = [OBJECTS["/".join(parts[: index + 1])](tenant) for index in places]
    return [[thing, 7] if isinstance(thing, int) else _names(thing) for thing in things]


def _names(thing: Any) -> list[str]:
    """An object by its id and, where it has one, its name; and one that does not exist."""
    names = [identifier(thing, by_name=False), identifier(thing, by_name=True), NOBODY]
    return list(dict.fromkeys(names if hasattr(thing, "pk") else names[:1]))


def grown_from(good: Json, schema: Json, components: Json) -> Json:
    """The schema of a body whose fields are often those of `good`, and which has no others than are described."""
    found = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    if "properties" not in found:
        return schema
    fields = {
        name: {"anyOf": [{"enum": [good[name]]}, field]} if name in good else field
        for name, field in found["properties"].items()
    }
    return {"additionalProperties": False, **found, "properties": fields}


def sent(client: Any, case: schemathesis.Case) -> schemathesis.Response:
    """The answer to a request; a stream is closed unread."""
    request = requests.Request(**case.as_transport_kwargs(base_url=SITE)).prepare()
    url = urlsplit(request.url)
    headers = {name: value for name, value in request.headers.items() if name not in SENT_OTHERWISE}
    answer = client.generic(
        request.method,
        url.path,
        request.body or b"",
        content_type=request.headers.get("Content-Type", ""),
        QUERY_STRING=url.query,
        headers=headers,
    )
    return schemathesis.Response(
        status_code=answer.status_code,
        headers={name.lower(): [value] for name, value in answer.headers.items()},
        content=content_of(answer),
        request=request,
        elapsed=0.0,
        verify=False,
        message=HTTPStatus(answer.status_code).phrase,
    )


def content_of(answer: Any) -> bytes:
    """What was answered; nothing of events, which have no end here."""
    if not (answer.streaming and answer.is_async):
        return b"".join(answer) if answer.streaming else answer.content
    has_end = not answer.headers["Content-Type"].startswith("text/event-stream")
    content = async_to_sync(_joined)(answer.streaming_content) if has_end else b""
    close_unread(answer)
    return content


async def _joined(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


SENT_OTHERWISE = {"Content-Type", "Content-Length"}
