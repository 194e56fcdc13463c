"""The wall between workspaces: charlie, admin of `other`, knocks at every route with all that acme has.

`operations` reads the routes from the URL map, so a new one fails here until it is described there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.contrib import admin
from django.contrib.admindocs.views import simplify_regex
from django.core import serializers
from django.db import connection
from django.db.models import F, ForeignKey, Model, QuerySet
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.roles import Role
from accounts.tenancy import TenantModel
from accounts.tickets import issue_ticket
from accounts.tokens import AccessToken
from runs.models import Run
from runs.routing import websocket_urlpatterns
from tests.factories import MembershipFactory
from tests.platform.operations import (
    CREATES,
    METHODS,
    api_routes,
    body_of,
    needs_signing_in,
    operations,
    path_of,
    query_parameters,
    send,
    text_of,
    undone,
)
from tests.platform.pages import pages_of
from tests.platform.tenant import MARKER, Tenant
from tests.sockets import Socket

pytestmark = pytest.mark.usefixtures("one_transaction")

ALL = operations()
INTO_OBJECTS = [operation for operation in ALL if "{" in operation.path]
READS = [operation for operation in ALL if operation.method == "GET" and "{" not in operation.path]
WRITING = [operation for operation in ALL if operation.takes_body]
CLOSED = [operation for operation in ALL if needs_signing_in(operation)]
WALLED = {403, 404}
OPEN = {
    "POST /auth/login",
    "POST /auth/refresh",
    "POST /auth/logout",
    "POST /auth/verify",
    "GET /health",
    "GET /health/liveness",
    "GET /health/readiness",
    "GET /openapi.json",
    "GET /docs",
    "GET /redoc",
}


def leaked(response: Any, tenant: Tenant, *sent: str) -> list[str]:
    """What of the tenant's stands in an answer, whatever was sent left out: an error may quote it."""
    text = text_of(response)
    known = [MARKER, *tenant.ids(), *tenant.names()]
    return [value for value in known if value in text and not any(value in one for one in sent)]


def everything_of(tenant: Tenant) -> str:
    """All rows that a stranger could have changed."""
    rows = [type(row)._base_manager.filter(pk=row.pk) for row in tenant.rows()]
    members = tenant.workspace.memberships.order_by("pk")
    return serializers.serialize("json", [row for found in [*rows, members] for row in found])


def counterparts(own: Tenant, foreign: Tenant) -> dict[str, list[str]]:
    """By each way to refer to a row of `own`: the ways to refer to the same row of `foreign`."""
    ways = {
        kind: [
            [str(row.pk), getattr(row, "name", str(row.pk))] for row in (vars(own)[kind], vars(foreign)[kind])
        ]
        for kind in ("agent", "fallback", "model", "tool", "session", "run")
    }
    return {way: theirs for ours, theirs in ways.values() for way in ours}


def leaves(body: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """What stands in a JSON document, and where."""
    if isinstance(body, dict | list):
        items = body.items() if isinstance(body, dict) else enumerate(body)
        return [found for key, value in items for found in leaves(value, (*path, key))]
    return [(path, body)]


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """`body` with `value` at `path`."""
    if not path:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = replaced(body[path[0]], path[1:], value)
    return copy


def crossing() -> list[str]:
    """The relations in which a row refers to one of another workspace."""
    statement, parameters = _crossings()
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [name for (name,) in cursor.fetchall()]


@functools.cache
def _crossings() -> tuple[str, tuple[Any, ...]]:
    """One statement for all relations: it is asked after every request of a walk."""
    found = [
        (f"{model.__name__}.{field.name}", *_rows_across(model, field).query.sql_with_params())
        for model in apps.get_models()
        if issubclass(model, TenantModel)
        for field in model._meta.get_fields()
        if isinstance(field, ForeignKey) and issubclass(field.related_model, TenantModel)
    ]
    parts = [f"SELECT '{name}' WHERE EXISTS ({sql})" for name, sql, _ in found]
    return " UNION ALL ".join(parts), tuple(value for *_, values in found for value in values)


def _rows_across(model: type[Model], field: ForeignKey) -> QuerySet[Model]:
    strangers = model._base_manager.exclude(**{f"{field.name}__workspace": F("workspace")})
    return strangers.filter(**{f"{field.name}__isnull": False}).order_by()


def test_sees_what_crosses_the_wall(acme, other):
    """Or the walks below would prove nothing."""
    assert crossing() == []
    Run.objects.filter(pk=other.run.pk).update(session=acme.session)

    assert crossing() == ["Run.session"]


def walk(found: Callable[..., Any], over: Iterable[Any], *, undo: bool = True) -> dict[str, Any]:
    """What `found` finds at each item, the items where it finds nothing left out."""
    breaches = {}
    for item in over:
        with undone() if undo else nullcontext():
            if breach := found(item):
                breaches[str(item)] = breach
    return breaches


# the API


@pytest.mark.parametrize("by_name", [False, True], ids=["by id", "by name"])
def test_hides_what_a_path_names(api, acme, other, by_name):
    client, before = api(other.admin), everything_of(acme)

    def breach(operation):
        path = path_of(operation.path, acme, by_name=by_name)
        response = send(client, operation, path, body_of(operation, other))
        walled = WALLED | CREATES.get(str(operation), set())
        return (response.status_code not in walled and [response.status_code]) or leaked(response, acme, path)

    assert walk(breach, INTO_OBJECTS, undo=False) == {}
    assert everything_of(acme) == before


@pytest.mark.parametrize("by_name", [False, True], ids=["by id", "by name"])
def test_opens_the_same_paths_to_the_admin_of_the_workspace(api, acme, by_name):
    """Or the walk above would prove nothing."""
    client = api(acme.admin)

    def refusal(operation):
        path = path_of(operation.path, acme, by_name=by_name)
        response = send(client, operation, path, body_of(operation, acme))
        return response.status_code not in {200, 201, 202, 204, 409} and text_of(response)

    assert walk(refusal, ALL) == {}


def test_keeps_lists_to_the_own_workspace(api, acme, other):
    client = api(other.admin)

    assert walk(lambda operation: leaked(send(client, operation, operation.path), acme), READS) == {}


def test_finds_nothing_by_a_filter_that_names_what_is_not_ones_own(api, acme, other, schema):
    client = api(other.admin)

    def breach(wish):
        operation, name, value = wish
        return leaked(send(client, operation, operation.path, **{name: value}), acme, value)

    rows = (acme.agent, acme.model, acme.session, acme.run, acme.member)
    values = [MARKER, acme.agent.name, acme.model.name, acme.tool.name, *(str(row.pk) for row in rows)]
    wishes = [
        (operation, name, value)
        for operation in READS
        for name in query_parameters(schema, operation)
        for value in values
    ]
    assert walk(breach, wishes) == {}


def test_finds_by_the_same_filters_what_is_ones_own(api, acme):
    """Or the walk above would prove nothing."""
    filters = {
        "agent_id": str(acme.agent.pk),
        "session_id": str(acme.session.pk),
        "search": MARKER,
        "tag": MARKER,
    }

    assert api(acme.admin).get("/runs", filters).json()["total"] == 1


def test_refuses_a_body_that_refers_to_what_is_not_ones_own(api, acme, other):
    client, foreign = api(other.admin), counterparts(other, acme)

    def breach(wish):
        operation, path, value = wish
        body = replaced(body_of(operation, other), path, value)
        response = send(client, operation, path_of(operation.path, other), body)
        return (response.status_code not in {404, 422} and [response.status_code]) or leaked(
            response, acme, value
        )

    wishes = [
        (operation, path, value)
        for operation in WRITING
        for path, own in leaves(body_of(operation, other))
        if isinstance(own, str)
        for value in foreign.get(own, ())
    ]
    assert len({str(operation) for operation, *_ in wishes}) == 24
    assert walk(breach, wishes) == {}


def test_connects_nothing_across_the_wall_whatever_a_body_says(api, acme, other):
    client = api(other.admin)

    def breach(wish):
        operation, path, value = wish
        body = replaced(body_of(operation, other), path, value)
        return leaked(send(client, operation, path_of(operation.path, other), body), acme, value) + crossing()

    values = [str(acme.agent.pk), str(acme.session.pk)]
    wishes = [
        (operation, path, value)
        for operation in WRITING
        for path, own in leaves(body_of(operation, other))
        if isinstance(own, str)
        for value in values
    ]
    assert walk(breach, wishes) == {}


def test_lets_nobody_write_the_workspace(api, acme, other):
    """Not even by a field that no client should send."""
    client, before = api(other.admin), everything_of(acme)

    def breach(wish):
        operation, name = wish
        body = body_of(operation, other) | {name: str(acme.workspace.pk)}
        send(client, operation, path_of(operation.path, other), body)
        return crossing()

    assert (
        walk(breach, [(operation, name) for operation in WRITING for name in ("workspace", "workspace_id")])
        == {}
    )
    assert everything_of(acme) == before


def test_lets_no_header_choose_a_workspace_that_is_not_ones_own(api, acme, other):
    client = api(other.admin, workspace=acme.workspace)

    def breach(operation):
        response = send(client, operation, path_of(operation.path, other), body_of(operation, other))
        return response.status_code not in WALLED and response.status_code

    # A workspace in the path goes before the header.
    assert walk(breach, [operation for operation in CLOSED if "{workspace}" not in operation.path]) == {}


def test_keeps_an_api_key_in_its_workspace(api, acme, other):
    """Even one of somebody who is a member of both."""
    MembershipFactory(workspace=acme.workspace, user=other.admin, role=Role.ADMIN)
    client = api(other.api_key)

    def breach(operation):
        path = path_of(operation.path, acme)
        response = send(client, operation, path, body_of(operation, other))
        return response.status_code not in WALLED or leaked(response, acme, path)

    assert walk(breach, INTO_OBJECTS) == {}


def test_opens_no_route_without_credentials_but_the_listed_ones(api, acme):
    def is_open(operation):
        response = send(api(), operation, path_of(operation.path, acme), body_of(operation, acme))
        return response.status_code != 401 and response.status_code

    assert set(walk(is_open, ALL)) == OPEN


@pytest.mark.parametrize("method", [*METHODS, "HEAD", "OPTIONS", "TRACE"])
def test_answers_no_method_without_credentials(api, acme, method):
    def is_open(route):
        response = api().generic(method, path_of(route.path, acme))
        return response.status_code not in {401, 404, 405} and response.status_code

    opened = walk(is_open, [route for route in api_routes() if "{path}" not in route.path])
    assert {path for path in opened if not any(one.endswith(f" {path}") for one in OPEN)} == set()


# pages and the admin


@pytest.fixture
def browser(other) -> Client:
    """charlie's, who may enter the admin."""
    User.objects.filter(pk=other.admin.pk).update(is_staff=True)
    client = Client(raise_request_exception=False)
    client.force_login(other.admin)
    return client


def rows_of(tenant: Tenant) -> list[Model]:
    """Those with an id that can stand in a path."""
    return [row for row in tenant.rows() if "-" in str(row.pk)]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_shows_no_page_of_what_is_not_ones_own(browser, acme, other, method):
    before = everything_of(acme)

    def breach(path):
        browser.cookies.pop("messages", None)
        response = browser.generic(method, path, "post=yes", "application/x-www-form-urlencoded")
        page = [response.status_code] if is_shown(response, path) else []
        return page + leaked(response, acme, path)

    assert walk(breach, pages_of(rows_of(acme)), undo=False) == {}
    assert everything_of(acme) == before


def is_shown(response: Any, path: str) -> bool:
    """Whether the page of one object is there; lists and forms of one's own are no breach."""
    return response.status_code >= 500 or (
        response.status_code == 200 and any(part.count("-") == 4 for part in path.split("/"))
    )


def test_shows_the_same_pages_to_the_admin_of_the_workspace(acme):
    """Or the walk above would prove nothing."""
    User.objects.filter(pk=acme.admin.pk).update(is_staff=True)
    client = Client()
    client.force_login(acme.admin)
    shown = {
        path for path in pages_of(rows_of(acme)) if "/change/" in path and client.get(path).status_code == 200
    }

    assert {path.split("/")[3] for path in shown} == {
        *(
            "workspace",
            "apikey",
            "chatmodel",
            "tool",
            "mcpserver",
            "knowledgebase",
            "agent",
            "workflow",
            "price",
            "repricing",
            "budget",
            "usagerecord",
            "usageexport",
            "auditentry",
        ),
        *("session", "run", "approval", "memory", "schedule", "webhook"),
    }


def test_offers_no_choice_of_what_is_not_ones_own(browser, acme):
    """In the admin's autocompletes, searches and filters."""
    relations = [
        {"app_label": model._meta.app_label, "model_name": model._meta.model_name, "field_name": field.name}
        for model in admin.site._registry
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created
    ]
    searches = [("/admin/autocomplete/", relation | {"term": ""}) for relation in relations]
    searches += [("/admin/search/", {"s": MARKER}), ("/admin/search/", {"s": acme.agent.name})]
    searches += [
        (reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), {"q": MARKER})
        for model in admin.site._registry
    ]

    def breach(search):
        response = browser.get(*search)
        return response.status_code >= 500 or leaked(response, acme, *search[1].values())

    assert walk(breach, searches) == {}


def test_opens_no_page_without_signing_in_but_the_listed_ones(acme):
    def is_open(path):
        response = Client().get(path)
        location = response.headers.get("Location", "")
        asks = response.status_code == 302 and location.startswith(("/admin/login/?next=", "/sign-in/?next="))
        return not asks and response.status_code not in {403, 404, 405} and response.status_code

    # The way in, the way out, the choice of a language, an icon.
    opened = {"/admin/login/", "/admin/logout/", "/sign-in/", "/language/", "/favicon.ico"}
    assert set(walk(is_open, pages_of(rows_of(acme)))) == opened


# sockets


@pytest.mark.parametrize("pattern", websocket_urlpatterns, ids=lambda pattern: str(pattern.pattern))
def test_opens_no_socket_on_what_is_not_ones_own(acme, other, actor, pattern):
    """By any way to say who one is."""
    ticket = issue_ticket(actor(other.admin))
    path = socket_path(pattern, acme)
    bearer = {"Authorization": f"Bearer {AccessToken.for_user(other.admin)}"}
    ways = [
        {"query": f"ticket={ticket}"},
        {"headers": bearer},
        {"headers": {"X-API-Key": other.api_key.text}},
        {"headers": cookie_of(other.admin)},
    ]

    absent = {"closed": 4404, "reason": f"Run '{acme.run.pk}' does not exist."}
    assert [async_to_sync(received)(path, **way) for way in ways] == [[absent]] * len(ways)
    assert async_to_sync(received)(path, headers={**bearer, "X-Workspace": "acme"}) == [
        {"closed": 4404, "reason": "Workspace 'acme' does not exist."}
    ]


def test_opens_the_same_socket_to_the_admin_of_the_workspace(acme, actor):
    """Or the walk above would prove nothing."""
    frames = async_to_sync(received)(
        socket_path(websocket_urlpatterns[0], acme), query=f"ticket={issue_ticket(actor(acme.admin))}"
    )

    assert frames == [{"content": MARKER}, {"closed": 1000, "reason": ""}]


@pytest.mark.parametrize("pattern", websocket_urlpatterns, ids=lambda pattern: str(pattern.pattern))
def test_opens_no_socket_without_credentials(acme, pattern):
    assert [frame["closed"] for frame in async_to_sync(received)(socket_path(pattern, acme))] == [4401]


def socket_path(pattern: Any, tenant: Tenant) -> str:
    """A parameter that is new has to be added here."""
    values = {"run_id": str(tenant.run.pk)}
    parts = simplify_regex(pattern.pattern.regex.pattern).split("/")
    return "/".join(values[part[1:-1]] if part.startswith("<") else part for part in parts)


async def received(path: str, **way: Any) -> list[Any]:
    """The data of the events that a socket brings, then how it is closed."""
    async with Socket(path, **way) as socket:
        return [frame.get("data", frame) for frame in await socket.frames()]


def cookie_of(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"Cookie": f"sessionid={client.cookies['sessionid'].value}", "Origin": "http://testserver"}
