"""API keys over REST: shown once, narrowed, listed to their owner, revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from agentplatform.lib.secrets import token_hash
from tests.factories import ApiKeyFactory


def create(client, **body):
    return client.post("/auth/api-keys", {"name": "nightly", **body})


def test_shows_the_key_once(api, alice):
    answer = create(api(alice)).json()
    assert answer["key"].startswith("ap_")
    assert "key" not in api(alice).get("/auth/api-keys").json()["items"][0]


def test_answers_created(api, alice):
    assert create(api(alice)).status_code == 201


def test_stores_a_hash(api, alice):
    text = create(api(alice)).json()["key"]
    assert ApiKey.objects.get().hash == token_hash(text)


def test_starts_with_the_prefix_that_is_shown(api, alice):
    answer = create(api(alice)).json()
    assert answer["key"].startswith(answer["prefix"])


def test_makes_a_key_that_works(api, alice):
    text = create(api(alice)).json()["key"]
    client = api()
    client.credentials(HTTP_X_API_KEY=text)
    assert client.get("/auth/me").json()["username"] == "alice"


def test_belongs_to_who_made_it(api, bob):
    assert create(api(bob)).json()["user"] == "bob"


def test_takes_scopes_that_one_has(api, bob):
    assert create(api(bob), scopes=["read:agent"]).json()["scopes"] == ["read:agent"]


def test_refuses_scopes_that_one_lacks(api, bob):
    response = create(api(bob), scopes=["write:agent"])
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, "scopes")


def test_refuses_scopes_that_there_are_not(api, alice):
    assert create(api(alice), scopes=["read:minds"]).status_code == 422


def test_refuses_an_end_in_the_past(api, alice):
    response = create(api(alice), expires_at=(timezone.now() - timedelta(days=1)).isoformat())
    assert response.json()["error"]["details"][0]["field"] == "expires_at"


def test_does_not_take_another_owner(api, alice, bob):
    assert create(api(alice), user="bob").json()["user"] == "alice"


@pytest.fixture
def narrow_key(workspace, alice):
    end = timezone.now() + timedelta(days=1)
    return ApiKeyFactory(
        workspace=workspace, user=alice, scopes=["write:api-key", "read:agent"], expires_at=end
    )


def test_inherits_the_scopes_of_the_key_that_makes_it(api, narrow_key):
    assert create(api(narrow_key)).json()["scopes"] == ["read:agent", "write:api-key"]


def test_cannot_be_wider_than_the_key_that_makes_it(api, narrow_key):
    assert create(api(narrow_key), scopes=["write:agent"]).status_code == 422


def test_cannot_outlive_the_key_that_makes_it(api, narrow_key):
    create(api(narrow_key), expires_at=(timezone.now() + timedelta(days=9)).isoformat())
    assert ApiKey.objects.exclude(pk=narrow_key.pk).get().expires_at == narrow_key.expires_at


def test_lists_ones_own_keys(api, bob, workspace):
    ApiKeyFactory(workspace=workspace, name="somebody's")
    ApiKeyFactory(workspace=workspace, user=bob, name="bob's")
    assert [key["name"] for key in api(bob).get("/auth/api-keys").json()["items"]] == ["bob's"]


def test_lists_all_keys_to_admins(api, alice, workspace):
    ApiKeyFactory(workspace=workspace)
    ApiKeyFactory(workspace=workspace)
    assert api(alice).get("/auth/api-keys").json()["total"] == 2


def test_lists_no_keys_of_another_workspace(api, charlie, workspace):
    ApiKeyFactory(workspace=workspace)
    assert api(charlie).get("/auth/api-keys").json()["total"] == 0


def test_filters_what_was_revoked(api, alice, workspace):
    ApiKeyFactory(workspace=workspace, revoked_at=timezone.now())
    live = ApiKeyFactory(workspace=workspace)
    items = api(alice).get("/auth/api-keys?revoked=false").json()["items"]
    assert [item["id"] for item in items] == [str(live.pk)]


def test_revokes_a_key(api, bob, workspace):
    key = ApiKeyFactory(workspace=workspace, user=bob)
    assert api(bob).delete(f"/auth/api-keys/{key.pk}").status_code == 204
    assert api(key).get("/auth/me").status_code == 401


def test_keeps_the_time_of_the_first_revocation(api, bob, workspace):
    first = timezone.now() - timedelta(days=1)
    key = ApiKeyFactory(workspace=workspace, user=bob, revoked_at=first)
    api(bob).delete(f"/auth/api-keys/{key.pk}")
    key.refresh_from_db()
    assert key.revoked_at == first


def test_lets_bob_revoke_nobody_elses(api, bob, workspace):
    key = ApiKeyFactory(workspace=workspace)
    response = api(bob).delete(f"/auth/api-keys/{key.pk}")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "ApiKeyNotFound")


def test_lets_an_admin_revoke_a_members_key(api, alice, workspace):
    assert api(alice).delete(f"/auth/api-keys/{ApiKeyFactory(workspace=workspace).pk}").status_code == 204


def test_lets_a_stranger_revoke_nothing(api, charlie, workspace):
    key = ApiKeyFactory(workspace=workspace)
    assert api(charlie).delete(f"/auth/api-keys/{key.pk}").status_code == 404


def test_needs_the_scope(api, workspace):
    assert create(api(ApiKeyFactory(workspace=workspace, scopes=["read:agent"]))).status_code == 403
