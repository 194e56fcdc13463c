"""Calls whose usage has cached, reasoning and audio tokens: over a socket into the ledger, each at its own price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agentplatform.lib.concurrency import in_thread
from billing.models import UsageRecord
from billing.rates import UsedPrices
from billing.reconciliation import Scope, reconcile
from billing.repricing import tokens_of
from runs.models import Run
from tests.engine.support import finished, start
from tests.factories import PriceFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def price(workspace):
    return PriceFactory(
        workspace=workspace,
        model="audio-5",
        cached_per_million=Decimal(1),
        input_audio_per_million=Decimal(32),
        output_audio_per_million=Decimal(64),
        reasoning_per_million=Decimal(10),
        per_request=Decimal("0.01"),
    )


@pytest.fixture
async def call(worker, agent_on, alice, price) -> UsageRecord:
    """The settled call of a run that has ended."""
    agent = await in_thread(agent_on, "audio-5", system_prompt="You answer four words.")
    run = await finished(await start(alice, agent, "What do you hear in this?"))
    return await UsageRecord.objects.settled().aget(run_id=run.pk)


async def test_keeps_the_counts_of_each_kind(call):
    assert (call.cached_tokens, call.reasoning_tokens, call.input_audio_tokens, call.output_audio_tokens) == (
        call.input_tokens // 2, 7, 1, 3,
    )  # fmt: skip


async def test_costs_the_sum_of_all_kinds(call):
    fresh = call.input_tokens - call.cached_tokens - 1
    millionths = fresh * 2 + call.cached_tokens * 1 + 1 * 32 + (call.output_tokens - 10) * 8 + 7 * 10 + 3 * 64
    assert call.cost == Decimal(millionths) / 1_000_000 + Decimal("0.01")


async def test_keeps_all_prices_so_that_the_cost_can_be_recomputed(call):
    assert call.prices == {
        "cached": "0.000001",
        "input_audio": "0.000032",
        "output_audio": "0.000064",
        "reasoning": "0.00001",
        "request": "0.01",
    }
    stored = UsedPrices.from_stored(call.input_price, call.output_price, call.prices)
    assert stored.cost(tokens_of(call)) == call.cost


async def test_comes_to_the_same_in_the_runs_totals(call, workspace):
    run = await Run.objects.aget(pk=call.run_id)
    scope = Scope(workspace.pk, workspace.slug)
    findings = await in_thread(lambda: list(reconcile(scope)))
    assert (run.cost, [one.differing for one in findings]) == (call.cost, [0] * len(findings))
