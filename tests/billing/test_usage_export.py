import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.tokens import AccessToken
from agentplatform.lib import csv_stream
from billing.models import Entry, Outcome, UsageRecord
from tests.factories import UsageRecordFactory

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = (
    "id,timestamp,workspace,run_id,session_id,agent,workflow,user,end_user,api_key,provider,model,status,"
    "input_tokens,cached_tokens,cache_write_tokens,output_tokens,reasoning_tokens,requests,"
    "input_price,output_price,cost,currency,price_version,correction_of"
)
PATH = "/billing/usage/export"
THIS_TESTS_OWN = 1
COPIES = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY (SELECT%'"
FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\ttext",
    " =1",
    "  \u00a0@x",
    "\u200b=1",
    "\ufeff+1",
    "\u3000-1",
    "＝1+1",
    "＋1",
    "－1",
    "＠x",
    "\x01=1",
]
HARMLESS = [
    "bob",
    "Bob Stone",
    "1+1",
    "a=b",
    "小明",
    "{x}",
    "~x",
    "'quoted'",
    "_x",
    "9 lives",
    "x\ny",
    'a,"b"',
    "C:\\",
]


@pytest.fixture
def export(api, audrey):
    """`export(model="gpt-5")`: the response to audrey's export with these filters."""

    def get(**query):
        return api(audrey).get(PATH, {"format": "csv", **query})

    return get


def test_has_the_columns_of_the_contract(export, download):
    assert download(export()) == COLUMNS + "\n"


def test_writes_a_call_as_a_row(used, export, rows):
    record = used(
        timestamp=datetime(2026, 11, 1, 8, 30, 0, 125900, tzinfo=UTC),
        session_id=uuid.uuid4(),
        end_user="customer 7",
        api_key="shop",
        workflow="",
        cost=Decimal("0.000210000000"),
    )
    assert rows(export(start="2026-11-01T00:00:00Z")) == [
        {
            "id": str(record.id),
            "timestamp": "2026-11-01T08:30:00.125Z",
            "workspace": "acme",
            "run_id": str(record.run_id),
            "session_id": str(record.session_id),
            "agent": "trade-assistant",
            "workflow": "",
            "user": "bob",
            "end_user": "customer 7",
            "api_key": "shop",
            "provider": "openai",
            "model": "gpt-4o-mini",
            "status": "ok",
            "input_tokens": "1000",
            "cached_tokens": "0",
            "cache_write_tokens": "0",
            "output_tokens": "100",
            "reasoning_tokens": "0",
            "requests": "1",
            "input_price": "0.00000015",
            "output_price": "0.0000006",
            "cost": "0.00021",
            "currency": "USD",
            "price_version": "genai-prices:test",
            "correction_of": "",
        }
    ]


def test_leaves_the_cost_of_an_unpriced_call_empty(used, export, rows):
    used(cost=None, input_price=None, output_price=None)
    assert [(row["cost"], row["input_price"]) for row in rows(export())] == [("", "")]


def test_writes_amounts_without_an_exponent(used, export, rows):
    used(cost=Decimal("0.000000000001"), input_price=Decimal(100))
    assert [(row["cost"], row["input_price"]) for row in rows(export())] == [("0.000000000001", "100")]


def test_leaves_the_run_of_a_models_test_empty(used, export, rows):
    used(run_id=None)
    assert rows(export())[0]["run_id"] == ""


def test_leaves_out_calls_that_are_open(used, export, rows):
    used(entry=Entry.OPENED, status=Outcome.PENDING)
    assert rows(export()) == []


def test_is_in_order_of_time(used, export, rows):
    now = timezone.now()
    for minutes in (3, 1, 2):
        used(timestamp=now - timedelta(minutes=minutes), model=f"{minutes} minutes ago")
    assert [row["model"] for row in rows(export())] == ["3 minutes ago", "2 minutes ago", "1 minutes ago"]


def test_protects_every_column_of_text(used, export, rows):
    columns = ["agent", "workflow", "user", "end_user", "api_key", "model"]
    used(**dict.fromkeys(columns, "=cmd|' /C calc'!A0"))
    assert {row[column] for row in rows(export()) for column in columns} == {"'=cmd|' /C calc'!A0"}


def test_makes_formulas_harmless(used, export, rows):
    for text in FORMULAS:
        used(end_user=text)
    assert sorted(row["end_user"] for row in rows(export())) == sorted(f"'{text}" for text in FORMULAS)


def test_leaves_other_text_as_it_is(used, export, rows):
    for text in HARMLESS:
        used(end_user=text)
    assert sorted(row["end_user"] for row in rows(export())) == sorted(HARMLESS)


@pytest.mark.parametrize("query", [{}, {"model": "gpt-5"}, {"user": "carol"}, {"status": "failed"}])
def test_adds_up_to_the_totals(used, api, audrey, rows, query):
    for number in range(30):
        used(
            model=("gpt-5", "gpt-4o-mini")[number % 2],
            user=("bob", "carol")[number % 3 == 0],
            status=("ok", "failed")[number % 5 == 0],
            input_tokens=number,
            cost=None if number == 7 else Decimal(number) / 1_000_000_000,
        )
    totals = api(audrey).get("/billing/usage", query).json()["totals"]
    exported = rows(api(audrey).get(PATH, query))
    sums = {
        "requests": sum(int(row["requests"]) for row in exported),
        "input_tokens": sum(int(row["input_tokens"]) for row in exported),
        "cost": sum(Decimal(row["cost"] or 0) for row in exported),
        "unpriced_requests": sum(row["cost"] == "" for row in exported),
    }
    assert sums == {**{name: totals[name] for name in sums}, "cost": Decimal(totals["cost"])}


@pytest.mark.parametrize("name", ["run_id", "session_id"])
def test_exports_one_run_or_session(used, export, rows, name):
    key = uuid.uuid4()
    record = used(**{name: key})
    used()
    assert [row["id"] for row in rows(export(**{name: str(key)}))] == [str(record.id)]


def test_binds_what_the_client_sends(used, export, rows):
    used(model="100% '; DROP TABLE billing_usagerecord; -- %s")
    assert len(rows(export(model="100% '; DROP TABLE billing_usagerecord; -- %s"))) == 1


def test_does_not_show_another_workspaces_calls(export, rows, other_workspace):
    UsageRecordFactory(workspace=other_workspace)
    assert rows(export()) == []


class TestOverHttp:
    """Over a real socket, with an export far longer than all buffers together."""

    ROWS = 25_000

    @pytest.fixture
    def impatient(self, monkeypatch):
        monkeypatch.setattr(csv_stream, "IDLE_SECONDS", 0.5)

    @pytest.fixture
    def stream(self, server, workspace, audrey):
        wide = {"agent": "a" * 100, "workflow": "w" * 100, "end_user": "e" * 200, "model": "m" * 200}
        first = UsageRecordFactory(workspace=workspace, **wide)
        columns = ", ".join(
            f'"{field.column}"' for field in UsageRecord._meta.fields if field.name not in ("id", "call_id")
        )
        with transaction.atomic(), connection.cursor() as cursor:
            # Without the triggers, which count each row for sums and budgets that nobody here asks for.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(
                f"INSERT INTO billing_usagerecord (id, call_id, {columns})"
                f" SELECT gen_random_uuid(), gen_random_uuid(), {columns}"
                " FROM billing_usagerecord, generate_series(2, %s) WHERE id = %s",
                [self.ROWS, first.id],
            )
        headers = {"Authorization": f"Bearer {AccessToken.for_user(audrey)}"}
        with httpx.stream("GET", f"{server}{PATH}", headers=headers, timeout=30) as response:
            yield response

    def test_sends_every_row(self, stream):
        assert sum(chunk.count(b"\n") for chunk in stream.iter_bytes()) == self.ROWS + 1

    def test_waits_for_its_reader_with_one_database_connection(self, stream):
        chunks = stream.iter_bytes()
        next(chunks)
        time.sleep(0.5)
        assert (copies_under_way(), connections_in_use()) == (1, THIS_TESTS_OWN + 1)

    def test_breaks_the_connection_off_when_it_fails(self, stream):
        chunks = stream.iter_bytes()
        next(chunks)
        end_copies()
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)
        assert soon(lambda: connections_in_use() == THIS_TESTS_OWN)

    def test_ends_the_query_when_the_client_goes_away(self, stream):
        chunks = stream.iter_bytes()
        next(chunks)
        stream.close()
        assert soon(lambda: copies_under_way() == 0 and not csv_stream._under_way)

    def test_gives_up_a_client_that_takes_nothing(self, impatient, stream):
        chunks = stream.iter_bytes()
        next(chunks)
        assert soon(lambda: copies_under_way() == 0)
        with pytest.raises(httpx.RemoteProtocolError):
            list(chunks)

    def test_leaves_no_thread_behind(self, stream):
        for _ in stream.iter_bytes():
            pass
        assert soon(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("csv")])


def copies_under_way() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) {COPIES} AND state = 'active'")
        return cursor.fetchone()[0]


def end_copies() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pg_terminate_backend(pid) {COPIES}")


def connections_in_use() -> int:
    stats = connection.pool.get_stats()
    return stats["pool_size"] - stats["pool_available"]


def soon(condition, seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return met
