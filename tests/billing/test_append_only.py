import pytest
from django.db import DatabaseError, connection, transaction

from agentplatform.lib.errors import Conflict
from billing.models import UsageRecord
from tests.factories import UsageRecordFactory

FORBIDDEN = [
    pytest.param(lambda record: record.save(), id="save"),
    pytest.param(lambda record: record.delete(), id="delete"),
    pytest.param(lambda record: UsageRecord.objects.update(cost=0), id="update of a query set"),
    pytest.param(
        lambda record: UsageRecord.objects.filter(pk=record.pk).delete(), id="delete of a query set"
    ),
    pytest.param(lambda record: UsageRecord.objects.bulk_update([record], ["cost"]), id="bulk update"),
    pytest.param(lambda record: UsageRecord.objects.update_or_create(pk=record.pk), id="update or create"),
    pytest.param(
        lambda record: UsageRecord.objects.bulk_create(
            [record], update_conflicts=True, unique_fields=["id"], update_fields=["cost"]
        ),
        id="upsert",
    ),
]


@pytest.fixture
def record(workspace):
    return UsageRecordFactory(workspace=workspace)


@pytest.mark.parametrize("change", FORBIDDEN)
def test_refuses_changes_by_code(record, change):
    with pytest.raises(Conflict, match="append-only"):
        change(record)


@pytest.mark.parametrize(
    "statement", ["UPDATE billing_usagerecord SET cost = 0", "DELETE FROM billing_usagerecord"]
)
def test_refuses_changes_by_sql(record, statement):
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_refuses_an_upsert_by_sql(record):
    again = "INSERT INTO billing_usagerecord SELECT * FROM billing_usagerecord"
    statement = f"{again} ON CONFLICT (id) DO UPDATE SET cost = 0"
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_keeps_its_workspace_from_being_deleted(record):
    with pytest.raises(DatabaseError), transaction.atomic():
        record.workspace.delete()
