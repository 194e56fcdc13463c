from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.factories import UsageRecordFactory

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def used_at(workspace):
    """`used_at("2026-05-01T10:00")`: a settled call in acme at that moment, in UTC."""

    def record(*moments):
        for moment in moments:
            at = datetime.fromisoformat(moment)
            UsageRecordFactory(
                workspace=workspace, timestamp=at if at.tzinfo else at.replace(tzinfo=ZoneInfo("UTC"))
            )

    return record


@pytest.fixture
def buckets(api, audrey):
    """`buckets(granularity="day")`: start → requests, over the year 2026."""

    def read(**query):
        query = {"start": "2026-01-01T00:00:00Z", "end": "2026-12-31T00:00:00Z", **query}
        response = api(audrey).get("/billing/usage/history", query)
        assert response.status_code == 200, response.content
        return {bucket["start"]: bucket["requests"] for bucket in response.json()["buckets"]}

    return read


def test_gathers_by_day(used_at, buckets):
    used_at("2026-05-01T00:00", "2026-05-01T23:59:59.999", "2026-05-02T00:00")
    assert buckets(granularity="day") == {"2026-05-01T00:00:00Z": 2, "2026-05-02T00:00:00Z": 1}


def test_begins_weeks_on_monday(used_at, buckets):
    used_at("2026-05-03T23:00", "2026-05-04T01:00")
    assert buckets(granularity="week") == {"2026-04-27T00:00:00Z": 1, "2026-05-04T00:00:00Z": 1}


def test_gathers_by_month(used_at, buckets):
    used_at("2026-05-31T23:59", "2026-06-01T00:00", "2026-06-30T12:00")
    assert buckets(granularity="month") == {"2026-05-01T00:00:00Z": 1, "2026-06-01T00:00:00Z": 2}


def test_begins_days_at_local_midnight(used_at, buckets):
    used_at("2026-05-01T21:59", "2026-05-01T22:00")
    assert buckets(tz="Europe/Berlin") == {"2026-04-30T22:00:00Z": 1, "2026-05-01T22:00:00Z": 1}


def test_knows_days_of_23_and_25_hours(used_at, buckets):
    # Clocks went forward on 29 March and go back on 25 October.
    used_at(
        "2026-03-28T23:30", "2026-03-29T21:30", "2026-03-29T22:30", "2026-10-24T22:30", "2026-10-25T22:30"
    )
    assert buckets(tz="Europe/Berlin") == {
        "2026-03-28T23:00:00Z": 2,
        "2026-03-29T22:00:00Z": 1,
        "2026-10-24T22:00:00Z": 2,
    }


def test_tells_apart_the_two_hours_of_one_name(used_at, buckets):
    used_at("2026-10-25T00:30", "2026-10-25T01:30")
    day = {"start": "2026-10-24T00:00:00Z", "end": "2026-10-27T00:00:00Z"}
    found = buckets(granularity="hour", tz="Europe/Berlin", **day)
    assert found == {"2026-10-25T00:00:00Z": 1, "2026-10-25T01:00:00Z": 1}


def test_begins_hours_where_the_time_zone_does(used_at, buckets):
    used_at("2026-05-01T10:29", "2026-05-01T10:31")
    day = {"start": "2026-05-01T00:00:00Z", "end": "2026-05-02T00:00:00Z"}
    found = buckets(granularity="hour", tz="Asia/Kolkata", **day)
    assert found == {"2026-05-01T09:30:00Z": 1, "2026-05-01T10:30:00Z": 1}


def test_totals_equal_the_sum_of_its_buckets(used_at, api, audrey):
    used_at("2026-05-01T10:00", "2026-06-01T10:00", "2026-07-01T10:00")
    period = {"start": "2026-01-01T00:00:00Z", "end": "2026-12-31T00:00:00Z"}
    answer = api(audrey).get("/billing/usage/history", period).json()
    assert answer["totals"]["requests"] == sum(bucket["requests"] for bucket in answer["buckets"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"tz": "Europe/Atlantis"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"granularity": "minute"}, "granularity"),
        ({"granularity": "hour", "start": "2020-01-01T00:00:00Z"}, "granularity"),
    ],
)
def test_refuses_what_it_cannot_answer(api, audrey, query, field):
    response = api(audrey).get("/billing/usage/history", query)
    assert (response.status_code, response.json()["error"]["details"][0]["field"]) == (422, field)
