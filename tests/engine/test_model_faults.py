"""What a run makes of a model endpoint that fails: a classified error, the run ended, its usage kept."""

from __future__ import annotations

import pytest

from agentplatform.lib.concurrency import in_thread
from agents.versions import record
from billing.models import UsageRecord
from runs.events import rebuild_text
from tests.engine.support import data, entries_of, events_of, finished, start
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

ONCE = {"retries": 0, "timeout": 1}


@pytest.mark.parametrize(
    ("behaviour", "error_class"),
    [
        ("error-429", "rate_limited"),
        ("error-500", "provider_unavailable"),
        ("error-503", "provider_unavailable"),
        ("error-401", "authentication"),
        ("error-400", "provider_rejected"),
        ("error-404", "provider_rejected"),
        ("cut", "provider_unavailable"),
        ("stall", "timeout"),
        ("hang", "timeout"),
        ("garbage", "provider_unavailable"),
        ("garbage-shape", "provider_unavailable"),
        ("garbage-html", "provider_unavailable"),
        ("loop", "max_steps"),
    ],
)
async def test_classifies_a_failing_endpoint(worker, agent_on, calculator, alice, behaviour, error_class):
    agent = await in_thread(agent_on, behaviour, tools=[calculator], config={**ONCE, "max_steps": 3})

    run = await finished(await start(alice, agent))

    assert (run.status, run.error["class"]) == ("failed", error_class)


async def test_classifies_an_endpoint_that_is_down(worker, agent_on, alice):
    agent = await in_thread(agent_on, "text", config=ONCE)
    await in_thread(_point_elsewhere, agent, "http://127.0.0.1:9/v1")

    run = await finished(await start(alice, agent))

    assert run.error["class"] == "provider_unavailable"


async def test_refuses_a_private_endpoint_that_is_not_allowed(worker, agent_on, alice, settings):
    agent = await in_thread(agent_on, "text", config=ONCE)
    settings.OUTBOUND_ALLOWED_HOSTS = []

    run = await finished(await start(alice, agent))

    assert run.error["class"] == "invalid_configuration"


FAILED_CALL = [("opened", "pending"), ("settled", "failed")]


@pytest.mark.parametrize(
    "behaviour", ["error-401", "error-429", "error-500", "cut", "stall", "hang", "garbage", "garbage-html"]
)
async def test_settles_the_failed_call_in_the_ledger(worker, agent_on, alice, behaviour):
    agent = await in_thread(agent_on, behaviour, config=ONCE)

    run = await finished(await start(alice, agent))

    assert await entries_of(run) == FAILED_CALL


async def test_settles_the_call_of_an_endpoint_that_is_down(worker, agent_on, alice):
    agent = await in_thread(agent_on, "text", config=ONCE)
    await in_thread(_point_elsewhere, agent, "http://127.0.0.1:9/v1")

    run = await finished(await start(alice, agent))

    assert await entries_of(run) == FAILED_CALL


async def test_estimates_what_a_cut_stream_has_used(worker, agent_on, alice):
    agent = await in_thread(agent_on, "cut", config=ONCE)

    run = await finished(await start(alice, agent))

    record = await UsageRecord.objects.aget(run_id=run.id, entry="settled")
    assert record.output_tokens > 0


async def test_says_that_it_tries_again(worker, agent_on, alice):
    agent = await in_thread(agent_on, "fail-once-500", config={"retries": 2})

    events = await events_of((await start(alice, agent, "retry me")).id)

    assert [data(event)["reason"] for event in events if event.type == "retrying"] == ["provider_unavailable"]


async def test_completes_when_a_later_try_succeeds(worker, agent_on, alice):
    agent = await in_thread(agent_on, "fail-once-500", config={"retries": 2})

    run = await finished(await start(alice, agent, "retry me, too"))

    assert run.status == "completed"


async def test_makes_void_what_a_cut_stream_had_said(worker, agent_on, alice):
    agent = await in_thread(agent_on, "fail-once-cut", config={"retries": 1})

    run = await start(alice, agent, "say it again")
    events = await events_of(run.id)

    assert rebuild_text(events) == (await finished(run)).response_content


async def test_charges_every_try(worker, agent_on, alice):
    agent = await in_thread(agent_on, "fail-once-500", config={"retries": 2})

    run = await finished(await start(alice, agent, "charge me"))

    statuses = UsageRecord.objects.filter(run_id=run.id, entry="settled").values_list("status", flat=True)
    assert sorted([status async for status in statuses]) == ["failed", "ok"]


async def test_falls_back_to_the_next_model(worker, agent_on, alice):
    agent = await in_thread(agent_on, "error-400", fallbacks=["text-3"], config=ONCE)

    run = await finished(await start(alice, agent))

    assert run.response_content.split() == ["word0", "word1", "word2"]


async def test_estimates_the_usage_that_an_endpoint_does_not_report(worker, agent_on, alice):
    agent = await in_thread(agent_on, "no-usage")

    run = await finished(await start(alice, agent))

    assert run.output_tokens > 0


async def test_lets_the_model_deal_with_arguments_that_are_no_json(worker, agent_on, calculator, alice):
    agent = await in_thread(agent_on, "bad-arguments", tools=[calculator], config={**ONCE, "max_steps": 3})

    run = await finished(await start(alice, agent))

    assert run.status in ("completed", "failed")


async def test_shows_no_key_in_its_error(worker, agent_on, alice, workspace):
    agent = await in_thread(agent_on, "error-401", config=ONCE)

    run = await finished(await start(alice, agent))

    assert "sk-" not in str(run.error)


async def test_fails_clearly_when_a_provider_does_not_exist(worker, agent_on, alice):
    agent = await in_thread(agent_on, "text")
    await in_thread(_rename_provider, agent)

    run = await finished(await start(alice, agent))

    assert run.error["class"] == "invalid_configuration"


def _point_elsewhere(agent, url: str) -> None:
    _change_model(agent, base_url=url)


def _rename_provider(agent) -> None:
    _change_model(agent, provider="nobody")


def _change_model(agent, **changes: str) -> None:
    for name, value in changes.items():
        setattr(agent.model, name, value)
    agent.model.save()
    record(agent.model, None, "updated")


@pytest.fixture
def calculator(workspace):
    return ToolFactory(workspace=workspace, name="calculator")
