"""The audit log over REST: who may read it, what narrows it, and its exports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.audit import AuditEntry
from accounts.audit.models import PLATFORM
from agentplatform.lib.ids import uuid7
from tests.factories import ApiKeyFactory, AuditEntryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def logged(api, audrey):
    """`logged(action="read")`: what audrey, an auditor, finds with these filters."""

    def get(**query):
        answer = api(audrey).get("/audit-log", query)
        assert answer.status_code == 200, answer.json()
        return answer.json()["items"]

    return get


# the list


def test_answers_the_newest_first(logged, workspace):
    made = [str(AuditEntryFactory(workspace=workspace).pk) for _ in range(3)]
    assert [item["id"] for item in logged()] == made[::-1]


def test_shows_an_entry(api, audrey, workspace):
    entry = AuditEntryFactory(workspace=workspace)
    shown = api(audrey).get(f"/audit-log/{entry.pk}").json()
    assert (shown["user"], shown["before"], shown["path"]) == (
        "bob",
        {"system_prompt": "Be brief."},
        "/api/v1/agents/{pk}",
    )


def test_shows_nothing_of_another_workspace(logged, other_workspace):
    AuditEntryFactory(workspace=other_workspace)
    assert logged() == []


def test_finds_no_entry_of_another_workspace(api, audrey, other_workspace):
    assert api(audrey).get(f"/audit-log/{AuditEntryFactory(workspace=other_workspace).pk}").status_code == 404


def test_shows_nothing_of_the_platform(logged):
    AuditEntryFactory(workspace=None, workspace_id=PLATFORM)
    assert logged() == []


@pytest.mark.parametrize(
    ("name", "status"), [("alice", 200), ("audrey", 200), ("olivia", 403), ("bob", 403), ("vera", 403)]
)
@pytest.mark.parametrize("path", ["", "/export", "/head", "/verification"])
def test_opens_to_whom_the_role_permits(api, request, name, status, path):
    assert api(request.getfixturevalue(name)).get(f"/audit-log{path}").status_code == status


def test_needs_the_keys_scope_for_an_export(api, audrey, workspace):
    key = ApiKeyFactory(workspace=workspace, user=audrey, scopes=["read:audit"])
    assert api(key).get("/audit-log/export").status_code == 403


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_takes_no_changes(api, alice, workspace, method):
    entry = AuditEntryFactory(workspace=workspace)
    assert getattr(api(alice), method)(f"/audit-log/{entry.pk}").status_code == 405


def test_asks_the_database_no_more_for_a_long_list(logged, workspace):
    def queries():
        with CaptureQueriesContext(connection) as asked:
            logged()
        return len(asked)

    AuditEntryFactory(workspace=workspace)
    one = queries()
    for _ in range(10):
        AuditEntryFactory(
            workspace=workspace, api_key_id=uuid7(), api_key="robot", subject_id=uuid7(), subject="ann"
        )
    assert queries() == one


def test_reads_on_from_a_cursor(api, audrey, workspace):
    made = [str(AuditEntryFactory(workspace=workspace).pk) for _ in range(3)]
    cursor = api(audrey).get("/audit-log", {"limit": 2}).json()["next_cursor"]
    rest = api(audrey).get("/audit-log", {"limit": 2, "cursor": cursor}).json()
    assert ([item["id"] for item in rest["items"]], rest["next_cursor"]) == (made[:1], None)


# filters

KEY, OBJECT, REQUEST = uuid7(), uuid7(), "a-request-7"
CHOSEN = {
    "user": "carol",
    "api_key": "robot",
    "action": "approved",
    "outcome": "refused",
    "resource_type": "Approval",
    "resource_id": str(OBJECT),
    "subject": "dora",
    "via": "websocket",
    "address": "198.51.100.9",
    "request_id": REQUEST,
    "search": "gpt-special",
}


@pytest.fixture
def chosen(workspace):
    """One entry that differs from another in everything."""
    AuditEntryFactory(workspace=workspace)
    return AuditEntryFactory(
        workspace=workspace, user="carol", api_key="robot", api_key_id=KEY, api_key_prefix="ap_12345678",
        action="approved", outcome="refused", resource_type="Approval", resource_id=OBJECT, subject="dora",
        subject_id=uuid7(), via="websocket", address="198.51.100.9", request_id=REQUEST,
        after={"model": "gpt-special"},
    )  # fmt: skip


@pytest.mark.parametrize("name", CHOSEN)
def test_narrows_the_list(logged, chosen, name):
    assert [item["id"] for item in logged(**{name: CHOSEN[name]})] == [str(chosen.pk)]


@pytest.mark.parametrize(
    ("name", "field"), [("user", "user_id"), ("api_key", "api_key_id"), ("subject", "subject_id")]
)
def test_finds_people_and_keys_by_id(logged, chosen, name, field):
    assert [item["id"] for item in logged(**{name: str(getattr(chosen, field))})] == [str(chosen.pk)]


def test_finds_the_same_however_frequent_the_words_are(logged, chosen, monkeypatch):
    monkeypatch.setattr("accounts.audit.models.MOST_FOUND", 0)
    assert [item["id"] for item in logged(search="gpt-special")] == [str(chosen.pk)]


@pytest.mark.parametrize("words", ["carol", "robot", "dora", "approved", "Approval", "gpt-special"])
def test_is_searched_by_words_and_names(logged, chosen, words):
    assert [item["id"] for item in logged(search=words)] == [str(chosen.pk)]


def test_takes_several_actions(logged, chosen):
    assert len(logged(action=["approved", "updated"])) == 2


def test_narrows_by_time(logged, workspace):
    AuditEntryFactory(workspace=workspace)
    now = timezone.now()
    soon, before = now + timedelta(minutes=1), now - timedelta(minutes=1)
    found = [
        len(logged(start=start.isoformat(), end=end.isoformat()))
        for start, end in [(before, soon), (soon, soon)]
    ]
    assert found == [1, 0]


def test_finds_nobody_of_another_workspace_by_name(logged, workspace, other_workspace):
    AuditEntryFactory(workspace=other_workspace, user="stranger")
    assert (logged(user="stranger"), logged(search="stranger")) == ([], [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("action", "nonsense"),
        ("via", "post"),
        ("resource_id", "1"),
        ("start", "yesterday"),
        ("nonsense", "1"),
    ],
)
def test_names_what_is_wrong_with_a_filter(api, audrey, name, value):
    error = api(audrey).get("/audit-log", {name: value}).json()["error"]
    assert error["details"][0]["field"] == name


def test_finds_words_by_their_index(workspace, audrey, monkeypatch):
    monkeypatch.setattr("accounts.audit.models.MOST_FOUND", -1)  # Also what is rare is not found beforehand.
    rows = AuditEntry.objects.all().found("gpt-special", [workspace.pk])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        assert "audit_words" in rows.explain()
