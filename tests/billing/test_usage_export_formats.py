"""What one may have of an export: columns, JSON Lines, CSV for Excel, workbooks."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import openpyxl
import pytest

from billing.exports import workbooks, writing
from billing.exports.columns import BY_NAME, DEFAULT
from tests.billing.conftest import joined
from tests.factories import UsageRecordFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/billing/usage/export"
AT = datetime(2026, 10, 25, 0, 30, 0, 125900, tzinfo=UTC)
SINCE = {"start": "2026-10-01T00:00:00Z"}


@pytest.fixture
def export(api, audrey):
    """`export(format="jsonl")`: the response to audrey's export."""
    return lambda **query: api(audrey).get(PATH, query)


@pytest.fixture
def lines(export, download):
    """`lines(columns="cost")`: the objects of an export as JSON Lines."""

    def read(**query):
        return [json.loads(line) for line in download(export(format="jsonl", **query)).split("\n") if line]

    return read


@pytest.fixture
def workbook(export):
    """`workbook(tz="Europe/Berlin")`: an export as a workbook, as a reader of the format sees it."""

    def read(**query):
        response = export(format="xlsx", **query)
        assert response.status_code == 200, response.content
        return openpyxl.load_workbook(io.BytesIO(joined(response)))

    return read


def faults(response) -> dict[str, str]:
    assert response.status_code == 422, response.content
    return {detail["field"]: detail["message"] for detail in response.json()["error"]["details"]}


# columns


def test_has_the_columns_that_are_named_in_their_order(used, export, download):
    used()
    assert download(export(columns="cost,agent,revision")).splitlines() == [
        "cost,agent,revision",
        "0.00021,trade-assistant,1",
    ]


def test_names_an_unknown_column_and_lists_the_known(export):
    said = faults(export(columns="cost,price"))["columns"]
    assert (said.startswith("There is no column price; "), all(name in said for name in BY_NAME)) == (
        True,
        True,
    )


def test_refuses_a_column_twice(export):
    assert "columns" in faults(export(columns="cost,cost"))


def test_writes_every_column_there_is(used, export, rows):
    used(tags=["shop", "=1"], prices={"cached": "0.000000075"})
    [row] = rows(export(columns=",".join(BY_NAME)))
    assert (row["tags"], row["is_reversal"], row["prices"]) == (
        "shop, =1",
        "false",
        '{"cached": "0.000000075"}',
    )


def test_protects_a_list_of_tags(used, export, rows):
    used(tags=["=1"])
    assert [row["tags"] for row in rows(export(columns="tags"))] == ["'=1"]


# JSON Lines


def test_writes_a_call_as_an_object(used, lines):
    record = used(timestamp=AT, end_user='say "hi"\n\\', tags=["a"], prices={"cached": "0.1"})
    names = "id,timestamp,workspace,session_id,workflow,end_user,input_tokens,cost,is_reversal,tags,prices"
    assert lines(columns=names, **SINCE) == [
        {
            "id": str(record.pk),
            "timestamp": "2026-10-25T00:30:00.125Z",
            "workspace": "acme",
            "session_id": None,
            "workflow": None,
            "end_user": 'say "hi"\n\\',
            "input_tokens": 1000,
            "cost": "0.00021",
            "is_reversal": False,
            "tags": ["a"],
            "prices": {"cached": "0.1"},
        }
    ]


def test_keeps_the_contracts_columns_in_order(used, lines):
    used()
    assert [list(line) for line in lines()] == [list(DEFAULT)]


@pytest.mark.parametrize("text", ["=1+1", "\x01\x02", '"', "\\.", "a,b", "\u2028", "小明", "x\r\ny"])
def test_gives_texts_as_they_are(used, lines, text):
    used(end_user=text)
    assert lines(columns="end_user") == [{"end_user": text}]


def test_leaves_the_cost_of_an_unpriced_call_null(used, lines):
    used(cost=None)
    assert lines(columns="cost") == [{"cost": None}]


def test_has_no_line_where_nothing_was_used(export, download):
    assert download(export(format="jsonl")) == ""


def test_gives_nothing_of_another_workspace(lines, other_workspace):
    UsageRecordFactory(workspace=other_workspace)
    assert lines() == []


# CSV for Excel


def test_begins_with_a_byte_order_mark_where_one_is_asked_for(export, download):
    assert download(export(bom="true", columns="cost")) == "\ufeffcost\n"


def test_writes_decimal_commas_between_semicolons(used, export, download):
    used()
    assert download(export(decimal="comma", delimiter=";", columns="cost,agent")).splitlines()[1] == (
        "0,00021;trade-assistant"
    )


def test_quotes_decimal_commas_between_commas(used, export, download):
    used()
    assert download(export(decimal="comma", columns="cost,agent")).splitlines()[1] == (
        '"0,00021",trade-assistant'
    )


def test_separates_with_tabs(used, export, download):
    used()
    assert (
        download(export(delimiter="tab", columns="cost,agent")) == "cost\tagent\n0.00021\ttrade-assistant\n"
    )


def test_tells_the_two_hours_apart_when_clocks_go_back(used, export, rows):
    for hour in (0, 1):
        used(timestamp=AT.replace(hour=hour))
    found = rows(export(tz="Europe/Berlin", **SINCE))
    assert [row["timestamp"] for row in found] == [
        "2026-10-25T02:30:00.125+02:00",
        "2026-10-25T02:30:00.125+01:00",
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"decimal": "dot"}, "decimal"),
        ({"delimiter": "|"}, "delimiter"),
        ({"bom": "perhaps"}, "bom"),
        ({"format": "jsonl", "bom": "true"}, "bom"),
        ({"format": "xlsx", "delimiter": ";"}, "delimiter"),
        ({"agnet": "x"}, "agnet"),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_names_what_it_does_not_take(export, query, field):
    assert field in faults(export(**query))


# workbooks


def test_has_numbers_and_dates_in_a_workbook(used, workbook):
    used(timestamp=AT)
    sheet = workbook(columns="timestamp,input_tokens,cost", tz="Europe/Berlin", **SINCE)["Usage"]
    assert [[cell.value for cell in row] for row in sheet.rows] == [
        ["timestamp (Europe/Berlin)", "input_tokens", "cost", "cost_exact"],
        [datetime(2026, 10, 25, 2, 30, 0, 126000), 1000, 0.00021, "0.00021"],
    ]


def test_keeps_an_amount_exactly_that_a_number_cannot_hold(used, workbook):
    used(cost=Decimal("123456789.123456789012"))
    sheet = workbook(columns="cost")["Usage"]
    assert (sheet["A2"].value, sheet["B2"].value) == (
        pytest.approx(123456789.123456789),
        "123456789.123456789012",
    )


def test_freezes_the_header(workbook):
    assert workbook()["Usage"].freeze_panes == "A2"


def test_has_no_formula_in_a_workbook(used, workbook):
    used(end_user="=1+1", agent="@SUM(A1)")
    sheet = workbook(columns="end_user,agent")["Usage"]
    assert [(cell.value, cell.data_type, cell.quotePrefix) for cell in sheet[2]] == [
        ("=1+1", "s", True),
        ("@SUM(A1)", "s", True),
    ]


def test_says_in_a_workbook_what_it_comes_to(used, workbook):
    for _ in range(3):
        used(cost=Decimal("0.1"))
    about = {row[0].value: row[1].value for row in workbook()["About"].rows}
    assert (about["Rows"], about["Cost in USD"], about["Sum of input_tokens"]) == ("3", "0.3", "3000")


def test_goes_on_on_another_sheet(used, workbook, monkeypatch):
    monkeypatch.setattr(workbooks, "MOST_ROWS", 2)
    for _ in range(3):
        used()
    found = workbook(columns="requests")
    assert [(sheet.title, sheet.max_row) for sheet in found][:2] == [("Usage", 3), ("Usage 2", 2)]


def test_refuses_a_large_workbook_at_once(used, export, monkeypatch):
    monkeypatch.setattr(writing, "MOST_SMALL_ROWS", 1)
    used()
    used()
    response = export(format="xlsx")
    assert (response.status_code, "POST /billing/exports" in response.json()["error"]["message"]) == (
        413,
        True,
    )
