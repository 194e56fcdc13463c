"""Every route is closed unless a permission opens it; the role table is the only source."""

from __future__ import annotations

import pytest
from django.test import RequestFactory
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.actor import Actor
from accounts.permissions import PUBLIC, SIGNED_IN, HasPermission
from accounts.roles import PERMISSIONS, Role, permissions_by_role
from agentplatform.lib.errors import NotAuthenticated, PermissionDenied
from tests.factories import UserFactory


class View(APIView):
    permissions = {"get": "read:agent", "post": SIGNED_IN, "put": PUBLIC}

    def get(self, request): ...

    def post(self, request): ...

    def put(self, request): ...

    def patch(self, request): ...


def permitted(method, user=None, auth=None):
    request = Request(RequestFactory().generic(method, "/"))
    request._user, request._auth = user or request.user, auth
    return HasPermission().has_permission(request, View())


def test_opens_what_the_role_may(actor, bob):
    assert permitted("GET", bob, actor(bob))


def test_opens_head_with_get(actor, bob):
    assert permitted("HEAD", bob, actor(bob))


def test_closes_what_the_role_may_not(actor, audrey):
    with pytest.raises(PermissionDenied, match="'read:agent', which the role 'auditor' does not have"):
        permitted("GET", audrey, actor(audrey))


def test_closes_what_the_table_does_not_name(actor, alice):
    with pytest.raises(PermissionDenied):
        permitted("PATCH", alice, actor(alice))


def test_closes_options(actor, alice):
    with pytest.raises(PermissionDenied):
        permitted("OPTIONS", alice, actor(alice))


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_asks_nobody_in_particular_to_sign_in(method):
    with pytest.raises(NotAuthenticated):
        permitted(method)


def test_leaves_missing_methods_to_the_view():
    assert permitted("DELETE")


def test_opens_public_routes_to_anybody():
    assert permitted("PUT")


def test_opens_signed_in_routes_without_a_workspace():
    assert permitted("POST", UserFactory.build())


def test_explains_a_missing_workspace():
    with pytest.raises(PermissionDenied, match="not a member of any workspace"):
        permitted("GET", UserFactory.build())


def test_names_the_key_that_lacks_a_scope(actor, alice):
    own = actor(alice)
    narrow = Actor(
        user_id=own.user_id,
        username="alice",
        workspace_id=own.workspace_id,
        workspace_slug="acme",
        role=own.role,
        permissions=frozenset(),
        api_key_id=own.user_id,
        api_key_name="nightly",
    )
    with pytest.raises(PermissionDenied, match="the API key 'nightly' of 'alice'"):
        narrow.require("read:agent")


def test_lets_admins_do_everything():
    assert permissions_by_role[Role.ADMIN] == PERMISSIONS


@pytest.mark.parametrize(
    "permission", sorted(name for name in PERMISSIONS if name.startswith(("write:", "delete:")))
)
def test_lets_viewers_and_auditors_change_nothing_but_their_keys(permission):
    allowed = permission == "write:api-key"
    assert {permission in permissions_by_role[role] for role in (Role.VIEWER, Role.AUDITOR)} == {allowed}


@pytest.mark.parametrize("permission", ["read:run", "read:session", "read:all-runs", "read:all-sessions"])
def test_shows_auditors_no_content(permission):
    assert permission not in permissions_by_role[Role.AUDITOR]


def test_shows_users_no_work_of_others():
    assert not permissions_by_role[Role.USER] & {"read:all-runs", "read:all-sessions", "control:all-runs"}
