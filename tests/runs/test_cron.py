"""Cron expressions name moments, also where clocks are set forward or back."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentplatform.lib.errors import Invalid
from runs.schedules import cron

BERLIN = "Europe/Berlin"
SUNDAY_MIDNIGHT = datetime(2026, 8, 1, 22, tzinfo=UTC)
BEFORE_THE_GAP = datetime(2027, 3, 27, 12, tzinfo=UTC)
BEFORE_THE_REPEAT = datetime(2026, 10, 24, 12, tzinfo=UTC)


def moments(expression: str, after: datetime, count: int, zone: str = BERLIN) -> list[str]:
    return [f"{moment:%d %H:%M}" for moment in islice(cron.ticks(expression, zone, after), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 7 * * *", ["02 05:30", "03 05:30"]),
        ("*/20 * * * *", ["01 22:20", "01 22:40"]),
        ("0 0 1 * *", ["31 22:00", "30 22:00"]),
        ("0 12 * * MON-FRI", ["03 10:00", "04 10:00"]),
    ],
)
def test_go_by_the_clocks_of_their_zone(expression, expected):
    assert moments(expression, SUNDAY_MIDNIGHT, 2) == expected


def test_come_right_after_the_gap_for_a_time_that_is_left_out():
    assert moments("30 2 * * *", BEFORE_THE_GAP, 2) == ["28 01:00", "29 00:30"]


def test_come_once_where_the_gap_makes_two_of_them_one():
    assert moments("0 2,3 * * *", BEFORE_THE_GAP, 2) == ["28 01:00", "29 00:00"]


def test_come_once_for_a_time_that_is_shown_twice():
    assert moments("30 2 * * *", BEFORE_THE_REPEAT, 2) == ["25 00:30", "26 01:30"]


def test_do_not_come_again_in_the_second_of_two_equal_hours():
    in_second_hour = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    assert moments("30 2 * * *", in_second_hour, 1) == ["26 01:30"]


def test_come_every_real_hour_where_they_are_hourly():
    assert moments("30 * * * *", datetime(2026, 10, 24, 23, 45, tzinfo=UTC), 3) == [
        "25 00:30",
        "25 01:30",
        "25 02:30",
    ]


@given(
    expression=st.sampled_from(
        ["* * * * *", "30 2 * * *", "*/7 1-3 * * *", "0 2,3 * 3,10 SUN", "15 */2 L * *"]
    ),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),
)
def test_are_later_each_time(expression, zone, after):
    found = [after, *islice(cron.ticks(expression, zone, after), 5)]

    assert all(earlier < later for earlier, later in pairwise(found))


@given(expression=st.text("*0123456789-/,#LW MONJA ", max_size=30))
def test_are_checked_without_a_crash_whatever_is_written(expression):
    with suppress(Invalid):
        cron.check(expression, "UTC")
        assert cron.next_tick(expression, "UTC", BEFORE_THE_GAP) > BEFORE_THE_GAP


@pytest.mark.parametrize("expression", ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "@daily"])
def test_are_refused_where_they_name_none(expression):
    with pytest.raises(Invalid, match=r"cron: .* Write minute, hour, day, month and weekday"):
        cron.check(expression, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "europe/berlin"])
def test_need_a_zone_that_there_is(zone):
    with pytest.raises(Invalid, match="timezone: There is no time zone"):
        cron.check("0 0 * * *", zone)


def test_are_found_from_the_newest_without_counting_all():
    now = datetime(2026, 6, 1, tzinfo=UTC)

    found = cron.newest_ticks("* * * * *", "UTC", now - timedelta(days=3000), now, 100)

    assert (found[0], found[-1], len(found)) == (now - timedelta(minutes=99), now, 100)


def test_are_all_found_where_they_are_few():
    now = datetime(2026, 6, 1, tzinfo=UTC)

    found = cron.newest_ticks("0 0 1 1 *", "UTC", now - timedelta(days=800), now, 100)

    assert [moment.year for moment in found] == [2025, 2026]
