"""Database code on threads: while nobody gets a connection, nobody waits behind those who wait for one."""

from __future__ import annotations

import pytest
from psycopg_pool import PoolTimeout

from agentplatform.lib import concurrency
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.outage import Outage


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    """What one test has found out is not the next one's."""
    monkeypatch.setattr(concurrency, "_outage", Outage(PoolTimeout, "a moment ago"))


def without_connection() -> None:
    raise PoolTimeout("after a wait")


async def test_answers_what_the_function_answers():
    assert await in_thread(lambda: 7) == 7


async def test_raises_what_the_function_raises():
    with pytest.raises(PoolTimeout, match="after a wait"):
        await in_thread(without_connection)


async def test_refuses_at_once_after_the_database_gave_no_connection():
    with pytest.raises(PoolTimeout, match="after a wait"):
        await in_thread(without_connection)
    with pytest.raises(PoolTimeout, match="a moment ago"):
        await in_thread(lambda: 7)


async def test_goes_on_after_any_other_error():
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)
    assert await in_thread(lambda: 7) == 7
