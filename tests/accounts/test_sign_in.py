"""Signing in, staying signed in, and signing out."""

from __future__ import annotations

import threading

import pytest
import time_machine
from django.db import connections
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from tests.factories import PASSWORD, ApiKeyFactory, UserFactory


@pytest.fixture
def pair(api, alice):
    """Alice's tokens."""
    return api().post("/auth/login", {"username": "alice", "password": PASSWORD}).json()


def bearer(api, token):
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_answers_a_token_pair(pair):
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 1800)


def test_answers_the_user_and_its_workspaces(pair):
    assert (pair["user"]["username"], pair["workspaces"]) == (
        "alice",
        [{"slug": "acme", "name": "Acme", "role": "admin"}],
    )


def test_gives_a_token_that_opens_the_api(api, pair):
    assert bearer(api, pair["access"]).get("/auth/me").status_code == 200


def test_notes_the_last_login(pair, alice):
    alice.refresh_from_db()
    assert alice.last_login is not None


@pytest.mark.parametrize(
    "body", [{"username": "alice", "password": "wrong"}, {"username": "ghost", "password": "x"}]
)
def test_refuses_a_wrong_name_or_password_alike(api, alice, body):
    response = api().post("/auth/login", body)
    assert (response.status_code, response.json()["error"]["message"]) == (
        401,
        "The user name or the password is wrong, or the account is not active.",
    )


def test_refuses_an_inactive_account(api, db):
    UserFactory(username="gone", is_active=False)
    assert api().post("/auth/login", {"username": "gone", "password": PASSWORD}).status_code == 401


def test_names_missing_and_unknown_fields(api, db):
    details = api().post("/auth/login", {"user": "alice"}).json()["error"]["details"]
    assert {entry["field"] for entry in details} == {"user", "username", "password"}


def test_keeps_spaces_in_a_password(api, db):
    user = UserFactory(username="spacious")
    user.set_password("  spaces count  ")
    user.save()
    assert (
        api().post("/auth/login", {"username": "spacious", "password": "  spaces count  "}).status_code == 200
    )


def test_challenges_with_the_scheme(api, db):
    assert api().get("/auth/me").headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_is_open_to_somebody_with_a_stale_token(api, alice):
    response = bearer(api, "stale").post("/auth/login", {"username": "alice", "password": PASSWORD})
    assert response.status_code == 200


def test_exchanges_a_refresh_token_for_a_new_pair(api, pair):
    fresh = api().post("/auth/refresh", {"refresh": pair["refresh"]}).json()
    assert bearer(api, fresh["access"]).get("/auth/me").status_code == 200


def test_takes_a_refresh_token_once(api, pair):
    api().post("/auth/refresh", {"refresh": pair["refresh"]})
    assert api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_gives_one_of_two_simultaneous_exchanges_a_pair(api, pair):
    statuses = []

    def exchange():
        statuses.append(api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code)
        connections.close_all()

    threads = [threading.Thread(target=exchange) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 401, 401, 401]


def test_does_not_take_an_access_token_for_a_refresh_token(api, pair):
    assert api().post("/auth/refresh", {"refresh": pair["access"]}).status_code == 401


def test_does_not_take_a_refresh_token_for_an_access_token(api, pair):
    assert bearer(api, pair["refresh"]).get("/auth/me").status_code == 401


def test_does_not_refresh_an_account_that_is_no_longer_active(api, pair, alice):
    alice.is_active = False
    alice.save()
    assert api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_does_not_refresh_an_account_that_is_gone(api, pair, alice):
    alice.delete()
    assert api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_stores_no_refresh_token(pair):
    assert OutstandingToken.objects.get().token == ""


def test_ends_the_refresh_token_at_logout(api, pair):
    assert api().post("/auth/logout", {"refresh": pair["refresh"]}).status_code == 204
    assert api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


@pytest.mark.parametrize("token", ["", "garbage"])
def test_says_little_of_a_token_that_has_no_form(api, db, token):
    assert api().post("/auth/logout", {"refresh": token}).status_code in (204, 422)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_verifies_either_kind(api, pair, kind):
    answer = api().post("/auth/verify", {"token": pair[kind]}).json()
    assert (answer["valid"], answer["token_type"], answer["username"]) == (True, kind, "alice")


def test_does_not_verify_garbage(api, db):
    assert api().post("/auth/verify", {"token": "garbage"}).status_code == 401


def test_ends_an_access_token_after_half_an_hour(api, alice):
    with time_machine.travel("2026-11-20T10:00:00Z", tick=False) as time:
        access = api().post("/auth/login", {"username": "alice", "password": PASSWORD}).json()["access"]
        time.shift(1799)
        assert bearer(api, access).get("/auth/me").status_code == 200
        time.shift(2)
        assert bearer(api, access).get("/auth/me").status_code == 401


def test_says_who_one_is(api, bob):
    answer = api(bob).get("/auth/me").json()
    assert (answer["username"], answer["workspace"], answer["role"]) == ("bob", "acme", "user")


def test_says_what_one_may_do(api, bob):
    assert "execute:agent" in api(bob).get("/auth/me").json()["permissions"]


def test_lists_ones_workspaces(api, bob):
    workspaces = api(bob).get("/auth/me").json()["workspaces"]
    assert workspaces == [{"slug": "acme", "name": "Acme", "role": "user"}]


def test_names_the_key_that_was_sent(api, workspace):
    assert (
        api(ApiKeyFactory(workspace=workspace, name="nightly")).get("/auth/me").json()["api_key"] == "nightly"
    )


def test_knows_a_user_without_any_workspace(api, db):
    answer = api(UserFactory()).get("/auth/me").json()
    assert (answer["workspace"], answer["permissions"]) == (None, [])


NEW = "a much better horse"


def change(client, current=PASSWORD, new=NEW):
    return client.post("/auth/password", {"current_password": current, "new_password": new})


def test_changes_the_password(api, alice):
    change(api(alice))
    alice.refresh_from_db()
    assert alice.check_password(NEW)


def test_ends_older_access_tokens_with_the_password(api, pair, alice):
    change(api(alice))
    assert bearer(api, pair["access"]).get("/auth/me").status_code == 401


def test_ends_older_refresh_tokens_with_the_password(api, pair, alice):
    change(api(alice))
    assert api().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_goes_on_with_the_pair_that_it_answers(api, alice):
    fresh = change(api(alice)).json()
    assert bearer(api, fresh["access"]).get("/auth/me").status_code == 200


def test_asks_for_the_present_password(api, alice):
    response = change(api(alice), current="wrong")
    assert response.json()["error"]["details"][0]["field"] == "current_password"


@pytest.mark.parametrize("new", ["short", "12345678901", "password123", "alice@example.com"])
def test_refuses_a_weak_password(api, alice, new):
    response = change(api(alice), new=new)
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, "new_password")


def test_lets_no_api_key_change_the_password(api, workspace):
    assert change(api(ApiKeyFactory(workspace=workspace))).status_code == 403
