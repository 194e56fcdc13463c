"""Tickets: single use, thirty seconds, and no wider than who asked for them."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from accounts.actors import superuser_actor
from accounts.authentication import actor_from_headers, actor_from_ticket
from accounts.models import Ticket
from accounts.tickets import issue_ticket
from accounts.tokens import change_password
from agentplatform.lib.errors import NotAuthenticated, PermissionDenied
from tests.factories import ApiKeyFactory, UserFactory


@pytest.fixture
def ticket(api, alice):
    return api(alice).post("/auth/ticket").json()["ticket"]


def test_says_how_long_it_lasts(api, alice):
    assert api(alice).post("/auth/ticket").json()["expires_in"] == 30


def test_stands_for_who_asked(ticket, alice):
    assert actor_from_ticket(ticket).user_id == alice.pk


def test_ends_when_the_token_that_asked_ends(ticket):
    assert (
        timedelta(minutes=29) < actor_from_ticket(ticket).expires_at - timezone.now() < timedelta(minutes=31)
    )


def test_works_once(ticket):
    actor_from_ticket(ticket)
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(ticket)


@pytest.mark.django_db(transaction=True)
def test_works_once_for_many_who_try_together(ticket):
    outcomes = []

    def take():
        try:
            outcomes.append(actor_from_ticket(ticket).username)
        except NotAuthenticated:
            outcomes.append("refused")
        connections.close_all()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["alice", "refused", "refused", "refused"]


def test_ends_after_thirty_seconds(ticket):
    Ticket.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(ticket)


@pytest.mark.parametrize("text", ["", "x", "é", "\x00"])
def test_refuses_what_is_no_ticket(db, text):
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(text)


def test_is_stored_hashed(ticket):
    assert ticket not in str(Ticket.objects.values())


def test_carries_a_keys_scopes(api, workspace):
    key = ApiKeyFactory(workspace=workspace, scopes=["read:agent"])
    ticket = api(key).post("/auth/ticket").json()["ticket"]
    assert actor_from_ticket(ticket).permissions == {"read:agent"}


def test_ends_with_the_key_that_asked(workspace):
    key = ApiKeyFactory(workspace=workspace)
    ticket = issue_ticket(actor_from_headers({"x-api-key": key.text}, ""))
    key.revoked_at = timezone.now()
    key.save()
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(ticket)


def test_ends_with_the_password(ticket, alice):
    change_password(alice, "another password")
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(ticket)


def test_ends_with_the_user(ticket, alice):
    alice.is_active = False
    alice.save()
    with pytest.raises(NotAuthenticated):
        actor_from_ticket(ticket)


def test_is_for_members(workspace):
    root = UserFactory(is_superuser=True)
    with pytest.raises(PermissionDenied):
        issue_ticket(superuser_actor(root, workspace))


def test_needs_a_workspace(api, db):
    assert api(UserFactory()).post("/auth/ticket").status_code == 403
