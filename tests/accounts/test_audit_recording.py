"""What the audit log tells, of whom, and what it never tells."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse

from accounts import audit
from accounts.audit import Action, AuditEntry, Thing
from accounts.audit.models import PLATFORM, AuditName
from accounts.models import User
from accounts.pseudonyms import pseudonym
from agentplatform.lib.errors import Conflict
from runs import commands
from runs.commands import RunRequest
from tests.factories import (
    PASSWORD,
    AgentFactory,
    ApiKeyFactory,
    AuditEntryFactory,
    ScheduleFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


def entries(**lookups) -> list[AuditEntry]:
    rows = AuditEntry.objects.select_related("user_name", "api_key_name", "subject_name")
    return list(rows.filter(**lookups).order_by("id"))


def last(**lookups) -> AuditEntry:
    return entries(**lookups)[-1]


@pytest.fixture
def root(db):
    return UserFactory(username="root", is_superuser=True, is_staff=True)


@pytest.fixture
def browser(root):
    client = Client()
    client.force_login(root)
    return client


# where it comes from


def test_tells_the_answers_request_id(api, alice):
    answer = api(alice).post("/auth/api-keys", {"name": "robot"})
    assert last(action="created").request_id == answer.headers["X-Request-ID"]


def test_tells_the_address_behind_our_proxies(api, alice, settings):
    settings.TRUSTED_PROXIES = 1
    api(alice).post("/auth/api-keys", {"name": "robot"}, headers={"X-Forwarded-For": "10.0.0.1, 203.0.113.7"})
    assert last(action="created").address == "203.0.113.7"


def test_tells_a_page_from_a_program(alice):
    client = Client(enforce_csrf_checks=False)
    client.force_login(alice)
    client.get("/sign-in/")
    session = client.post("/sign-out/")
    assert session.status_code == 302
    assert last(action=Action.SIGNED_OUT).via == "browser"


def test_says_that_the_platform_did_it_by_itself(actor, alice, workspace):
    agent = AgentFactory(workspace=workspace)
    commands.start_run(actor(alice), RunRequest([{"role": "user", "content": "Hi"}], agent=agent.name))
    assert (last().via, last().user_id) == ("system", alice.pk)


# sign-ins


def test_tells_of_a_sign_in(api, alice, workspace):
    api().post("/auth/login", {"username": "alice", "password": PASSWORD})
    entry = last()
    assert (entry.action, str(entry.user_name), entry.workspace_id) == ("signed_in", "alice", workspace.pk)


def test_tells_of_a_wrong_password_without_saying_who_it_was(api, alice, workspace):
    api().post("/auth/login", {"username": "alice", "password": "wrong"})
    entry = last()
    assert (entry.action, entry.outcome, entry.user_id, entry.subject_id) == (
        "sign_in_failed",
        "refused",
        None,
        alice.pk,
    )


def test_keeps_no_unknown_name(api, alice):
    """It may be a password."""
    api().post("/auth/login", {"username": "a password by mistake", "password": "wrong"})
    assert (last().workspace_id, last().subject_name, AuditName.objects.count()) == (PLATFORM, None, 0)


@pytest.mark.parametrize("page", ["/sign-in/", "/admin/login/"])
def test_tells_of_a_sign_in_by_a_form(page, root):
    Client().post(page, {"username": "root", "password": PASSWORD})
    assert [entry.action for entry in entries()] == ["signed_in"]


def test_tells_of_a_failed_sign_in_by_a_form(root):
    Client().post("/sign-in/", {"username": "root", "password": "wrong"})
    assert (last().action, last().subject_id) == ("sign_in_failed", root.pk)


def test_tells_each_workspace_of_its_members_sign_in(api, alice, other_workspace):
    other_workspace.memberships.create(user=alice, role="viewer")
    api().post("/auth/login", {"username": "alice", "password": PASSWORD})
    assert len({entry.workspace_id for entry in entries(action="signed_in")}) == 2


# before and after


def test_tells_the_changed_fields_of_a_configuration(api, alice, workspace):
    agent = AgentFactory(workspace=workspace, name="writer", system_prompt="Be brief.")
    api(alice).patch(f"/agents/{agent.pk}", {"system_prompt": "Be kind."})
    entry = last(resource_type="Agent")
    assert (entry.before, entry.after) == ({"system_prompt": "Be brief."}, {"system_prompt": "Be kind."})


def test_tells_the_fields_of_a_new_configuration_by_their_names(api, alice):
    api(alice).post("/models", {"name": "gpt", "provider": "openai", "model": "any"})
    entry = last(resource_type="Model")
    assert (entry.before, entry.after["name"], "" in entry.after) == (None, "gpt", False)


def test_tells_only_that_a_secret_was_changed(api, alice):
    api(alice).post(
        "/models", {"name": "gpt", "provider": "openai", "model": "any", "api_key": "a-secret-key-1"}
    )
    api(alice).patch("/models/gpt", {"api_key": "another-secret-key-2"})
    entry = last(resource_type="Model")
    assert (entry.before, entry.after) == ({"api_key": "••••"}, {"api_key": "••••"})


def test_hides_what_is_named_like_a_secret(workspace):
    audit.record(
        Action.UPDATED, Thing("Thing"), after={"headers": {"X-Api-Key": "abc", "Accept": "text/html"}}
    )
    assert last().after == {"headers": {"X-Api-Key": "••••", "Accept": "text/html"}}


def test_hides_what_a_url_has_of_secrets(workspace):
    audit.record(Action.UPDATED, Thing("Thing"), after={"url": "https://bob:pw@example.com/a?key=abc&b="})
    assert last().after == {"url": "https://example.com/a?key=••••&b=••••"}


def test_hides_texts_that_no_model_has_said_to_be_fit(workspace, alice):
    schedule = ScheduleFactory(workspace=workspace, user=alice, end_user="Carol", input={"messages": []})
    told = audit.state_of(schedule)
    assert (told["name"], told["end_user"], told["input"], told["enabled"]) == (
        schedule.name,
        "••••",
        "••••",
        True,
    )


def test_cuts_long_texts(workspace):
    audit.record(Action.UPDATED, Thing("Thing"), after={"text": "x" * 5000})
    assert last().after == {"text": f"{'x' * 1000}… (5000 characters)"}


def test_keeps_no_more_than_it_has_room_for(workspace):
    audit.record(Action.UPDATED, Thing("Thing"), after={"size": 1, "many": ["y" * 900] * 100})
    assert last().after == {"size": 1, "many": "…"}


def test_tells_the_roles_of_a_member(api, alice, bob):
    api(alice).patch("/workspaces/acme/members/bob", {"role": "operator"})
    entry = last()
    assert (entry.before, entry.after, str(entry.subject_name)) == (
        {"role": "user"},
        {"role": "operator"},
        "bob",
    )


def test_tells_nothing_of_what_was_undone(actor, alice, workspace):
    with transaction.atomic():
        audit.record(Action.CREATED, Thing("Thing"), actor=actor(alice))
        transaction.set_rollback(True)
    assert entries() == []


# people who are erased


def test_keeps_the_entry_and_forgets_the_name(workspace, bob):
    entry = AuditEntryFactory(workspace=workspace, user_id=bob.pk, user="bob")
    audit.erase_names(bob.pk, workspace.pk)
    assert str(AuditEntry.objects.get(pk=entry.pk).user_name) == pseudonym(bob.pk)


def test_writes_the_pseudonym_of_whoever_was_erased_before(workspace, bob):
    AuditEntryFactory(workspace=workspace, user_id=bob.pk, user="bob")
    audit.erase_names(bob.pk, workspace.pk)
    assert str(AuditEntryFactory(workspace=workspace, user_id=bob.pk, user="bob").user_name) == pseudonym(
        bob.pk
    )


def test_forgets_the_names_of_their_keys(workspace, bob):
    key = ApiKeyFactory(workspace=workspace, user=bob, name="bobs robot")
    audit.record(Action.REVOKED, audit.key(key))
    audit.erase_names(bob.pk, workspace.pk)
    assert str(last().subject_name) == pseudonym(bob.pk)


def test_has_no_name_left_of_a_member_who_was_erased(api, alice, bob):
    api(alice).patch("/workspaces/acme/members/bob", {"role": "operator"})
    api().post("/auth/login", {"username": "bob", "password": PASSWORD})
    assert api(alice).post("/workspaces/acme/members/bob/erase", {"confirm": "bob"}).status_code == 200
    assert not AuditName.objects.filter(name="bob").exists()


def test_tells_of_the_erasure_under_the_pseudonym(api, alice, bob):
    api(alice).post("/workspaces/acme/members/bob/erase", {"confirm": "bob"})
    assert str(last(action="erased").subject_name) == pseudonym(bob.pk)


def test_has_no_name_in_the_row_itself(workspace):
    AuditEntryFactory(workspace=workspace)
    assert list(AuditEntry.objects.values_list("user", "api_key", "subject")) == [("", "", "")]


# append-only


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditentry SET action = 'read'", "DELETE FROM accounts_auditentry"]
)
def test_refuses_changes_by_sql(workspace, statement):
    AuditEntryFactory(workspace=workspace)
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.parametrize("change", [lambda entry: entry.save(), lambda entry: entry.delete()])
def test_refuses_changes_by_code(workspace, change):
    with pytest.raises(Conflict, match="append-only"):
        change(AuditEntryFactory(workspace=workspace))


# the admin

NO_INLINES = {
    f"{name}-{count}": 0
    for name in ("memberships", "provider_accounts")
    for count in ("TOTAL_FORMS", "INITIAL_FORMS")
}


def test_tells_what_an_admins_form_has_changed(browser, alice, workspace):
    page = reverse("admin:accounts_user_change", args=[alice.pk])
    form = {"username": "alice", "email": "new@example.com", "is_active": "on", "is_staff": "on"}
    assert browser.post(page, form | {"first_name": "", "last_name": ""} | NO_INLINES).status_code == 302
    entry = last()
    told = {name: entry.after[name] for name in ("email", "is_staff")}
    assert (entry.action, entry.via, told) == ("updated", "admin", {"email": "••••", "is_staff": True})


def test_tells_of_a_deletion_in_the_admin(browser, bob):
    browser.post(reverse("admin:accounts_user_delete", args=[bob.pk]), {"post": "yes"})
    assert not User.objects.filter(pk=bob.pk).exists()
    assert (last().action, last().subject_id) == ("deleted", bob.pk)


def test_tells_of_an_action_on_a_selection(browser, workspace, alice):
    key = ApiKeyFactory(workspace=workspace, user=alice)
    chosen = {"action": "revoke", "_selected_action": [key.pk], "confirmed": "yes"}
    browser.post(reverse("admin:accounts_apikey_changelist"), chosen)
    assert (last().action, last().resource_id, last().via) == ("revoked", key.pk, "admin")


def test_tells_nothing_of_a_form_with_faults(browser, alice):
    browser.post(reverse("admin:accounts_user_change", args=[alice.pk]), {"username": ""})
    assert entries() == []


def test_leads_from_an_objects_page_to_its_history(browser, workspace):
    answer = browser.get(reverse("admin:accounts_workspace_history", args=[workspace.pk]))
    assert (
        answer.headers["Location"]
        == f"{reverse('admin:accounts_auditentry_changelist')}?resource_id={workspace.pk}"
    )


def test_shows_an_objects_history(browser, workspace):
    entry, other = (
        AuditEntryFactory(workspace=workspace),
        AuditEntryFactory(workspace=workspace, resource_name="other"),
    )
    page = browser.get(f"{reverse('admin:accounts_auditentry_changelist')}?resource_id={entry.resource_id}")
    content = page.content.decode()
    assert (entry.resource_name in content, other.resource_name + "<" in content) == (True, False)


def test_shows_what_was_changed(browser, workspace):
    entry = AuditEntryFactory(workspace=workspace, before={"tags": ["<b>"]}, after={"tags": []})
    content = browser.get(reverse("admin:accounts_auditentry_change", args=[entry.pk])).content.decode()
    assert "&lt;b&gt;" in content


@pytest.mark.parametrize("term", ["trade-assistant", "bob", "kind"])
def test_is_searched_in_the_admin(browser, workspace, term):
    AuditEntryFactory(workspace=workspace)
    content = browser.get(f"{reverse('admin:accounts_auditentry_changelist')}?q={term}").content.decode()
    assert "203.0.113.7" in content


# commands


def test_tells_which_command_it_was(bob, alice):
    call_command("erase_user", "bob", "--yes")
    entry = last(action="erased")
    assert (entry.via, entry.path, entry.user_id) == ("command", "manage.py erase_user", None)


def test_tells_of_a_command_that_tells_nothing_itself(db):
    call_command("rotate_secrets")
    assert (last().action, last().workspace_id) == ("command_run", PLATFORM)


def test_tells_nothing_of_a_command_that_does_nothing(db):
    call_command("erase_user", "nobody", "--yes")
    assert entries() == []


def test_tells_of_a_new_superuser(db):
    call_command("createsuperuser", "--noinput", username="boss", email="boss@example.com")
    assert (last().action, last().after) == ("created", {"is_superuser": True})
