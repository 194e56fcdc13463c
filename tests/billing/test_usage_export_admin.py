"""Exports in the admin: a form to ask, a button to download."""

import pytest
from django.core.files.storage import default_storage

from billing.exports import jobs
from billing.exports.files import name_of
from billing.models import UsageExport
from tests.billing.conftest import joined
from tests.factories import UsageExportFactory
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/billing/usageexport/"
FORM = {
    "format": "csv",
    "from_time_0": "2026-01-01",
    "from_time_1": "00:00:00",
    "of_agent": "trade-assistant",
    "chosen": ["cost", "agent"],
    "decimal": "comma",
    "delimiter": ";",
    "tz": "Europe/Berlin",
    "compression": "none",
}


@pytest.fixture
def add(workspace, stored):
    """`add(user, tz="UTC")`: the answer to the form."""

    def post(user, **changes):
        return signed_in(user).post(f"{LIST}add/", {"workspace": workspace.pk, **FORM, **changes})

    return post


def test_asks_for_an_export(add, alice):
    assert add(alice).status_code == 302
    export = UsageExport.objects.get()
    assert (export.user, export.columns, export.filters["start"], export.options["decimal"]) == (
        "alice",
        ["cost", "agent"],
        "2026-01-01T00:00:00+00:00",
        "comma",
    )


def test_makes_what_was_asked_for(add, alice, used):
    used()
    add(alice)
    jobs.make(jobs.claim_next())
    export = UsageExport.objects.get()
    with default_storage.open(name_of(export, 1)) as file:
        assert file.read() == b"cost;agent\n0,00021;trade-assistant\n"


@pytest.mark.parametrize(
    "changes",
    [{"tz": "Mars/Olympus"}, {"format": "jsonl"}, {"until_time_0": "2020-01-01", "until_time_1": "00:00"}],
)
def test_says_in_the_form_what_is_wrong(add, alice, changes):
    response = add(alice, **changes)
    assert (response.status_code, bool(response.context["adminform"].errors)) == (200, True)


def test_is_closed_to_who_may_not_export(add, olivia):
    assert add(olivia).status_code == 403


def test_gives_the_file(stored, alice, workspace):
    export = UsageExportFactory(workspace=workspace)
    response = signed_in(alice).get(f"{LIST}{export.pk}/download/")
    assert (response.status_code, joined(response)) == (200, b"id\n")


def test_gives_nobody_elses_file(stored, charlie, workspace):
    export = UsageExportFactory(workspace=workspace)
    assert signed_in(charlie).get(f"{LIST}{export.pk}/download/").status_code == 404


def test_says_that_there_is_no_file(stored, alice, workspace):
    export = UsageExportFactory(workspace=workspace, status="expired")
    assert signed_in(alice).get(f"{LIST}{export.pk}/download/").status_code == 302


def test_removes_the_file_with_the_export(stored, alice, workspace):
    export = UsageExportFactory(workspace=workspace)
    signed_in(alice).post(f"{LIST}{export.pk}/delete/", {"post": "yes"})
    assert (UsageExport.objects.exists(), stored()) == (False, [])


def test_shows_the_manifest(stored, alice, workspace):
    export = UsageExportFactory(workspace=workspace)
    page = signed_in(alice).get(f"{LIST}{export.pk}/change/").content.decode()
    assert (export.sha256 in page, f"{LIST}{export.pk}/download/" in page) == (True, True)


def test_lists_with_few_queries(stored, alice, workspace, django_assert_max_num_queries):
    for _ in range(3):
        UsageExportFactory(workspace=workspace)
    client = signed_in(alice)
    with django_assert_max_num_queries(12):
        assert client.get(LIST).status_code == 200
