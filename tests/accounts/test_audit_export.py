"""The audit log as a file: CSV and JSON Lines, streamed from the database."""

from __future__ import annotations

import csv
import io
import json

import pytest

from accounts.audit import AuditEntry
from tests.billing.conftest import download as download
from tests.factories import AuditEntryFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def export(api, audrey, download):
    """`export("csv", via="api")`: the text of audrey's export."""

    def get(file_format, **query):
        answer = api(audrey).get("/audit-log/export", {"format": file_format, **query})
        assert answer.status_code == 200, answer.content
        return download(answer)

    return get


def test_writes_entries_as_rows_the_oldest_first(export, workspace):
    made = [str(AuditEntryFactory(workspace=workspace).pk) for _ in range(2)]
    rows = list(csv.DictReader(io.StringIO(export("csv", user="bob"))))
    assert [(row["id"], row["user"], json.loads(row["after"])) for row in rows] == [
        (key, "bob", {"system_prompt": "Be kind."}) for key in made
    ]


def test_writes_entries_as_lines(export, workspace):
    entry = AuditEntryFactory(workspace=workspace, after={"text": 'a "quoted" \\ text,\nand more'})
    [line] = export("jsonl", user="bob").splitlines()
    shown = json.loads(line)
    assert (shown["id"], shown["workspace"], shown["after"]) == (str(entry.pk), "acme", entry.after)


def test_leaves_no_formula_in_a_cell(export, workspace):
    AuditEntryFactory(workspace=workspace, resource_name="=1+1")
    [row] = csv.DictReader(io.StringIO(export("csv", user="bob")))
    assert row["resource"] == "'=1+1"


def test_has_nothing_of_another_workspace(export, other_workspace):
    AuditEntryFactory(workspace=other_workspace)
    assert export("jsonl", user="bob") == ""


def test_is_an_entry_itself(export):
    export("jsonl")
    assert (AuditEntry.objects.get().action, AuditEntry.objects.get().after) == (
        "exported",
        {"format": "jsonl"},
    )


@pytest.mark.parametrize(
    ("query", "field"), [({"format": "xlsx"}, "format"), ({"nonsense": "1"}, "nonsense")]
)
def test_names_what_is_wrong_with_a_request(api, audrey, query, field):
    error = api(audrey).get("/audit-log/export", query).json()["error"]
    assert error["details"][0]["field"] == field


def test_reads_nothing_for_a_head_request(api, audrey):
    assert api(audrey).head("/audit-log/export").status_code == 405
