"""Security events: what is one, who is told, and that an attack fills neither memory nor table."""

from __future__ import annotations

import queue
import uuid
from datetime import timedelta

import pytest
import standardwebhooks
import time_machine
from asgiref.sync import async_to_sync
from django.test import Client
from django.utils import timezone

from accounts import tasks
from accounts.security import Kind, SecurityEvent, delivery, note, noting
from accounts.security.writing import write_noted
from accounts.tokens import AccessToken
from agentplatform.lib.webhook_signing import new_secret
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.factories import PASSWORD, AgentFactory, ApiKeyFactory, SecurityEventFactory, UserFactory

HERE = "127.0.0.1"


def written() -> list[SecurityEvent]:
    write_noted()
    return list(SecurityEvent.objects.order_by("kind"))


def only() -> tuple[str, str, str, int]:
    """Kind, address, subject and times of the one event."""
    (event,) = written()
    return event.kind, event.address, event.subject, event.count


# what is one


def test_tells_of_a_wrong_password(api, alice):
    api().post("/auth/login", {"username": "alice", "password": "wrong"})
    assert only() == (Kind.SIGN_IN_FAILED, HERE, f"user:{alice.pk}", 1)


def test_keeps_nothing_of_what_was_typed_for_an_unknown_name(api, db):
    api().post("/auth/login", {"username": "hunter2", "password": "wrong"})
    assert only() == (Kind.SIGN_IN_FAILED, HERE, "", 1)


def test_tells_of_a_wrong_password_on_the_page(alice):
    Client().post("/sign-in/", {"username": "alice", "password": "wrong"})
    assert only() == (Kind.SIGN_IN_FAILED, HERE, f"user:{alice.pk}", 1)


def test_tells_nothing_of_a_right_one(api, alice):
    api().post("/auth/login", {"username": "alice", "password": PASSWORD})
    assert written() == []


def test_tells_of_who_guesses_on(api, alice, settings):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": {"login": "1/minute"}}
    for _ in range(4):
        api().post("/auth/login", {"username": "alice", "password": "wrong"})
    assert {event.kind: event.count for event in written()} == {
        Kind.SIGN_IN_FAILED: 2,
        Kind.SIGN_IN_SLOWED: 2,
    }


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"revoked_at": timezone.now()}, Kind.KEY_REVOKED),
        ({"expires_at": timezone.now() - timedelta(days=1)}, Kind.KEY_EXPIRED),
    ],
)
def test_tells_of_a_key_that_has_ended(api, workspace, alice, fields, kind):
    key = ApiKeyFactory(workspace=workspace, user=alice, **fields)
    assert api(key).get("/auth/me").status_code == 401
    assert only() == (kind, HERE, f"key:{key.pk}", 1)


def test_tells_of_an_unknown_key_and_not_its_text(api, db):
    Client(headers={"X-API-Key": "ap_made_up_and_secret"}).get("/api/v1/auth/me")
    assert only() == (Kind.KEY_UNKNOWN, HERE, "", 1)


def test_says_to_the_caller_the_same_of_each_key(api, workspace, alice):
    revoked = ApiKeyFactory(workspace=workspace, user=alice, revoked_at=timezone.now())
    told = [
        Client(headers={"X-API-Key": text}).get("/api/v1/auth/me").json()["error"]["message"]
        for text in (revoked.text, "ap_made_up")
    ]
    assert told[0] == told[1]


def test_tells_of_a_key_that_asks_for_a_foreign_workspace(api, workspace, alice, other_workspace):
    key = ApiKeyFactory(workspace=workspace, user=alice)
    assert api(key, other_workspace).get("/agents").status_code == 404
    assert only() == (Kind.FOREIGN_WORKSPACE, HERE, f"key:{key.pk}", 1)


def test_tells_of_a_member_that_asks_for_a_foreign_workspace(api, alice, other_workspace):
    assert api(alice).get("/workspaces/other/members").status_code == 404
    assert only() == (Kind.FOREIGN_WORKSPACE, HERE, f"user:{alice.pk}", 1)


def test_tells_of_a_foreign_object_by_its_id(api, alice, other_workspace):
    agent = AgentFactory(workspace=other_workspace)
    api(alice).get(f"/agents/{agent.pk}")
    (event,) = written()
    assert (event.kind, event.objects_named) == (Kind.FOREIGN_OBJECT, [f"Agent {agent.pk}"])


def test_tells_nothing_of_an_id_that_is_nowhere(api, alice):
    api(alice).get(f"/agents/{uuid.uuid4()}")
    assert written() == []


def test_asks_the_database_no_more_for_a_foreign_object_than_for_a_missing_one(
    api, alice, other_workspace, django_assert_num_queries
):
    foreign, missing = AgentFactory(workspace=other_workspace).pk, uuid.uuid4()
    for key in (foreign, missing):
        with django_assert_num_queries(2):
            api(alice).get(f"/agents/{key}")


def test_tells_of_a_credential_in_a_url(api, alice):
    api().get(f"/auth/me?token={AccessToken.for_user(alice)}")
    assert only() == (Kind.CREDENTIAL_IN_URL, HERE, "", 1)


def test_tells_of_a_forged_request(alice):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    assert browser.post("/api/v1/sessions").status_code == 403
    assert only() == (Kind.FORGED_REQUEST, HERE, f"user:{alice.pk}", 1)


def test_names_the_request_as_the_log_does(api, alice):
    api().post("/auth/login", {"username": "alice", "password": "x"}, headers={"X-Request-ID": "seen-before"})
    assert [event.request_id for event in written()] == ["seen-before"]


# under attack


@pytest.fixture
def clock():
    with time_machine.travel("2026-11-20T10:00:20Z", tick=False) as clock:
        yield clock


def test_counts_what_comes_again_within_a_minute(db, clock):
    for _ in range(1000):
        note(Kind.KEY_UNKNOWN, "203.0.113.7")
    write_noted()
    for _ in range(500):
        note(Kind.KEY_UNKNOWN, "203.0.113.7")
    assert [(event.count, event.address) for event in written()] == [(1500, "203.0.113.7")]


def test_begins_anew_with_each_minute(db, clock):
    note(Kind.KEY_UNKNOWN, "203.0.113.7")
    clock.shift(60)
    note(Kind.KEY_UNKNOWN, "203.0.113.7")
    assert [event.count for event in written()] == [1, 1]


def test_keeps_few_sources_apart_and_counts_the_others_together(db, clock):
    for number in range(5000):
        note(Kind.KEY_UNKNOWN, f"10.1.{number // 250}.{number % 250}")
    events = written()
    assert (len(events), sum(event.count for event in events)) == (noting.MOST_SOURCES + 1, 5000)


def test_keeps_that_limit_when_it_is_written_in_between(db, clock):
    for number in range(200):
        note(Kind.KEY_UNKNOWN, f"10.1.1.{number}")
        write_noted()
    assert SecurityEvent.objects.count() == noting.MOST_SOURCES + 1


def test_takes_a_customers_ipv6_addresses_for_one_source(db, clock):
    for number in range(300):
        note(Kind.KEY_UNKNOWN, f"2001:db8:1:2::{number:x}")
    assert [(event.address, event.count) for event in written()] == [("2001:db8:1:2::/64", 300)]


def test_keeps_few_lookups_to_judge(api, alice):
    for _ in range(noting.MOST_ABSENT + 20):
        noting.note_absent(SecurityEvent, uuid.uuid4(), HERE, "user:1")
    assert len(noting.take_absent()) == noting.MOST_ABSENT


def test_logs_a_source_once_a_minute(db, clock, caplog):
    for _ in range(100):
        note(Kind.KEY_UNKNOWN, "203.0.113.7")
    assert len([line for line in caplog.records if "security_event" in line.getMessage()]) == 1


def test_old_events_are_removed(db, settings):
    settings.SECURITY_EVENTS_KEPT_DAYS = 30
    with time_machine.travel(timezone.now() - timedelta(days=31)):
        SecurityEventFactory()
    kept = SecurityEventFactory(kind=Kind.KEY_UNKNOWN)
    tasks.remove_old_security_events()
    assert list(SecurityEvent.objects.all()) == [kept]


# who is told


@pytest.fixture
def receiver(settings):
    """The operator's own, at a private address."""
    with HttpEndpoint() as receiver:
        settings.SECURITY_WEBHOOK_URL = receiver.url
        settings.SECURITY_WEBHOOK_SECRETS = [new_secret()]
        yield receiver


def told(event: SecurityEvent) -> SecurityEvent:
    """The event after the next attempt to deliver it."""
    tasks.send_security_events()
    event.refresh_from_db()
    async_to_sync(delivery.deliver)(event.pk, event.attempts)
    event.refresh_from_db()
    return event


@pytest.fixture
def due(db):
    return SecurityEventFactory(next_attempt_at=timezone.now())


def test_sends_a_signed_message(one_thread, receiver, due, settings):
    event = told(due)
    (asked,) = receiver.asked
    message = standardwebhooks.Webhook(settings.SECURITY_WEBHOOK_SECRETS[0]).verify(
        asked.body, dict(asked.headers)
    )
    assert (message["type"], message["data"]["count"], message["data"]["address"]) == (
        "security.sign_in_failed",
        3,
        "203.0.113.7",
    )
    assert event.delivered_at is not None


def test_tries_again_later_what_was_not_taken(one_thread, receiver, due):
    receiver.answer = Answer(status=500)
    event = told(due)
    assert (event.delivered_at, event.attempts, event.next_attempt_at > timezone.now()) == (None, 1, True)
    receiver.answer = Answer()
    SecurityEvent.objects.update(next_attempt_at=timezone.now())
    assert told(due).delivered_at is not None


def test_gives_up_in_the_end(one_thread, receiver, db):
    receiver.answer = Answer(status=500)
    event = SecurityEventFactory(next_attempt_at=timezone.now(), attempts=len(delivery.DELAYS))
    assert told(event).next_attempt_at is None


def test_an_attempt_is_made_once(one_thread, receiver, due):
    async_to_sync(delivery.deliver)(due.pk, 0)
    async_to_sync(delivery.deliver)(due.pk, 0)
    assert len(receiver.asked) == 1


def test_tells_of_a_minute_when_it_is_over(receiver, db, clock):
    note(Kind.KEY_UNKNOWN, "203.0.113.7")
    (event,) = written()
    assert event.next_attempt_at == event.minute + timedelta(seconds=65)


def test_tells_nobody_without_an_address(db):
    note(Kind.KEY_UNKNOWN, "203.0.113.7")
    assert [event.next_attempt_at for event in written()] == [None]


# in the admin


def test_shows_them_to_superusers_only(alice):
    SecurityEventFactory()
    boss = UserFactory(is_staff=True, is_superuser=True)
    statuses = []
    for user in (boss, alice):
        user.is_staff = True
        user.save()
        browser = Client()
        browser.force_login(user)
        statuses.append(browser.get("/admin/accounts/securityevent/").status_code)
    assert statuses == [200, 403]


def test_a_thread_writes_what_was_noted_and_ends(monkeypatch, db):
    """Once there is something, and again after it has ended; without a database here."""
    wrote = queue.Queue()
    monkeypatch.setattr(noting, "PERIOD_SECONDS", 0.01)
    monkeypatch.setattr(noting, "_notes", noting._Notes())
    noting.write_with(lambda: wrote.put(sum(noted.count for noted in noting.take().values())))
    for _ in range(2):
        note(Kind.KEY_UNKNOWN, "203.0.113.7")
        thread = noting._notes.writer
        assert wrote.get(timeout=10) == 1
        thread.join(10)
        assert not thread.is_alive()
