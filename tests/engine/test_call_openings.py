"""A call whose opening goes wrong is settled: it may have been written, and would keep room of budgets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from billing import ledger
from billing.models import Outcome
from runs.engine import model_calls
from runs.engine.journal import HandedBack, Paused


class Recorder:
    """Opens no call, because of `error`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def is_safe(self, step):
        return True

    async def open_usage(self, step, record):
        raise self.error


async def settled_after(error: BaseException) -> list[tuple[Outcome, ledger.Tokens]]:
    settled = []
    with pytest.raises(type(error)):
        await model_calls._open(
            Recorder(error), SimpleNamespace(), SimpleNamespace(), lambda *given: settled.append(given)
        )
    return settled


@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("an entry was lost")])
async def test_is_settled_where_it_may_have_been_written(error):
    assert await settled_after(error) == [(Outcome.CANCELLED, ledger.Tokens())]


@pytest.mark.parametrize("error", [Paused(), HandedBack()])
async def test_is_left_where_the_run_rests_instead(error):
    assert await settled_after(error) == []
