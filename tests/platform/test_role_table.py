"""What each role may do: every operation of the API, by every role, through HTTP.

The table below is written out. It changes only when somebody means it to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from accounts.models import ApiKey, User
from accounts.roles import OWN_USAGE, PERMISSIONS, Role
from accounts.tokens import AccessToken
from runs.models import Memory, Run, Schedule, Session, Status
from runs.routing import websocket_urlpatterns
from tests.factories import ApiKeyFactory
from tests.platform.operations import (
    Operation,
    body_of,
    by_role,
    needs_signing_in,
    operations,
    path_of,
    send,
    text_of,
    undone,
)
from tests.platform.tenant import Tenant
from tests.sockets import Socket

pytestmark = pytest.mark.usefixtures("one_transaction")

ALL = [operation for operation in operations() if needs_signing_in(operation)]
BY_PERMISSION = [operation for operation in ALL if by_role(operation)]

EVERYBODY = "admin operator user viewer auditor"
READ_AGENTS = "admin operator user viewer"
READ_CONFIGURATION = "admin operator viewer"
WRITE_CONFIGURATION = "admin operator"
READ_WORK = "admin operator user viewer"
WORK = "admin operator user"
READ_MONEY = "admin operator auditor"
READ_OWN_MONEY = "admin operator user auditor"
EXPORT_MONEY = "admin auditor"
AUDIT = "admin auditor"
READ_MEMBERS = "admin operator"
OPERATE = "admin operator"
ADMIN = "admin"

ROLES = {
    "GET /auth/me": EVERYBODY,
    "GET /auth/me/export": EVERYBODY,
    "POST /auth/password": EVERYBODY,
    "POST /auth/ticket": EVERYBODY,
    "GET /auth/api-keys": EVERYBODY,
    "POST /auth/api-keys": EVERYBODY,
    "PATCH /auth/api-keys/{pk}": EVERYBODY,
    "DELETE /auth/api-keys/{pk}": EVERYBODY,
    "GET /audit-log": AUDIT,
    "GET /audit-log/{pk}": AUDIT,
    "GET /audit-log/export": AUDIT,
    "GET /audit-log/head": AUDIT,
    "GET /audit-log/verification": AUDIT,
    "GET /workspaces": EVERYBODY,
    "POST /workspaces": ADMIN,
    "GET /workspaces/{workspace}": EVERYBODY,
    "PATCH /workspaces/{workspace}": ADMIN,
    "GET /workspaces/{workspace}/members": READ_MEMBERS,
    "POST /workspaces/{workspace}/members": ADMIN,
    "GET /workspaces/{workspace}/members/{user}": READ_MEMBERS,
    "PATCH /workspaces/{workspace}/members/{user}": ADMIN,
    "DELETE /workspaces/{workspace}/members/{user}": ADMIN,
    "GET /workspaces/{workspace}/members/{user}/export": ADMIN,
    "POST /workspaces/{workspace}/members/{user}/erase": ADMIN,
    "GET /models": READ_CONFIGURATION,
    "POST /models": WRITE_CONFIGURATION,
    "GET /models/{pk}": READ_CONFIGURATION,
    "PUT /models/{pk}": WRITE_CONFIGURATION,
    "PATCH /models/{pk}": WRITE_CONFIGURATION,
    "DELETE /models/{pk}": WRITE_CONFIGURATION,
    "GET /models/{pk}/versions": READ_CONFIGURATION,
    "POST /models/{pk}/versions/{number}/restore": WRITE_CONFIGURATION,
    "POST /models/{pk}/test": WRITE_CONFIGURATION,
    "GET /tools": READ_CONFIGURATION,
    "POST /tools": WRITE_CONFIGURATION,
    "GET /tools/{pk}": READ_CONFIGURATION,
    "PUT /tools/{pk}": WRITE_CONFIGURATION,
    "PATCH /tools/{pk}": WRITE_CONFIGURATION,
    "DELETE /tools/{pk}": WRITE_CONFIGURATION,
    "GET /tools/{pk}/versions": READ_CONFIGURATION,
    "POST /tools/{pk}/versions/{number}/restore": WRITE_CONFIGURATION,
    "POST /tools/{pk}/test": WRITE_CONFIGURATION,
    "GET /knowledge-bases": READ_AGENTS,
    "POST /knowledge-bases": WRITE_CONFIGURATION,
    "GET /knowledge-bases/{pk}": READ_AGENTS,
    "PUT /knowledge-bases/{pk}": WRITE_CONFIGURATION,
    "PATCH /knowledge-bases/{pk}": WRITE_CONFIGURATION,
    "DELETE /knowledge-bases/{pk}": WRITE_CONFIGURATION,
    "GET /knowledge-bases/{pk}/search": READ_AGENTS,
    "POST /knowledge-bases/{pk}/reindex": WRITE_CONFIGURATION,
    "GET /knowledge-bases/{pk}/documents": READ_AGENTS,
    "POST /knowledge-bases/{pk}/documents": WRITE_CONFIGURATION,
    "GET /knowledge-bases/{pk}/documents/{document}": READ_AGENTS,
    "DELETE /knowledge-bases/{pk}/documents/{document}": WRITE_CONFIGURATION,
    "POST /knowledge-bases/{pk}/documents/{document}/reindex": WRITE_CONFIGURATION,
    "GET /mcp-servers": READ_CONFIGURATION,
    "POST /mcp-servers": WRITE_CONFIGURATION,
    "GET /mcp-servers/{pk}": READ_CONFIGURATION,
    "PUT /mcp-servers/{pk}": WRITE_CONFIGURATION,
    "PATCH /mcp-servers/{pk}": WRITE_CONFIGURATION,
    "DELETE /mcp-servers/{pk}": WRITE_CONFIGURATION,
    "GET /mcp-servers/{pk}/versions": READ_CONFIGURATION,
    "POST /mcp-servers/{pk}/versions/{number}/restore": WRITE_CONFIGURATION,
    "POST /mcp-servers/{pk}/discover": WRITE_CONFIGURATION,
    "GET /workflows": READ_AGENTS,
    "POST /workflows": WRITE_CONFIGURATION,
    "GET /workflows/schema": READ_AGENTS,
    "POST /workflows/load": WRITE_CONFIGURATION,
    "POST /workflows/validate": READ_AGENTS,
    "GET /workflows/{pk}": READ_AGENTS,
    "PUT /workflows/{pk}": WRITE_CONFIGURATION,
    "PATCH /workflows/{pk}": WRITE_CONFIGURATION,
    "DELETE /workflows/{pk}": WRITE_CONFIGURATION,
    "GET /workflows/{pk}/versions": READ_AGENTS,
    "POST /workflows/{pk}/versions/{number}/restore": WRITE_CONFIGURATION,
    "POST /workflows/{pk}/validate": READ_AGENTS,
    "POST /workflows/{pk}/publish": WRITE_CONFIGURATION,
    "GET /workflows/{pk}/export": READ_AGENTS,
    "GET /workflows/{pk}/diff": READ_AGENTS,
    "POST /workflows/{pk}/run": WORK,
    "GET /workflows/{pk}/visualization": READ_AGENTS,
    "GET /agents": READ_AGENTS,
    "POST /agents": WRITE_CONFIGURATION,
    "GET /agents/{pk}": READ_AGENTS,
    "PUT /agents/{pk}": WRITE_CONFIGURATION,
    "PATCH /agents/{pk}": WRITE_CONFIGURATION,
    "DELETE /agents/{pk}": WRITE_CONFIGURATION,
    "GET /agents/{pk}/versions": READ_AGENTS,
    "POST /agents/{pk}/versions/{number}/restore": WRITE_CONFIGURATION,
    "GET /config": READ_CONFIGURATION,
    "GET /config/export": READ_CONFIGURATION,
    "POST /config/import": WRITE_CONFIGURATION,
    "GET /config/{name}": READ_CONFIGURATION,
    "PUT /config/{name}": WRITE_CONFIGURATION,
    "DELETE /config/{name}": WRITE_CONFIGURATION,
    "GET /config/{name}/history": READ_CONFIGURATION,
    "GET /config/{name}/diff": READ_CONFIGURATION,
    "POST /config/{name}/restore": WRITE_CONFIGURATION,
    "GET /billing/usage": READ_OWN_MONEY,
    "GET /billing/agent-breakdown": READ_OWN_MONEY,
    "GET /billing/usage/breakdown": READ_OWN_MONEY,
    "GET /billing/usage/history": READ_OWN_MONEY,
    "GET /billing/usage/export": EXPORT_MONEY,
    "GET /billing/ledger/head": EXPORT_MONEY,
    "GET /billing/ledger/verification": EXPORT_MONEY,
    "GET /billing/budgets": READ_MONEY,
    "GET /billing/budgets/burnt": READ_MONEY,
    "POST /billing/budgets": ADMIN,
    "GET /billing/budgets/{pk}": READ_MONEY,
    "PUT /billing/budgets/{pk}": ADMIN,
    "PATCH /billing/budgets/{pk}": ADMIN,
    "DELETE /billing/budgets/{pk}": ADMIN,
    "GET /billing/budgets/{pk}/status": READ_MONEY,
    "GET /billing/budgets/{pk}/history": READ_MONEY,
    "GET /billing/exports": EXPORT_MONEY,
    "POST /billing/exports": EXPORT_MONEY,
    "GET /billing/exports/{pk}": EXPORT_MONEY,
    "DELETE /billing/exports/{pk}": EXPORT_MONEY,
    "GET /billing/exports/{pk}/manifest": EXPORT_MONEY,
    "GET /billing/exports/{pk}/download": EXPORT_MONEY,
    "POST /billing/exports/{pk}/verify": EXPORT_MONEY,
    "GET /billing/prices": READ_MONEY,
    "POST /billing/prices": ADMIN,
    "GET /billing/prices/{pk}": READ_MONEY,
    "DELETE /billing/prices/{pk}": ADMIN,
    "GET /billing/repricings": READ_MONEY,
    "POST /billing/repricings": ADMIN,
    "GET /billing/repricings/{pk}": READ_MONEY,
    "GET /billing/reconciliation": EXPORT_MONEY,
    "GET /health/detailed": READ_MONEY,
    "POST /chat": WORK,
    "GET /runs": READ_WORK,
    "POST /runs": WORK,
    "GET /runs/{pk}": READ_WORK,
    "GET /runs/{pk}/events": READ_WORK,
    "GET /runs/{pk}/payloads/{payload_id}": READ_WORK,
    "GET /runs/{pk}/wait": READ_WORK,
    "GET /runs/{pk}/stream": READ_WORK,
    "POST /runs/{pk}/start": WORK,
    "POST /runs/{pk}/cancel": WORK,
    "POST /runs/{pk}/pause": WORK,
    "POST /runs/{pk}/resume": WORK,
    "POST /runs/{pk}/retry": WORK,
    "GET /runs/{pk}/checkpoints": READ_WORK,
    "POST /runs/{pk}/checkpoints": WORK,
    "GET /runs/{pk}/lineage": READ_WORK,
    "GET /checkpoints/{pk}": READ_WORK,
    "GET /checkpoints/{pk}/diff": READ_WORK,
    "POST /checkpoints/{pk}/restore": WORK,
    "POST /checkpoints/{pk}/fork": WORK,
    "GET /runs/{pk}/approvals": READ_WORK,
    "GET /approvals": READ_WORK,
    "GET /approvals/{pk}": READ_WORK,
    "POST /approvals/{pk}/approve": WORK,
    "POST /approvals/{pk}/reject": WORK,
    "POST /approvals/{pk}/edit": WORK,
    "GET /metrics/agents/{pk}": EVERYBODY,
    "GET /metrics/system": EVERYBODY,
    "GET /analytics/performance": EVERYBODY,
    "GET /analytics/errors": EVERYBODY,
    "GET /analytics/tokens/{pk}": EVERYBODY,
    "GET /analytics/cost/{pk}": EVERYBODY,
    "GET /queue": "admin operator viewer",
    "POST /queue/requeue": OPERATE,
    "GET /workers": OPERATE,
    "GET /memories": WORK,
    "POST /memories": WORK,
    "DELETE /memories": WORK,
    "GET /memories/{pk}": WORK,
    "PATCH /memories/{pk}": WORK,
    "DELETE /memories/{pk}": WORK,
    "GET /schedules": WORK,
    "POST /schedules": WORK,
    "GET /schedules/{pk}": WORK,
    "PUT /schedules/{pk}": WORK,
    "PATCH /schedules/{pk}": WORK,
    "DELETE /schedules/{pk}": WORK,
    "POST /schedules/{pk}/pause": WORK,
    "POST /schedules/{pk}/resume": WORK,
    "POST /schedules/{pk}/trigger": WORK,
    "GET /webhooks": OPERATE,
    "POST /webhooks": OPERATE,
    "GET /webhooks/{pk}": OPERATE,
    "PUT /webhooks/{pk}": OPERATE,
    "PATCH /webhooks/{pk}": OPERATE,
    "DELETE /webhooks/{pk}": OPERATE,
    "POST /webhooks/{pk}/rotate-secret": OPERATE,
    "POST /webhooks/{pk}/test": OPERATE,
    "GET /webhooks/{pk}/deliveries": OPERATE,
    "POST /webhooks/{pk}/deliveries/{delivery_id}/replay": OPERATE,
    "GET /sessions": READ_WORK,
    "POST /sessions": WORK,
    "GET /sessions/{pk}": READ_WORK,
    "PUT /sessions/{pk}": WORK,
    "PATCH /sessions/{pk}": WORK,
    "DELETE /sessions/{pk}": WORK,
    "GET /sessions/{pk}/history": READ_WORK,
    "POST /sessions/{pk}/chat": WORK,
    "POST /sessions/{pk}/messages/{message_id}/edit": WORK,
    "POST /sessions/{pk}/messages/{message_id}/regenerate": WORK,
    "POST /sessions/{pk}/messages/{message_id}/select": WORK,
    "POST /sessions/{pk}/stop": WORK,
    "GET /attachments/{pk}": READ_WORK,
    "GET /attachments/{pk}/content": READ_WORK,
    "DELETE /attachments/{pk}": WORK,
    "POST /sessions/{pk}/attachments": WORK,
    "POST /sessions/{pk}/branch": WORK,
    "POST /agent/query": WORK,
    "GET /agent/stream": WORK,
    "GET /history/search": READ_WORK,
    "GET /history/sessions/{pk}/messages": READ_WORK,
    "GET /history/sessions/{pk}/search": READ_WORK,
    "GET /history/sessions/{pk}/export": READ_WORK,
}
# What somebody may do with what is somebody else's: there are those who do not even see it (404).
OF_OTHERS = {
    "GET /runs/{pk}": READ_CONFIGURATION,
    "GET /runs/{pk}/events": READ_CONFIGURATION,
    "GET /runs/{pk}/payloads/{payload_id}": READ_CONFIGURATION,
    "GET /runs/{pk}/wait": READ_CONFIGURATION,
    "GET /runs/{pk}/stream": READ_CONFIGURATION,
    "POST /runs/{pk}/start": WRITE_CONFIGURATION,
    "POST /runs/{pk}/cancel": WRITE_CONFIGURATION,
    "POST /runs/{pk}/pause": WRITE_CONFIGURATION,
    "POST /runs/{pk}/resume": WRITE_CONFIGURATION,
    "POST /runs/{pk}/retry": WRITE_CONFIGURATION,
    "GET /runs/{pk}/checkpoints": READ_CONFIGURATION,
    "POST /runs/{pk}/checkpoints": WRITE_CONFIGURATION,
    "GET /runs/{pk}/lineage": READ_CONFIGURATION,
    "GET /checkpoints/{pk}": READ_CONFIGURATION,
    "GET /checkpoints/{pk}/diff": READ_CONFIGURATION,
    "POST /checkpoints/{pk}/restore": WRITE_CONFIGURATION,
    "POST /checkpoints/{pk}/fork": WRITE_CONFIGURATION,
    "GET /runs/{pk}/approvals": READ_CONFIGURATION,
    "GET /approvals/{pk}": READ_CONFIGURATION,
    "POST /approvals/{pk}/approve": WRITE_CONFIGURATION,
    "POST /approvals/{pk}/reject": WRITE_CONFIGURATION,
    "POST /approvals/{pk}/edit": WRITE_CONFIGURATION,
    "GET /memories/{pk}": ADMIN,
    "PATCH /memories/{pk}": "",
    "DELETE /memories/{pk}": ADMIN,
    "GET /schedules/{pk}": WRITE_CONFIGURATION,
    "PUT /schedules/{pk}": WRITE_CONFIGURATION,
    "PATCH /schedules/{pk}": WRITE_CONFIGURATION,
    "DELETE /schedules/{pk}": WRITE_CONFIGURATION,
    "POST /schedules/{pk}/pause": WRITE_CONFIGURATION,
    "POST /schedules/{pk}/resume": WRITE_CONFIGURATION,
    "POST /schedules/{pk}/trigger": WRITE_CONFIGURATION,
    "GET /sessions/{pk}": READ_CONFIGURATION,
    "PUT /sessions/{pk}": WRITE_CONFIGURATION,
    "PATCH /sessions/{pk}": WRITE_CONFIGURATION,
    "DELETE /sessions/{pk}": WRITE_CONFIGURATION,
    "GET /sessions/{pk}/history": READ_CONFIGURATION,
    "POST /sessions/{pk}/chat": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/messages/{message_id}/edit": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/messages/{message_id}/regenerate": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/messages/{message_id}/select": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/stop": WRITE_CONFIGURATION,
    "GET /attachments/{pk}": READ_CONFIGURATION,
    "GET /attachments/{pk}/content": READ_CONFIGURATION,
    "DELETE /attachments/{pk}": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/attachments": WRITE_CONFIGURATION,
    "POST /sessions/{pk}/branch": WRITE_CONFIGURATION,
    "GET /history/sessions/{pk}/messages": READ_CONFIGURATION,
    "GET /history/sessions/{pk}/search": READ_CONFIGURATION,
    "GET /history/sessions/{pk}/export": READ_CONFIGURATION,
    "PATCH /auth/api-keys/{pk}": ADMIN,
    "DELETE /auth/api-keys/{pk}": ADMIN,
}
# These need more than the permission that their view names.
ALSO_NEEDS = {
    "POST /runs/{pk}/retry": {"execute:agent"},
    "POST /workflows/load": {"publish:workflow"},
    "GET /config": {"read:model"},
    "POST /config/import": {"read:model", "write:model"},
    "GET /config/{name}": {"read:model"},
    "PUT /config/{name}": {"read:model", "write:model"},
    "DELETE /config/{name}": {"read:model", "delete:model"},
    "GET /config/{name}/history": {"read:model"},
    "GET /config/{name}/diff": {"read:model"},
    "POST /config/{name}/restore": {"read:model", "write:model"},
    "POST /checkpoints/{pk}/restore": {"execute:agent"},
    "POST /checkpoints/{pk}/fork": {"execute:agent"},
    "POST /schedules": {"execute:agent"},
    "PUT /schedules/{pk}": {"execute:agent"},
    "PATCH /schedules/{pk}": {"execute:agent"},
    "POST /schedules/{pk}/pause": {"execute:agent"},
    "POST /schedules/{pk}/resume": {"execute:agent"},
    "POST /schedules/{pk}/trigger": {"execute:agent"},
}
REFUSALS = {401, 403, 404}


def who_may(api, tenant: Tenant, operations: Iterable[Operation], *, own: bool) -> dict[str, str]:
    """The roles that are not refused, by operation."""
    allowed: dict[str, list[str]] = {str(operation): [] for operation in operations}
    for role in Role:
        with undone():
            user = in_role(tenant, role)
            if own:
                give_everything_to(user)
            for operation in operations:
                if not is_refused(api(user), operation, tenant):
                    allowed[str(operation)].append(str(role))
    return {operation: " ".join(roles) for operation, roles in allowed.items()}


def is_refused(client: Any, operation: Operation, tenant: Tenant) -> bool:
    """Whether the answer is a refusal; it leaves nothing behind."""
    # What others of them have deleted: storage knows no transactions.
    if not default_storage.exists(tenant.attachment.file.name):
        default_storage.save(tenant.attachment.file.name, ContentFile(b"Hello"))
    with undone():
        path = path_of(operation.path, tenant)
        response = send(client, operation, path, body_of(operation, tenant))
        assert response.status_code < 500, text_of(response)
        return response.status_code in REFUSALS


def in_role(tenant: Tenant, role: Role) -> User:
    """The member of the workspace who has the role."""
    return User.objects.get(
        memberships__workspace=tenant.workspace, memberships__role=role, username__in=PEOPLE
    )


PEOPLE = ("alice", "olivia", "bob", "vera", "audrey")


def give_everything_to(user: User) -> None:
    for model in (Run, Session, Schedule, Memory, ApiKey):
        model.objects.update(user=user)


@pytest.fixture
def people(acme, alice, olivia, bob, vera, audrey) -> Tenant:
    """acme, with somebody in every role."""
    return acme


def test_names_every_operation():
    assert {str(operation) for operation in ALL} == ROLES.keys()


def test_opens_each_operation_to_its_roles(api, people, without_limits):
    assert who_may(api, people, ALL, own=True) == ROLES


def test_opens_what_is_somebody_elses_to_fewer_roles(api, people, without_limits):
    Run.objects.update(user=people.member)
    Session.objects.update(user=people.member)
    Schedule.objects.update(user=people.member)
    Memory.objects.update(user=people.member)
    ApiKey.objects.update(user=people.member)
    others = [operation for operation in ALL if str(operation) in OF_OTHERS]

    assert who_may(api, people, others, own=False) == OF_OTHERS


# API keys


def needed(operation) -> set[str]:
    return {operation.permission} | ALSO_NEEDS.get(str(operation), set())


def answer_to_key(api, tenant: Tenant, operation, scopes: set[str]) -> int:
    """The status that an admin's key with these scopes is answered."""
    with undone():
        key = ApiKeyFactory(workspace=tenant.workspace, user=tenant.admin, scopes=sorted(scopes))
        path = path_of(operation.path, tenant)
        return send(api(key), operation, path, body_of(operation, tenant)).status_code


def test_lets_a_key_do_what_its_scopes_name(api, acme):
    refused = {
        str(operation): status
        for operation in BY_PERMISSION
        if (status := answer_to_key(api, acme, operation, needed(operation))) in REFUSALS
    }

    assert refused == {}


def giving(permission: str) -> set[str]:
    """The scopes that give a permission: it, and for the own usage also that for all of it."""
    return {permission, "read:usage"} if permission == OWN_USAGE else {permission}


def test_refuses_a_key_whose_scopes_name_everything_else(api, acme):
    let = {
        str(operation): status
        for operation in BY_PERMISSION
        if (status := answer_to_key(api, acme, operation, PERMISSIONS - giving(operation.permission))) != 403
    }

    assert let == {}


def test_gives_a_key_no_more_than_its_owner_has(api, people, audrey):
    key = ApiKeyFactory(workspace=people.workspace, user=audrey, scopes=sorted(PERMISSIONS))
    give_everything_to(audrey)
    let = {
        str(operation)
        for operation in BY_PERMISSION
        if send(api(key), operation, path_of(operation.path, people), body_of(operation, people)).status_code
        not in REFUSALS
    }

    assert let == {name for name, roles in ROLES.items() if "auditor" in roles} - SIGNED_IN


SIGNED_IN = {
    "GET /auth/me",
    "POST /auth/password",
    "POST /auth/ticket",
    "GET /workspaces",
    "POST /workspaces",
    "GET /workspaces/{workspace}",
}


# sockets


@pytest.fixture
def ask(acme):
    """`ask(caller, "cancel")`: the answer to a command on a socket, or the code that it is closed with."""
    Run.objects.filter(pk=acme.run.pk).update(status=Status.RUNNING)

    async def asked(credential: dict[str, str], action: str) -> object:
        async with Socket(f"/ws/runs/{acme.run.pk}/", headers=credential) as socket:
            await socket.send({"action": action})
            answer = (await socket.until("action"))[-1]
            return answer.get("closed") or answer.get("error", {}).get("type") or answer["ok"]

    def ask(caller: User | ApiKey, action: str) -> object:
        with undone():
            return async_to_sync(asked)(credential_of(caller), action)

    return ask


def credential_of(caller: User | ApiKey) -> dict[str, str]:
    is_key = isinstance(caller, ApiKey)
    return (
        {"X-API-Key": caller.text} if is_key else {"Authorization": f"Bearer {AccessToken.for_user(caller)}"}
    )


def test_walks_over_every_socket():
    """A socket that is new needs tests of its own below."""
    assert [pattern.callback.consumer_class.__name__ for pattern in websocket_urlpatterns] == ["RunConsumer"]


def by_name(people: Tenant, ask, action: str) -> dict[str, object]:
    """What each role is answered on the socket of its own run."""
    answers = {}
    for role in Role:
        give_everything_to(in_role(people, role))
        answers[str(role)] = ask(in_role(people, role), action)
    return answers


def test_opens_sockets_to_those_who_may_read_runs(people, ask):
    assert by_name(people, ask, "ping") == dict.fromkeys(READ_WORK.split(), True) | {"auditor": 4403}


def test_takes_commands_from_those_who_may_control_runs(people, ask):
    refused = {"viewer": "PermissionDenied", "auditor": 4403}

    assert by_name(people, ask, "cancel") == dict.fromkeys(WORK.split(), True) | refused


@pytest.mark.parametrize(
    ("scopes", "action", "answer"),
    [
        ({"read:run"}, "ping", True),
        ({"read:run", "control:run"}, "cancel", True),
        ({"read:run"}, "cancel", "PermissionDenied"),
        (PERMISSIONS - {"control:run"}, "cancel", "PermissionDenied"),
        (PERMISSIONS - {"read:run"}, "ping", 4403),
        ({"read:run"}, "retry", "PermissionDenied"),
        ({"read:run"}, "explode", "ValidationError"),
    ],
)
def test_narrows_sockets_by_a_keys_scopes(acme, ask, scopes, action, answer):
    key = ApiKeyFactory(workspace=acme.workspace, user=acme.admin, scopes=sorted(scopes))

    assert ask(key, action) == answer


def test_narrows_sockets_of_a_keys_ticket(acme, ask, api):
    key = ApiKeyFactory(workspace=acme.workspace, user=acme.admin, scopes=["read:agent"])
    ticket = api(key).post("/auth/ticket").json()["ticket"]

    assert async_to_sync(closed)(f"/ws/runs/{acme.run.pk}/", f"ticket={ticket}") == 4403


async def closed(path: str, query: str) -> int:
    async with Socket(path, query) as socket:
        return (await socket.frames())[-1]["closed"]
