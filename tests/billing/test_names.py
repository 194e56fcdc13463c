"""Names of people stand beside the ledger, where they can be erased; its entries stay as they are."""

from __future__ import annotations

import importlib
import uuid

import pytest
from django.db import IntegrityError, connection
from django.db.models import Sum

from accounts.pseudonyms import pseudonym
from billing.models import LedgerName, UsageRecord
from billing.names import erase_names
from tests.factories import UsageRecordFactory

pytestmark = pytest.mark.django_db

BOB, ANN = uuid.UUID(int=1), uuid.UUID(int=2)
migration = importlib.import_module("billing.migrations.0004_names_apart")


@pytest.fixture
def used(workspace):
    return lambda user_id=BOB, **values: UsageRecordFactory(
        **{"workspace": workspace, "user_id": user_id, "user": "bob"} | values
    )


def names() -> list[str]:
    return sorted(str(entry.user_name) for entry in UsageRecord.objects.all())


def in_entries() -> set[str]:
    return {text for row in UsageRecord.objects.values_list("user", "end_user", "api_key") for text in row}


def test_keeps_names_out_of_entries(used):
    used(end_user="customer 7", api_key="shop")

    entry = UsageRecord.objects.get()
    assert in_entries() == {""}
    assert (str(entry.user_name), str(entry.end_user_name), str(entry.api_key_name)) == (
        "bob",
        "customer 7",
        "shop",
    )


def test_keeps_each_name_once(used):
    for _ in range(3):
        used()

    assert LedgerName.objects.filter(kind="user").count() == 1


def test_keeps_the_name_of_the_time(used):
    used()
    used(user="robert")

    assert names() == ["bob", "robert"]


def test_keeps_entries_without_a_name(used):
    used(user_id=None, user="", end_user="", api_key="")

    assert (UsageRecord.objects.get().user_name, LedgerName.objects.count()) == (None, 0)


def test_keeps_names_of_users_that_nobody_knows(used):
    used(user_id=None, user="somebody")

    assert names() == ["somebody"]


def test_puts_a_pseudonym_in_the_place_of_a_name(used, workspace):
    used(end_user="customer 7")
    used(user_id=ANN, user="ann")

    erase_names(BOB, workspace.pk)

    assert names() == ["ann", pseudonym(BOB)]
    assert not LedgerName.objects.filter(name__in=["bob", "customer 7"]).exists()


def test_adds_up_by_the_same_user_as_before(used, workspace):
    used()
    used(user="robert")
    sums = list(
        UsageRecord.objects.order_by().values("user_id").annotate(cost=Sum("cost"), n=Sum("requests"))
    )

    erase_names(BOB, workspace.pk)

    assert (
        list(UsageRecord.objects.order_by().values("user_id").annotate(cost=Sum("cost"), n=Sum("requests")))
        == sums
    )
    assert set(names()) == {pseudonym(BOB)}


def test_learns_no_name_again(used, workspace):
    used()
    erase_names(BOB, workspace.pk)

    used()

    assert names() == [pseudonym(BOB)] * 2


def test_erases_in_one_workspace_only(used, workspace, other_workspace):
    used()
    used(workspace=other_workspace)

    erase_names(BOB, workspace.pk)

    assert names() == ["bob", pseudonym(BOB)]


def test_erases_once(used, workspace):
    used()

    assert [erase_names(BOB, workspace.pk) for _ in range(2)] == [1, 0]


def test_finds_usage_by_the_pseudonym(api, audrey, used, workspace):
    used()
    erase_names(BOB, workspace.pk)
    client = api(audrey)

    found = {user: client.get("/billing/usage", {"user": user}) for user in ("bob", pseudonym(BOB), str(BOB))}

    assert [one.json()["totals"]["requests"] for one in found.values()] == [0, 1, 1]


@pytest.mark.django_db(transaction=True)
def test_exports_the_pseudonym(api, audrey, used, workspace, rows):
    used(end_user="customer 7")
    erase_names(BOB, workspace.pk)

    [row] = rows(api(audrey).get("/billing/usage/export"))
    assert (row["user"], row["end_user"]) == (pseudonym(BOB), pseudonym(BOB))


# the migration


@pytest.fixture
def old_entries(used) -> list[UsageRecord]:
    """As a version before has written them."""
    # Or the table could not be altered while checks are due.
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE billing_usagerecord DISABLE TRIGGER usage_keeps_names_apart")
    found = [used(), used(end_user="customer 7"), used(user_id=ANN, user="ann", api_key="shop")]
    run("ALTER TABLE billing_usagerecord ENABLE TRIGGER usage_keeps_names_apart")
    return found


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def move(statement: str) -> None:
    run(migration.ALLOW_NAMES)
    with connection.schema_editor() as editor:
        migration._in_batches(statement)(None, editor)


def test_moves_the_names_that_are_there(old_entries, monkeypatch):
    monkeypatch.setattr(migration, "BATCH", 2)
    move(migration.MOVE)
    run(migration.REFUSE)

    assert (in_entries(), names()) == ({""}, ["ann", "bob", "bob"])


def test_moves_nothing_but_names(old_entries):
    run(migration.ALLOW_NAMES)

    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE billing_usagerecord SET cost = 0")


def test_refuses_names_too_once_they_are_moved(old_entries):
    move(migration.MOVE)
    run(migration.REFUSE)

    with pytest.raises(IntegrityError, match="append-only"):
        run("UPDATE billing_usagerecord SET \"user\" = 'eve'")


def test_moves_them_back(old_entries):
    move(migration.MOVE)
    move(migration.MOVE_BACK)

    assert in_entries() == {"", "bob", "ann", "customer 7", "shop"}
