"""Workspaces and their members: who may see, make and change them, and that an admin always stays."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from accounts.members import keeping_an_admin
from accounts.models import Membership, User, Workspace
from accounts.roles import Role
from agentplatform.lib.errors import Conflict
from tests.factories import ApiKeyFactory, MembershipFactory, UserFactory

NEW = {"slug": "new-one", "name": "New one"}


# Workspaces


def test_lists_ones_own(api, alice, other_workspace):
    assert [item["slug"] for item in api(alice).get("/workspaces").json()["items"]] == ["acme"]


def test_lists_a_key_its_own_alone(api, workspace, other_workspace):
    key = ApiKeyFactory(workspace=workspace)
    MembershipFactory(user=key.user, workspace=other_workspace)
    assert [item["slug"] for item in api(key).get("/workspaces").json()["items"]] == ["acme"]


def test_is_read_by_its_slug(api, bob):
    assert api(bob).get("/workspaces/acme").json()["name"] == "Acme"


def test_is_made_by_an_admin_who_becomes_its_admin(api, alice):
    assert api(alice).post("/workspaces", NEW).status_code == 201
    assert Membership.objects.get(workspace__slug="new-one").role == Role.ADMIN


def test_is_made_by_a_superuser_without_any_workspace(api, db):
    assert api(UserFactory(is_superuser=True)).post("/workspaces", NEW).status_code == 201


@pytest.mark.parametrize("who", ["olivia", "bob", "vera", "audrey"])
def test_is_made_by_nobody_else(api, request, who):
    assert api(request.getfixturevalue(who)).post("/workspaces", NEW).status_code == 403


def test_is_not_made_with_a_key_that_lacks_the_scope(api, alice, workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice, scopes=["read:agent"])
    assert api(key).post("/workspaces", NEW).status_code == 403


def test_has_a_time_zone_of_its_own(api, alice):
    answer = api(alice).patch("/workspaces/acme", {"time_zone": "Asia/Shanghai"})
    assert answer.json()["time_zone"] == "Asia/Shanghai"


@pytest.mark.parametrize("name", ["Mars/Olympus", "localtime", "", "../etc/passwd"])
def test_refuses_a_time_zone_that_there_is_not(api, alice, name):
    answer = api(alice).patch("/workspaces/acme", {"time_zone": name})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "time_zone")


@pytest.mark.parametrize("slug", ["Acme", "a b", "a--b", "-a", "ä", "x" * 64, ""])
def test_refuses_a_slug_that_does_not_fit_a_header(api, alice, slug):
    assert api(alice).post("/workspaces", {"slug": slug, "name": "X"}).status_code == 422


def test_refuses_a_slug_that_is_taken(api, alice):
    response = api(alice).post("/workspaces", {"slug": "acme", "name": "X"})
    assert response.json()["error"]["details"][0]["field"] == "slug"


@pytest.mark.parametrize("currency", ["usd", "US", "US1", "€€€"])
def test_refuses_what_is_no_currency(api, alice, currency):
    assert api(alice).patch("/workspaces/acme", {"currency": currency}).status_code == 422


def test_is_changed_by_its_admin(api, alice):
    assert (
        api(alice).patch("/workspaces/acme", {"name": "Acme Ltd", "currency": "EUR"}).json()["currency"]
        == "EUR"
    )


def test_keeps_its_slug(api, alice):
    assert api(alice).patch("/workspaces/acme", {"slug": "other"}).status_code == 422


def test_is_changed_by_nobody_else(api, olivia):
    assert api(olivia).patch("/workspaces/acme", {"name": "Mine"}).status_code == 403


@pytest.mark.parametrize("method", ["get", "patch"])
def test_does_not_exist_for_a_stranger(api, charlie, workspace, method):
    response = getattr(api(charlie), method)("/workspaces/acme", {})
    assert (response.status_code, response.json()["error"]["type"]) == (404, "WorkspaceNotFound")


def test_has_no_way_to_be_deleted(api, alice):
    assert api(alice).delete("/workspaces/acme").status_code == 405


# Members


def test_lists_members(api, alice, bob):
    items = api(alice).get("/workspaces/acme/members").json()["items"]
    assert [(item["user"]["username"], item["role"]) for item in items] == [
        ("alice", "admin"),
        ("bob", "user"),
    ]


def test_filters_members_by_role(api, alice, bob):
    items = api(alice).get("/workspaces/acme/members?role=user").json()["items"]
    assert [item["user"]["username"] for item in items] == ["bob"]


@pytest.mark.parametrize("identifier", ["username", "pk"])
def test_finds_a_member_by_name_or_id(api, alice, bob, identifier):
    answer = api(alice).get(f"/workspaces/acme/members/{getattr(bob, identifier)}").json()
    assert answer["user"]["username"] == "bob"


def test_adds_a_user_who_exists(api, alice):
    UserFactory(username="newcomer")
    response = api(alice).post("/workspaces/acme/members", {"username": "newcomer", "role": "viewer"})
    assert (response.status_code, response.json()["role"]) == (201, "viewer")


def test_shows_no_password_of_a_user_who_exists(api, alice):
    UserFactory(username="newcomer")
    answer = api(alice).post("/workspaces/acme/members", {"username": "newcomer", "role": "viewer"}).json()
    assert "password" not in answer


def test_makes_a_user_when_asked(api, alice):
    body = {"username": "newcomer", "role": "user", "create_user": True, "email": "n@example.com"}
    password = api(alice).post("/workspaces/acme/members", body).json()["password"]
    response = api().post("/auth/login", {"username": "newcomer", "password": password})
    assert response.json()["workspaces"][0]["slug"] == "acme"


def test_makes_no_user_by_a_slip(api, alice):
    response = api(alice).post("/workspaces/acme/members", {"username": "typo", "role": "user"})
    assert (response.status_code, User.objects.filter(username="typo").exists()) == (422, False)


def test_refuses_a_user_name_that_cannot_be(api, alice):
    body = {"username": "a b", "role": "user", "create_user": True}
    assert api(alice).post("/workspaces/acme/members", body).status_code == 422


def test_refuses_a_member_twice(api, alice, bob):
    response = api(alice).post("/workspaces/acme/members", {"username": "bob", "role": "admin"})
    assert (response.status_code, bob.memberships.get().role) == (409, Role.USER)


def test_refuses_an_unknown_role(api, alice, bob):
    assert api(alice).patch("/workspaces/acme/members/bob", {"role": "emperor"}).status_code == 422


def test_changes_a_role(api, alice, bob):
    assert api(alice).patch("/workspaces/acme/members/bob", {"role": "operator"}).json()["role"] == "operator"


def test_removes_a_member(api, alice, bob):
    assert api(alice).delete("/workspaces/acme/members/bob").status_code == 204
    assert api(bob).get("/auth/me").json()["workspace"] is None


def test_revokes_the_keys_of_who_is_removed(api, alice, bob, workspace):
    key = ApiKeyFactory(workspace=workspace, user=bob)
    api(alice).delete("/workspaces/acme/members/bob")
    MembershipFactory(workspace=workspace, user=bob)
    assert api(key).get("/auth/me").status_code == 401


def test_knows_no_member_of_another_workspace(api, alice, charlie):
    response = api(alice).get("/workspaces/acme/members/charlie")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "MemberNotFound")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/workspaces/acme/members"),
        ("post", "/workspaces/acme/members"),
        ("get", "/workspaces/acme/members/alice"),
        ("patch", "/workspaces/acme/members/alice"),
        ("delete", "/workspaces/acme/members/alice"),
    ],
)
def test_keeps_strangers_from_members(api, alice, charlie, method, path):
    assert getattr(api(charlie), method)(path, {}).status_code == 404


def test_acts_in_the_workspace_of_the_path_whatever_the_header_says(api, alice, other_workspace):
    MembershipFactory(user=alice, workspace=other_workspace, role=Role.VIEWER)
    response = api(alice, workspace="acme").get("/workspaces/other/members")
    assert response.status_code == 403


@pytest.mark.parametrize("method", ["delete", "patch"])
def test_keeps_the_last_admin(api, alice, bob, method):
    response = getattr(api(alice), method)("/workspaces/acme/members/alice", {"role": "user"})
    assert (response.status_code, alice.memberships.get().role) == (409, Role.ADMIN)


def test_does_not_count_an_inactive_admin(api, alice, workspace):
    MembershipFactory(workspace=workspace, role=Role.ADMIN, user=UserFactory(is_active=False))
    assert api(alice).delete("/workspaces/acme/members/alice").status_code == 409


def test_lets_an_admin_go_when_another_stays(api, alice, workspace):
    MembershipFactory(workspace=workspace, role=Role.ADMIN)
    assert api(alice).delete("/workspaces/acme/members/alice").status_code == 204


def test_undoes_what_left_no_admin(alice, workspace):
    with pytest.raises(Conflict), keeping_an_admin(workspace.pk):
        alice.memberships.all().delete()
    assert alice.memberships.exists()


@pytest.mark.django_db(transaction=True)
def test_keeps_one_of_two_admins_who_remove_each_other(api, alice, workspace):
    MembershipFactory(workspace=workspace, user=UserFactory(username="adam"), role=Role.ADMIN)
    clients, barrier, statuses = (
        {"adam": api(alice), "alice": api(User.objects.get(username="adam"))},
        threading.Barrier(2),
        [],
    )

    def remove(name):
        barrier.wait()
        statuses.append(clients[name].delete(f"/workspaces/acme/members/{name}").status_code)
        connections.close_all()

    threads = [threading.Thread(target=remove, args=[name]) for name in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Membership.objects.filter(workspace=workspace, role=Role.ADMIN).count() == 1


def test_answers_created_workspaces_to_their_admin_at_once(api, alice):
    client = api(alice)
    client.post("/workspaces", NEW)
    assert client.get("/workspaces/new-one").status_code == 200
    assert Workspace.objects.count() == 2
