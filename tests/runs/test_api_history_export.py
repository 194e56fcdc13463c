"""A conversation as a file."""

from __future__ import annotations

import csv
import io
import json

import pytest
from asgiref.sync import async_to_sync

from tests.factories import SessionFactory
from tests.runs.conversations import one_a_minute

# The file is read in other threads, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(workspace, alice):
    return SessionFactory(workspace=workspace, user=alice, title="Refunds & returns")


@pytest.fixture
def say(session):
    return one_a_minute(session)


async def _all(pieces) -> str:
    return b"".join([piece async for piece in pieces]).decode()


@pytest.fixture
def exported(api, alice, session):
    """`exported("csv")`: the file's text."""

    def export(name: str, **query) -> str:
        answer = api(alice).get(f"/api/v1/history/sessions/{session.pk}/export", {"format": name, **query})
        assert answer.status_code == 200
        return async_to_sync(_all)(answer.streaming_content)

    return export


def test_exports_json(exported, say, session):
    for number in range(450):
        say(f"message {number}")
    found = json.loads(exported("json"))
    assert found["session"]["name"] == session.title
    assert [one["content"] for one in found["messages"]] == [f"message {number}" for number in range(450)]


def test_exports_json_of_nothing(exported):
    assert json.loads(exported("json"))["messages"] == []


def test_exports_json_lines(exported, say):
    say("one\ntwo")
    say("three")
    assert [json.loads(line)["content"] for line in exported("jsonl").splitlines()] == ["one\ntwo", "three"]


def test_exports_csv_that_no_spreadsheet_takes_for_formulas(exported, say):
    say('=cmd("x")')
    [row] = csv.DictReader(io.StringIO(exported("csv")))
    assert row["content"] == '\'=cmd("x")'


def test_exports_markdown_whose_headings_are_its_own(exported, say):
    say("# Not a heading")
    text = exported("md")
    assert text.startswith("# Refunds & returns\n\n## user · 2026-11-01T12:00:00+00:00\n\n\\# Not a heading")


def test_names_the_file_in_plain_letters(api, alice, session):
    answer = api(alice).get(f"/api/v1/history/sessions/{session.pk}/export")
    assert (
        answer["Content-Disposition"] == f'attachment; filename="refunds-returns-{str(session.pk)[:8]}.json"'
    )
