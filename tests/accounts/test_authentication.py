"""From a credential to an actor."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import jwt
import pytest
import time_machine
from django.db import connection
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.authentication import (
    actor_from_headers,
    actor_from_request,
    actor_from_session,
    refresh,
    refuse_credentials_in_url,
)
from accounts.models import Membership
from accounts.roles import Role, permissions_by_role
from accounts.tokens import AccessToken, change_password
from agentplatform.lib.errors import NotAuthenticated, NotFound, PermissionDenied
from tests.factories import ApiKeyFactory, MembershipFactory, UserFactory
from tests.processes import PROJECT


def by_token(user, **headers):
    return actor_from_headers(
        {"authorization": f"Bearer {AccessToken.for_user(user)}", **headers}, "10.0.0.1"
    )


def by_key(key, **headers):
    return actor_from_headers({"x-api-key": key.text, **headers}, "10.0.0.1")


@pytest.fixture
def key(workspace):
    return ApiKeyFactory(workspace=workspace)


# Tokens


def test_knows_who_holds_a_token(alice, workspace):
    actor = by_token(alice)
    assert (actor.user_id, actor.workspace_id, actor.role) == (alice.pk, workspace.pk, Role.ADMIN)


def test_carries_the_address(alice):
    assert by_token(alice).address == "10.0.0.1"


def test_knows_when_the_token_ends(alice):
    assert timedelta(minutes=29) < by_token(alice).expires_at - timezone.now() <= timedelta(minutes=30)


def test_gives_the_permissions_of_the_role(bob):
    assert by_token(bob).permissions == permissions_by_role[Role.USER]


def test_acts_in_the_first_workspace_unless_told(alice, other_workspace):
    MembershipFactory(user=alice, workspace=other_workspace)
    assert by_token(alice).workspace_slug == "acme"


def test_acts_in_the_workspace_of_the_header(alice, other_workspace):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    actor = by_token(alice, **{"x-workspace": "other"})
    assert (actor.workspace_slug, actor.role) == ("other", Role.VIEWER)


@pytest.mark.parametrize("slug", ["other", "nowhere"])
def test_reveals_nothing_of_a_workspace_that_is_not_ones_own(alice, other_workspace, slug):
    with pytest.raises(NotFound, match=f"Workspace '{slug}' does not exist"):
        by_token(alice, **{"x-workspace": slug})


def test_refuses_a_user_without_any_workspace(db):
    with pytest.raises(PermissionDenied, match="not a member"):
        by_token(UserFactory())


def test_refuses_no_credential_at_all(db):
    with pytest.raises(NotAuthenticated):
        actor_from_headers({}, "")


@pytest.mark.parametrize(
    "header", ["Bearer x.y.z", "bearer ap_short", "Bearer eyJ", "Bearer \x00", "Bearer é"]
)
def test_refuses_what_is_no_token(db, header):
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"authorization": header}, "")


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Basic YWxpY2U6eA==", ""])
def test_takes_a_header_without_a_token_for_none(db, header):
    with pytest.raises(NotAuthenticated, match="Sign in first"):
        actor_from_headers({"authorization": header}, "")


def test_refuses_the_algorithm_none(alice, settings):
    claims = jwt.decode(str(AccessToken.for_user(alice)), settings.JWT_SECRET_KEYS[0], algorithms=["HS256"])
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"authorization": f"Bearer {jwt.encode(claims, '', algorithm='none')}"}, "")


def test_refuses_a_token_for_somebody_who_is_no_uuid(settings, db):
    claims = {"token_type": "access", "exp": 9999999999, "jti": "x", "user_id": "1 OR 1=1"}
    forged = jwt.encode(claims, settings.JWT_SECRET_KEYS[0], algorithm="HS256")
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"authorization": f"Bearer {forged}"}, "")


def test_accepts_a_token_under_a_key_that_was_rotated_out(alice, settings):
    settings.JWT_SECRET_KEYS = ["old-key-" * 8]
    headers = {"authorization": f"Bearer {AccessToken.for_user(alice)}"}
    settings.JWT_SECRET_KEYS = ["new-key-" * 8, "old-key-" * 8]
    assert actor_from_headers(headers, "").user_id == alice.pk


@pytest.mark.slow
def test_believes_the_keys_before_the_secret_key_too():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "from agentplatform import settings; print(settings.SECRET_KEY_FALLBACKS, settings.JWT_SECRET_KEYS)",
        ],
        cwd=PROJECT,
        env=os.environ | {"SECRET_KEY": "new", "SECRET_KEY_FALLBACKS": "old,older", "JWT_SECRET_KEY": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "['old', 'older'] ['new', 'old', 'older']\n"


def test_signs_with_the_first_key(alice, settings):
    settings.JWT_SECRET_KEYS = ["new-key-" * 8, "old-key-" * 8]
    assert jwt.decode(str(AccessToken.for_user(alice)), "new-key-" * 8, algorithms=["HS256"])


def test_refuses_a_token_under_a_key_that_is_gone(alice, settings):
    settings.JWT_SECRET_KEYS = ["old-key-" * 8]
    headers = {"authorization": f"Bearer {AccessToken.for_user(alice)}"}
    settings.JWT_SECRET_KEYS = ["new-key-" * 8]
    with pytest.raises(NotAuthenticated):
        actor_from_headers(headers, "")


def test_refuses_an_expired_token_under_any_key(alice, settings):
    settings.JWT_SECRET_KEYS = ["new-key-" * 8, "old-key-" * 8]
    with time_machine.travel("2020-01-01"):
        token = AccessToken.for_user(alice)
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"authorization": f"Bearer {token}"}, "")


def test_refuses_a_user_who_was_deactivated(alice):
    headers = {"authorization": f"Bearer {AccessToken.for_user(alice)}"}
    alice.is_active = False
    alice.save()
    with pytest.raises(NotAuthenticated):
        actor_from_headers(headers, "")


# API keys


def test_knows_who_holds_a_key(key):
    actor = by_key(key)
    assert (actor.user_id, actor.api_key_id, actor.api_key_name) == (key.user_id, key.pk, key.name)


def test_takes_a_key_as_a_bearer_too(key):
    assert actor_from_headers({"authorization": f"Bearer {key.text}"}, "").api_key_id == key.pk


def test_narrows_the_role_to_the_scopes(alice, workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:agent"])
    assert by_key(key).permissions == {"read:agent"}


def test_does_not_widen_the_role_by_scopes(bob, workspace):
    key = ApiKeyFactory(workspace=workspace, user=bob, scopes=["read:agent", "write:agent"])
    assert by_key(key).permissions == {"read:agent"}


def test_loses_with_the_role(alice, workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice)
    alice.memberships.update(role=Role.VIEWER)
    assert not by_key(key).may("write:agent")


def test_refuses_a_key_that_differs_in_its_last_character(key):
    key.text = key.text[:-1] + ("a" if key.text[-1] != "a" else "b")
    with pytest.raises(NotAuthenticated):
        by_key(key)


@pytest.mark.parametrize("text", ["ap_", "x", "ap_'; DROP TABLE accounts_apikey; --", "é" * 50, "\x00"])
def test_refuses_what_is_no_key(db, text):
    with pytest.raises(NotAuthenticated):
        actor_from_headers({"x-api-key": text}, "")


def test_refuses_a_revoked_key(workspace):
    with pytest.raises(NotAuthenticated):
        by_key(ApiKeyFactory(workspace=workspace, revoked_at=timezone.now()))


def test_refuses_an_expired_key(workspace):
    with pytest.raises(NotAuthenticated):
        by_key(ApiKeyFactory(workspace=workspace, expires_at=timezone.now() - timedelta(seconds=1)))


def test_refuses_the_key_of_somebody_who_left(key):
    Membership.objects.filter(user=key.user).delete()
    with pytest.raises(NotAuthenticated):
        by_key(key)


def test_refuses_the_key_of_an_inactive_user(key):
    key.user.is_active = False
    key.user.save()
    with pytest.raises(NotAuthenticated):
        by_key(key)


def test_keeps_a_key_in_its_workspace(key, other_workspace):
    MembershipFactory(user=key.user, workspace=other_workspace)
    with pytest.raises(NotFound):
        by_key(key, **{"x-workspace": "other"})


def test_notes_the_use_of_a_key(key):
    by_key(key)
    key.refresh_from_db()
    assert key.last_used_at is not None


def test_notes_the_use_once_a_minute(key):
    by_key(key)
    with CaptureQueriesContext(connection) as queries:
        by_key(key)
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]


def test_notes_the_use_again_after_a_minute(key):
    by_key(key)
    with (
        time_machine.travel(timezone.now() + timedelta(seconds=61)),
        CaptureQueriesContext(connection) as queries,
    ):
        by_key(key)
    assert [query for query in queries if query["sql"].startswith("UPDATE")]


# What it costs


def test_asks_the_database_once_for_a_key(key):
    by_key(key)
    with CaptureQueriesContext(connection) as queries:
        by_key(key)
    assert len(queries) == 1


def test_asks_the_database_once_for_a_token(alice):
    with CaptureQueriesContext(connection) as queries:
        by_token(alice)
    assert len(queries) == 1


def test_asks_the_database_twice_for_a_user_without_a_workspace(db):
    user = UserFactory()
    with CaptureQueriesContext(connection) as queries, pytest.raises(PermissionDenied):
        by_token(user)
    assert len(queries) == 2


# URLs


@pytest.mark.parametrize(
    "query",
    ["token=x", "access_token=x", "jwt=x", "Authorization=x", "anything=ap_0123456789", "q=eyJhbGciOi.e30.x"],
)
def test_refuses_a_credential_in_the_url(alice, query):
    request = RequestFactory().get(
        f"/?{query}", headers={"Authorization": f"Bearer {AccessToken.for_user(alice)}"}
    )
    with pytest.raises(NotAuthenticated, match="URL"):
        actor_from_request(request)


def test_lets_filters_and_tickets_pass():
    refuse_credentials_in_url({"api_key": "nightly", "ticket": "abc", "search": "token"})


def test_refuses_a_credential_in_the_url_over_rest(api, alice):
    assert api(alice).get("/auth/me?token=abc").status_code == 401


# Sessions of the admin


def test_knows_who_is_signed_in_to_the_admin(alice, workspace):
    assert actor_from_session(alice, workspace.pk).role == Role.ADMIN


def test_lets_a_superuser_act_as_admin_anywhere(workspace):
    actor = actor_from_session(UserFactory(is_superuser=True), workspace.pk)
    assert (actor.role, actor.membership_id) == (Role.ADMIN, None)


def test_does_not_let_charlie_act_in_a_foreign_workspace(charlie, workspace):
    with pytest.raises(NotFound):
        actor_from_session(charlie, workspace.pk)


# Looking again, for sockets


def test_finds_nothing_changed(alice):
    actor = by_token(alice)
    assert refresh(actor) == actor


def test_finds_another_role(alice):
    actor = by_token(alice)
    alice.memberships.update(role=Role.VIEWER)
    assert refresh(actor).role == Role.VIEWER


def test_finds_that_a_member_left(alice):
    actor = by_token(alice)
    alice.memberships.all().delete()
    assert refresh(actor) is None


def test_finds_that_a_user_was_deactivated(alice):
    actor = by_token(alice)
    alice.is_active = False
    alice.save()
    assert refresh(actor) is None


def test_finds_that_the_password_changed(alice):
    actor = by_token(alice)
    change_password(alice, "another password")
    assert refresh(actor) is None


def test_finds_that_the_token_ended(alice):
    actor = by_token(alice)
    with time_machine.travel(timezone.now() + timedelta(minutes=31)):
        assert refresh(actor) is None


def test_finds_that_a_key_was_revoked(key):
    actor = by_key(key)
    key.revoked_at = timezone.now()
    key.save()
    assert refresh(actor) is None


def test_finds_that_a_key_still_works(key):
    actor = by_key(key)
    assert refresh(actor) == actor


def test_finds_a_superuser_still_there(workspace):
    actor = actor_from_session(UserFactory(is_superuser=True), workspace.pk)
    assert refresh(actor) == actor


def test_finds_a_superuser_reduced(workspace):
    root = UserFactory(is_superuser=True)
    actor = actor_from_session(root, workspace.pk)
    root.is_superuser = False
    root.save()
    assert refresh(actor) is None


def test_does_not_make_an_admin_of_a_superuser_who_was_a_member(alice):
    alice.is_superuser = True
    alice.save()
    actor = by_token(alice)
    alice.memberships.all().delete()
    assert refresh(actor) is None
