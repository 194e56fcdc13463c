"""The ledger's hash chain: what seals prove, and what they find."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from django.db import DatabaseError, connection, transaction

from agentplatform.lib.hash_chain import Head, digest_sql, head, seal_next, verify
from billing.models import LedgerSeal, UnsealedUsage, UsageRecord
from billing.names import erase_names
from billing.sealing import LEDGER
from tests.factories import UsageRecordFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def records(workspace) -> list[UsageRecord]:
    """Three sealed entries."""
    made = [UsageRecordFactory(workspace=workspace) for _ in range(3)]
    seal_next(LEDGER)
    return made


@pytest.fixture
def by_force():
    """`by_force(sql, *parameters)`: as somebody does it who owns the database, and wakes no trigger."""

    def execute(sql: str, *parameters: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, parameters)
            cursor.execute("SET LOCAL session_replication_role = origin")

    return execute


def fault_in(workspace, **options):
    return verify(LEDGER, workspace.pk, **options).fault


def test_seals_what_waits_in_order(records, workspace):
    sealed = LedgerSeal.objects.order_by("position").values_list("position", "record_id")
    assert list(sealed) == [(number, record.pk) for number, record in enumerate(records, 1)]
    assert not UnsealedUsage.objects.exists()


def test_finds_nothing_in_what_is_whole(records, workspace):
    verdict = verify(LEDGER, workspace.pk)
    assert (verdict.head, verdict.fault, verdict.is_whole) == (head(LEDGER, workspace.pk), None, True)


def test_links_each_hash_to_the_one_before(records, workspace):
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {digest_sql(LEDGER, 1)} FROM billing_usagerecord record WHERE id = %s", [records[1].pk]
        )
        digest = bytes(cursor.fetchone()[0])
    first, second = (bytes(seal.hash) for seal in LedgerSeal.objects.order_by("position")[:2])
    assert second == hashlib.sha256(first + (2).to_bytes(8, "big") + digest).digest()


def test_has_a_chain_for_each_workspace(records, workspace):
    other = UsageRecordFactory(workspace=WorkspaceFactory())
    seal_next(LEDGER)
    assert head(LEDGER, other.workspace_id).position == 1
    assert head(LEDGER, workspace.pk).position == 3


def test_goes_on_where_it_ended(records, workspace):
    UsageRecordFactory(workspace=workspace)
    seal_next(LEDGER)
    assert verify(LEDGER, workspace.pk).head.position == 4


@pytest.mark.parametrize(
    "change",
    [
        "cost = 0",
        "input_tokens = 1",
        "timestamp = timestamp - interval '1 microsecond'",
        "tags = '{other}'",
        'prices = \'{"cached": "1"}\'',
        "user_id = gen_random_uuid()",
        "cost = NULL",
    ],
)
def test_names_the_row_that_was_changed(records, workspace, by_force, change):
    by_force(f"UPDATE billing_usagerecord SET {change} WHERE id = %s", records[1].pk)
    fault = fault_in(workspace)
    assert (fault.problem, fault.position, fault.record_id) == ("changed", 2, records[1].pk)


def test_names_the_row_that_was_removed(records, workspace, by_force):
    by_force("DELETE FROM billing_usagerecord WHERE id = %s", records[1].pk)
    fault = fault_in(workspace)
    assert (fault.problem, fault.position, fault.record_id) == ("removed", 2, records[1].pk)


def test_misses_a_row_that_was_removed_with_its_seal(records, workspace, by_force):
    by_force("DELETE FROM billing_usagerecord WHERE id = %s", records[1].pk)
    by_force("DELETE FROM billing_ledgerseal WHERE record_id = %s", records[1].pk)
    assert (fault_in(workspace).problem, fault_in(workspace).position) == ("removed", 2)


def test_misses_a_row_that_was_removed_before_it_was_sealed(records, workspace, by_force):
    gone = UsageRecordFactory(workspace=workspace)
    by_force("DELETE FROM billing_usagerecord WHERE id = %s", gone.pk)
    seal_next(LEDGER)
    assert (fault_in(workspace).problem, fault_in(workspace).record_id) == ("removed", gone.pk)


def test_misses_what_was_removed_at_the_end_by_a_head_that_was_noted(records, workspace, by_force):
    noted = head(LEDGER, workspace.pk)
    by_force("DELETE FROM billing_usagerecord WHERE id = %s", records[2].pk)
    by_force("DELETE FROM billing_ledgerseal WHERE record_id = %s", records[2].pk)
    fault = fault_in(workspace, after=noted)
    assert (fault.problem, fault.position) == ("removed", 3)


def test_finds_an_end_that_was_cut_off_by_its_missing_signature(records, workspace, by_force):
    by_force("DELETE FROM billing_usagerecord WHERE id = %s", records[2].pk)
    by_force("DELETE FROM billing_ledgerseal WHERE record_id = %s", records[2].pk)
    assert (fault_in(workspace).problem, fault_in(workspace).position) == ("unsigned", 2)


def test_names_the_row_that_was_inserted_past_the_triggers(records, workspace, by_force):
    copy = "INSERT INTO billing_usagerecord SELECT (jsonb_populate_record(r, jsonb_build_object("
    values = (
        "'id', gen_random_uuid(), 'call_id', gen_random_uuid()))).* FROM billing_usagerecord r WHERE id = %s"
    )
    by_force(copy + values, records[0].pk)
    inserted = UsageRecord.objects.exclude(pk__in=[record.pk for record in records]).get()
    assert (fault_in(workspace).problem, fault_in(workspace).record_id) == ("inserted", inserted.pk)


def test_finds_a_chain_that_was_made_anew_without_the_key(records, workspace, by_force, settings):
    by_force("UPDATE billing_usagerecord SET cost = 0")
    by_force("INSERT INTO billing_unsealedusage SELECT record_id, workspace_id FROM billing_ledgerseal")
    by_force("DELETE FROM billing_ledgerseal")
    key, settings.SECRET_KEY = settings.SECRET_KEY, "a guess"
    seal_next(LEDGER)
    settings.SECRET_KEY = key
    assert fault_in(workspace).problem == "unsigned"


def test_takes_what_was_signed_with_a_key_before(records, workspace, settings):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "the next key, long enough to be one"
    assert fault_in(workspace) is None


def test_is_told_what_differs_from_a_head_that_was_noted(records, workspace):
    fault = fault_in(workspace, after=Head(2, b"another hash"))
    assert (fault.problem, fault.position) == ("changed", 2)


def test_verifies_as_far_as_it_is_asked(records, workspace):
    verdict = verify(LEDGER, workspace.pk, limit=2)
    assert (verdict.head.position, verdict.is_whole) == (2, False)
    assert verify(LEDGER, workspace.pk, after=verdict.head, limit=2).is_whole


def test_holds_when_a_name_is_erased(workspace, alice):
    UsageRecordFactory(workspace=workspace, user_id=alice.pk, user="alice")
    seal_next(LEDGER)
    assert erase_names(alice.pk, workspace.pk) == 1
    assert fault_in(workspace) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE billing_ledgerseal SET position = 9", "DELETE FROM billing_ledgerseal"]
)
def test_refuses_changes_of_seals(records, statement):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_tells_followers_each_row_once(workspace):
    told: list[list] = []
    chain = replace(LEDGER, followers=[told.append])
    record = UsageRecordFactory(workspace=workspace)
    seal_next(chain)
    seal_next(chain)
    assert told == [[record.pk]]


def test_seals_nothing_where_a_follower_fails(workspace):
    def fail(ids):
        raise ValueError

    UsageRecordFactory(workspace=workspace)
    with pytest.raises(ValueError), transaction.atomic():  # noqa: PT011
        seal_next(replace(LEDGER, followers=[fail]))
    assert (LedgerSeal.objects.count(), UnsealedUsage.objects.count()) == (0, 1)
