"""Ids that grow with time: their bounds in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agentplatform.lib.ids import first_uuid7_at, time_of

MOMENT = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.mark.parametrize("later", [timedelta(0), timedelta(hours=1), -timedelta(hours=1)])
def test_finds_the_first_id_of_a_moment(later):
    assert time_of(first_uuid7_at(MOMENT, later=later)) == MOMENT + later


def test_finds_the_least_id_before_the_time_that_ids_count():
    assert first_uuid7_at(datetime.min.replace(tzinfo=UTC), later=-timedelta(hours=1)).int == 0


def test_finds_a_bound_behind_the_last_moment():
    assert first_uuid7_at(datetime.max.replace(tzinfo=UTC), later=timedelta(hours=1)) > first_uuid7_at(MOMENT)
