import pytest

from agentplatform.lib import csv_stream
from tests.factories import ApiKeyFactory

PATH = "/billing/usage/export"


@pytest.fixture
def export(api, audrey):
    """`export(model="gpt-5")`: the response to audrey's export with these filters; its rows are not read."""

    def get(**query):
        return api(audrey).get(PATH, {"format": "csv", **query})

    return get


def test_is_a_download_that_nobody_keeps(export):
    headers = export(start="2026-11-01T00:00:00Z", end="2026-12-01T00:00:00Z").headers
    assert (headers["Content-Disposition"], headers["Content-Type"], headers["X-Content-Type-Options"]) == (
        'attachment; filename="usage-acme-20261101-20261201.csv"',
        "text/csv; charset=utf-8",
        "nosniff",
    )


@pytest.mark.parametrize(("name", "status"), [("alice", 200), ("olivia", 403), ("bob", 403), ("vera", 403)])
def test_opens_to_whom_the_role_permits(api, request, name, status):
    assert api(request.getfixturevalue(name)).get(PATH).status_code == status


def test_needs_the_keys_scope(api, audrey, workspace):
    key = ApiKeyFactory(workspace=workspace, user=audrey, scopes=["read:usage"])
    assert api(key).get(PATH).status_code == 403


def test_answers_errors_as_json_whatever_is_accepted(api, audrey):
    response = api(audrey).get(PATH, {"format": "pdf"}, headers={"Accept": "text/csv"})
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, "format")


def test_does_not_run_for_a_head_request(api, audrey):
    assert api(audrey).head(PATH).status_code == 405


def test_refuses_more_downloads_than_it_has_room_for(export, monkeypatch):
    monkeypatch.setattr(csv_stream, "AT_ONCE", 0)
    response = export()
    assert (response.status_code, response.headers["Retry-After"]) == (429, "5")
