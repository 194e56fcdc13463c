"""The audit log's hash chain finds what was changed, removed or inserted, whoever has done it."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from accounts import audit
from accounts.audit import Action, AuditEntry, Thing
from accounts.audit.models import PLATFORM, AuditSeal, UnsealedAudit
from accounts.audit.sealing import AUDIT_LOG
from accounts.tasks import seal_audit_log
from agentplatform.lib.hash_chain import verify
from tests.factories import AuditEntryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def sealed(workspace) -> list[AuditEntry]:
    """Three sealed entries."""
    made = [AuditEntryFactory(workspace=workspace) for _ in range(3)]
    seal_audit_log()
    return made


@pytest.fixture
def by_force():
    """`by_force(sql, *parameters)`: as somebody does it who owns the database, and wakes no trigger."""

    def execute(statement: str, *parameters: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(statement, parameters)
            cursor.execute("SET LOCAL session_replication_role = origin")

    return execute


def fault_in(workspace):
    fault = verify(AUDIT_LOG, workspace.pk).fault
    return (fault.problem, fault.position, fault.record_id) if fault else None


def test_seals_what_waits(sealed, workspace):
    assert (AuditSeal.objects.count(), UnsealedAudit.objects.count(), fault_in(workspace)) == (3, 0, None)


@pytest.mark.parametrize(
    "change",
    [
        "action = 'read'",
        "outcome = 'refused'",
        "after = '{}'",
        "before = NULL",
        "user_id = gen_random_uuid()",
        "user_name_id = gen_random_uuid()",
        "timestamp = timestamp - interval '1 microsecond'",
        "address = '127.0.0.1'",
        "workspace_id = workspace_id, resource_name = 'other'",
    ],
)
def test_names_the_entry_that_was_changed(sealed, workspace, by_force, change):
    by_force(f"UPDATE accounts_auditentry SET {change} WHERE id = %s", sealed[1].pk)
    assert fault_in(workspace) == ("changed", 2, sealed[1].pk)


def test_covers_every_column_but_the_emptied_ones():
    names = {field.name for field in AuditEntry._meta.concrete_fields}
    assert names - set(AUDIT_LOG.formats[1]) == {"user", "api_key", "subject"}


def test_names_the_entry_that_was_removed(sealed, workspace, by_force):
    by_force("DELETE FROM accounts_auditentry WHERE id = %s", sealed[1].pk)
    assert fault_in(workspace) == ("removed", 2, sealed[1].pk)


def test_names_the_entry_that_was_inserted(sealed, workspace, by_force):
    copy = "INSERT INTO accounts_auditentry SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()"
    by_force(f"{copy}))).* FROM accounts_auditentry e WHERE id = %s", sealed[0].pk)
    inserted = AuditEntry.objects.exclude(pk__in=[entry.pk for entry in sealed]).get()
    assert fault_in(workspace) == ("inserted", None, inserted.pk)


def test_holds_when_a_name_is_erased(workspace, bob):
    AuditEntryFactory(workspace=workspace, user_id=bob.pk, user="bob")
    seal_audit_log()
    audit.erase_names(bob.pk, workspace.pk)
    assert fault_in(workspace) is None


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditseal SET position = 9", "DELETE FROM accounts_auditseal"]
)
def test_refuses_changes_of_seals(sealed, statement):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_has_a_chain_for_the_platform(db, capsys):
    audit.record(Action.COMMAND_RUN)
    seal_audit_log()
    call_command("verify_ledger")
    assert "(platform) audit 1:" in capsys.readouterr().out


def test_is_verified_by_the_ledgers_command(sealed, by_force, capsys):
    by_force("UPDATE accounts_auditentry SET action = 'read' WHERE id = %s", sealed[1].pk)
    with pytest.raises(CommandError):
        call_command("verify_ledger", "--chain", "audit")
    assert f"changed: row {sealed[1].pk} at position 2" in capsys.readouterr().out


def test_names_the_first_bad_entry_to_an_auditor(api, audrey, sealed, by_force):
    by_force("UPDATE accounts_auditentry SET action = 'read' WHERE id = %s", sealed[1].pk)
    answer = api(audrey).get("/audit-log/verification").json()
    assert (answer["is_right"], answer["fault"]["problem"], answer["fault"]["record_id"]) == (
        False,
        "changed",
        str(sealed[1].pk),
    )


def test_tells_an_auditor_where_the_chain_ends(api, audrey, sealed, workspace):
    answer = api(audrey).get("/audit-log/head").json()
    last = AuditSeal.objects.get(workspace_id=workspace.pk, position=3)
    assert (answer["position"], answer["hash"], answer["waiting"]) == (3, bytes(last.hash).hex(), 0)


# the platform without the right to change entries


@pytest.fixture
def restricted(db):
    """The rest of the test is done as the role of docs/audit.md, which may not change what is written once."""
    name = sql.Identifier("platform_serves_in_a_test")
    rights = """
        CREATE ROLE {0};
        GRANT USAGE ON SCHEMA public TO {0};
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {0};
        GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {0};
        GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {0};
        REVOKE UPDATE, DELETE, TRUNCATE ON accounts_auditentry, accounts_auditseal FROM {0};
        REVOKE UPDATE, DELETE, TRUNCATE ON billing_usagerecord, billing_ledgerseal FROM {0};
        SET LOCAL ROLE {0}
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(rights).format(name).as_string(cursor.connection))


def test_records_seals_and_verifies_without_the_right_to_change(workspace, alice, api, restricted):
    assert api(alice).post("/auth/api-keys", {"name": "robot"}).status_code == 201
    audit.record(Action.UPDATED, Thing("Thing", workspace_id=workspace.pk))
    seal_audit_log()
    assert (verify(AUDIT_LOG, workspace.pk).head.position, fault_in(workspace)) == (2, None)


def test_erases_names_without_the_right_to_change_entries(workspace, alice, bob, api, restricted):
    assert api(alice).post("/workspaces/acme/members/bob/erase", {"confirm": "bob"}).status_code == 200


def test_seals_what_is_in_no_workspace_without_the_right_to_change(restricted):
    audit.record(Action.COMMAND_RUN)
    seal_audit_log()
    assert verify(AUDIT_LOG, PLATFORM).head.position == 1


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditentry SET via = 'api'", "DELETE FROM accounts_auditseal"]
)
def test_may_not_change_what_is_written_once(sealed, restricted, statement):
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
