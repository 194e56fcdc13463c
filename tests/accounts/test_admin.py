"""Users, workspaces and keys in the admin, in its pages."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.test import Client, RequestFactory
from django.urls import reverse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import ApiKey, Membership, User, Workspace
from accounts.roles import Role
from tests.factories import ApiKeyFactory, MembershipFactory, UserFactory


def browser(user, **changes):
    """A browser in which `user`, made a member of the staff, is signed in."""
    User.objects.filter(pk=user.pk).update(is_staff=True, **changes)
    client = Client()
    client.force_login(User.objects.get(pk=user.pk))
    return client


@pytest.fixture
def root(db):
    return UserFactory(username="root", is_superuser=True)


def url(model, page, *args):
    return reverse(f"admin:accounts_{model}_{page}", args=args)


def test_is_closed_to_members_who_are_not_staff(alice):
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("admin:index")).status_code == 302


def test_shows_staff_without_a_role_no_rooms(db):
    request = RequestFactory().get("/admin/")
    request.user = UserFactory(is_staff=True)
    assert admin.site.get_app_list(request) == []


@pytest.mark.parametrize("model", ["user", "workspace", "apikey"])
@pytest.mark.parametrize("page", ["changelist", "add"])
def test_opens_every_page_to_superusers(root, workspace, model, page):
    assert browser(root).get(url(model, page)).status_code == 200


def test_opens_every_change_page_to_superusers(root, alice, workspace):
    client, key = browser(root), ApiKeyFactory(workspace=workspace)
    pages = [
        url("user", "change", alice.pk),
        url("workspace", "change", workspace.pk),
        url("apikey", "change", key.pk),
    ]
    assert {client.get(page).status_code for page in pages} == {200}


def test_keeps_users_to_superusers(alice):
    assert browser(alice).get(url("user", "changelist")).status_code == 403


def test_lists_workspaces_of_ones_own(alice, other_workspace):
    content = browser(alice).get(url("workspace", "changelist")).content.decode()
    assert "acme" in content
    assert "other" not in content.replace("another", "")


def test_does_not_open_a_foreign_workspace(alice, other_workspace):
    response = browser(alice).get(url("workspace", "change", other_workspace.pk))
    assert response.status_code == 302


@pytest.mark.parametrize("who", ["olivia", "vera"])
def test_lets_no_other_role_change_a_workspace(request, workspace, who):
    client = browser(request.getfixturevalue(who))
    client.post(
        url("workspace", "change", workspace.pk), {"name": "Mine", "currency": "USD", "time_zone": "UTC"}
    )
    workspace.refresh_from_db()
    assert workspace.name == "Acme"


@pytest.mark.parametrize(("who", "limit"), [("alice", None), ("root", 5)])
def test_lets_only_superusers_limit_a_workspaces_runs(request, workspace, alice, root, who, limit):
    """The limit protects the other tenants."""
    data = members_form(workspace, {}) | {"max_concurrent_runs": 5, "name": "Renamed"}
    browser(request.getfixturevalue(who)).post(url("workspace", "change", workspace.pk), data)
    workspace.refresh_from_db()
    assert (workspace.name, workspace.max_concurrent_runs) == ("Renamed", limit)


@pytest.mark.parametrize("who", ["alice", "olivia"])
def test_shows_the_limit_of_a_workspaces_runs(request, workspace, who):
    Workspace.objects.filter(pk=workspace.pk).update(max_concurrent_runs=4711)
    content = browser(request.getfixturevalue(who)).get(url("workspace", "change", workspace.pk)).content
    assert b"4711" in content or b"4,711" in content


def test_lets_its_admin_say_how_many_checkpoints_a_workspace_keeps(workspace, alice):
    data = members_form(workspace, {}) | {"kept_checkpoints": 20}
    browser(alice).post(url("workspace", "change", workspace.pk), data)
    workspace.refresh_from_db()
    assert workspace.kept_checkpoints == 20


def test_makes_the_maker_of_a_workspace_its_admin(alice):
    browser(alice).post(
        url("workspace", "add"), {"slug": "new-one", "name": "New", "currency": "USD", "time_zone": "UTC"}
    )
    assert Membership.objects.get(workspace__slug="new-one").user == alice


def members_form(workspace, changes):
    """The workspace page's form, with `changes` to its members as `{username: {field: value}}`."""
    members = list(Membership.objects.filter(workspace=workspace).select_related("user"))
    data = {
        "name": workspace.name,
        "currency": workspace.currency,
        "time_zone": workspace.time_zone,
        "memberships-TOTAL_FORMS": len(members),
        "memberships-INITIAL_FORMS": len(members),
    }
    for index, member in enumerate(members):
        values = {"id": member.pk, "workspace": workspace.pk, "user": member.user_id, "role": member.role}
        values |= changes.get(member.user.username, {})
        data |= {f"memberships-{index}-{name}": value for name, value in values.items()}
    return data


def test_changes_a_role(alice, bob, workspace):
    data = members_form(workspace, {"bob": {"role": "operator"}})
    browser(alice).post(url("workspace", "change", workspace.pk), data)
    assert bob.memberships.get().role == Role.OPERATOR


def test_removes_a_member_with_its_keys(alice, bob, workspace):
    key = ApiKeyFactory(workspace=workspace, user=bob)
    data = members_form(workspace, {"bob": {"DELETE": "on"}})
    browser(alice).post(url("workspace", "change", workspace.pk), data)
    key.refresh_from_db()
    assert (bob.memberships.exists(), key.revoked_at is None) == (False, False)


@pytest.mark.parametrize("change", [{"DELETE": "on"}, {"role": "user"}])
def test_keeps_the_last_admin_and_says_so(alice, bob, workspace, change):
    client = browser(alice)
    response = client.post(
        url("workspace", "change", workspace.pk), members_form(workspace, {"alice": change}), follow=True
    )
    assert alice.memberships.get().role == Role.ADMIN
    assert "left without an admin" in response.content.decode()


def test_keeps_the_last_admins_account(root, alice):
    response = browser(root).post(url("user", "delete", alice.pk), {"post": "yes"}, follow=True)
    assert User.objects.filter(pk=alice.pk).exists()
    assert "left without an admin" in response.content.decode()


def test_deletes_another_account(root, alice, bob):
    browser(root).post(url("user", "delete", bob.pk), {"post": "yes"})
    assert not User.objects.filter(pk=bob.pk).exists()


def test_makes_a_key_and_shows_it_once(alice, workspace):
    client = browser(alice)
    data = {"workspace": workspace.pk, "name": "nightly", "scopes": ["read:usage"]}
    shown = client.post(url("apikey", "add"), data, follow=True).content.decode()
    key = ApiKey.objects.get()
    assert (key.user, key.scopes) == (alice, ["read:usage"])
    assert shown.count(f"{key.prefix}") >= 1
    assert "not shown again" in shown
    assert "not shown again" not in client.get(url("apikey", "changelist")).content.decode()


def test_makes_no_key_for_who_is_no_member(root, workspace):
    client = browser(root)
    response = client.post(url("apikey", "add"), {"workspace": workspace.pk, "name": "x"}, follow=True)
    assert "Make yourself a member first" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_makes_no_key_wider_than_the_role(olivia, workspace):
    client = browser(olivia)
    client.post(url("apikey", "add"), {"workspace": workspace.pk, "name": "x", "scopes": ["write:member"]})
    assert not ApiKey.objects.exists()


def revoke(client, *keys, confirmed="yes"):
    chosen = {"action": "revoke", "_selected_action": [key.pk for key in keys]}
    return client.post(url("apikey", "changelist"), {**chosen, "confirmed": confirmed})


def test_asks_before_it_revokes_and_names_the_keys(alice, workspace):
    key = ApiKeyFactory(workspace=workspace, name="night shift")
    page = revoke(browser(alice), key, confirmed="").content.decode()
    assert "night shift" in page
    assert f'name="_selected_action" value="{key.pk}"' in page
    key.refresh_from_db()
    assert key.revoked_at is None


def test_shows_only_keys_that_one_may_revoke(olivia, workspace):
    mine, other = ApiKeyFactory(workspace=workspace, user=olivia, name="mine"), ApiKeyFactory(name="foreign")
    page = revoke(browser(olivia), mine, other, confirmed="").content.decode()
    assert "mine" in page
    assert "foreign" not in page


def test_revokes_keys(alice, workspace):
    key = ApiKeyFactory(workspace=workspace)
    revoke(browser(alice), key)
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_revokes_no_foreign_keys(alice, other_workspace):
    key = ApiKeyFactory(workspace=other_workspace)
    revoke(browser(alice), key)
    key.refresh_from_db()
    assert key.revoked_at is None


def test_shows_no_hash(root, workspace):
    key = ApiKeyFactory(workspace=workspace)
    assert key.hash not in browser(root).get(url("apikey", "change", key.pk)).content.decode()


def test_finds_no_foreign_rows_by_autocomplete(alice, workspace, other_workspace):
    MembershipFactory(workspace=other_workspace, user=UserFactory(username="zoe"))
    response = browser(alice).get(
        reverse("admin:autocomplete"),
        {"app_label": "accounts", "model_name": "membership", "field_name": "user", "term": "zoe"},
    )
    assert response.status_code == 403


@pytest.mark.parametrize("model", [Group, OutstandingToken, BlacklistedToken])
def test_leaves_out_what_grants_nothing(model):
    assert not admin.site.is_registered(model)


def test_lists_keys_without_a_query_for_each(root, workspace, django_assert_max_num_queries):
    for _ in range(10):
        ApiKeyFactory(workspace=workspace)
    client = browser(root)
    with django_assert_max_num_queries(15):
        client.get(url("apikey", "changelist"))


def test_counts_members_in_the_list(root, alice, bob):
    assert Workspace.objects.count() == 1
    assert browser(root).get(url("workspace", "changelist")).context["cl"].result_list[0].members_counted == 2
