"""Who may verify the ledger, over the API and by the command."""

from __future__ import annotations

import io
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from agentplatform.lib.hash_chain import seal_next
from billing.sealing import LEDGER
from tests.factories import UsageRecordFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def records(workspace):
    made = [UsageRecordFactory(workspace=workspace) for _ in range(3)]
    seal_next(LEDGER)
    return made


def change(record) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("UPDATE billing_usagerecord SET cost = 0 WHERE id = %s", [record.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


def verified(*arguments: str) -> str:
    output = io.StringIO()
    call_command("verify_ledger", *arguments, stdout=output)
    return output.getvalue()


# over the API


def test_tells_an_auditor_that_nothing_was_changed(api, audrey, records):
    answer = api(audrey).get("/billing/ledger/verification").json()
    assert (answer["is_right"], answer["is_whole"], answer["position"], answer["fault"]) == (
        True,
        True,
        3,
        None,
    )


def test_names_the_first_bad_row(api, audrey, records):
    change(records[1])
    fault = api(audrey).get("/billing/ledger/verification").json()["fault"]
    assert (fault["problem"], fault["position"], fault["record_id"]) == ("changed", 2, str(records[1].pk))


def insert_past_the_triggers(record) -> None:
    copy = "INSERT INTO billing_usagerecord SELECT (jsonb_populate_record(r, jsonb_build_object("
    values = "'id', %s::text, 'call_id', gen_random_uuid()))).* FROM billing_usagerecord r WHERE id = %s"
    # Right after the row that it is a copy of.
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(copy + values, [str(uuid.UUID(int=record.pk.int + 1)), record.pk])
        cursor.execute("SET LOCAL session_replication_role = origin")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_finds_in_parts_what_was_inserted_anywhere(api, audrey, records, place):
    insert_past_the_triggers(records[place])
    found, query = [], ""
    for _ in range(4):
        answer = api(audrey).get(f"/billing/ledger/verification?limit=1{query}").json()
        found += [answer["fault"]["problem"]] if answer["fault"] else []
        query = f"&position={answer['position']}&hash={answer['hash']}"
    assert "inserted" in found


def test_goes_on_from_an_answer_before(api, audrey, records):
    first = api(audrey).get("/billing/ledger/verification?limit=2").json()
    assert (first["position"], first["is_whole"]) == (2, False)
    again = f"/billing/ledger/verification?position=2&hash={first['hash']}"
    assert api(audrey).get(again).json()["position"] == 3


def test_holds_against_a_head_that_was_noted(api, audrey, records):
    noted = api(audrey).get("/billing/ledger/head").json()
    path = f"/billing/ledger/verification?position={noted['position']}&hash={noted['hash']}"
    assert api(audrey).get(path).json()["is_right"]
    assert (
        api(audrey).get(path[:-1] + "0").json()["fault"]["problem"] == "changed" or noted["hash"][-1] == "0"
    )


def test_counts_what_waits(api, audrey, workspace):
    UsageRecordFactory(workspace=workspace)
    assert api(audrey).get("/billing/ledger/head").json() == {"position": 0, "hash": "0" * 64, "waiting": 1}


def test_sees_only_the_own_workspace(api, charlie, records):
    assert api(charlie).get("/billing/ledger/head").json()["position"] == 0


@pytest.mark.parametrize(
    "query", ["position=1", f"hash={'0' * 64}", "hash=xyz", "position=-1", "limit=0", "limit=x"]
)
def test_refuses_what_it_cannot_begin_from(api, audrey, query):
    assert api(audrey).get(f"/billing/ledger/verification?{query}").status_code == 422


@pytest.mark.parametrize("name", ["olivia", "bob", "vera"])
def test_is_not_for_others(api, request, name):
    assert api(request.getfixturevalue(name)).get("/billing/ledger/verification").status_code == 403


# by the command


def test_prints_each_head(records, workspace):
    assert verified("--chain", "ledger").startswith("acme ledger 3:")


def test_ends_with_an_error_where_a_row_was_changed(records):
    change(records[0])
    with pytest.raises(CommandError, match="1 of the chains"):
        verified()


def test_looks_at_the_workspace_that_it_is_asked_for(records):
    WorkspaceFactory(slug="quiet")
    change(records[0])
    assert verified("--workspace", "quiet", "--chain", "ledger").startswith("quiet ledger 0:")


def test_takes_a_head_that_it_has_printed(records):
    noted = verified("--workspace", "acme", "--chain", "ledger").split()[2]
    assert " right" in verified("--workspace", "acme", "--chain", "ledger", "--head", noted)


def test_finds_what_was_cut_off_since(records):
    noted = verified("--workspace", "acme", "--chain", "ledger").split()[2]
    beyond = "4:" + noted.partition(":")[2]
    with pytest.raises(CommandError):
        verified("--workspace", "acme", "--chain", "ledger", "--head", beyond)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workspace", "nowhere"],
        ["--head", "3:00"],
        ["--workspace", "acme", "--chain", "ledger", "--head", "three"],
    ],
)
def test_says_what_it_cannot_do(workspace, arguments):
    with pytest.raises(CommandError):
        verified(*arguments)
