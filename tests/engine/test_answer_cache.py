"""Answers that are given again: to the same question, in the same workspace, at no cost."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from billing.models import UsageRecord
from runs.engine import answer_cache
from runs.models import Run, Status
from tests.engine.support import data, events_of, finished, start
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_cache():
    cache.clear()


@pytest.fixture
def keeping(agent_on):
    return agent_on("text-5", config={"cache_ttl": 60})


async def asked_twice(alice, agent, *texts: str) -> list[Run]:
    return [await finished(await start(alice, agent, text)) for text in texts]


async def test_asks_the_model_once(worker, alice, keeping, endpoint):
    before = len(endpoint.requests)
    first, second = await asked_twice(alice, keeping, "hello", "hello")
    assert (first.response_content, len(endpoint.requests) - before) == (second.response_content, 1)


async def test_costs_nothing_and_is_marked(worker, alice, keeping):
    _, second = await asked_twice(alice, keeping, "hello", "hello")
    [entry] = [one async for one in UsageRecord.objects.filter(run_id=second.id)]
    assert (entry.status, entry.requests, entry.cost, entry.input_tokens) == ("cached", 0, 0, 0)
    assert (second.status, second.input_tokens, second.unpriced_calls) == (Status.COMPLETED, 0, 0)


async def test_is_streamed_as_a_whole(worker, alice, keeping):
    _, second = await asked_twice(alice, keeping, "hello", "hello")
    deltas = [data(event)["content"] for event in await events_of(second.id) if event.type == "content_delta"]
    assert deltas == [second.response_content]


async def test_asks_anew_what_is_another_question(worker, alice, keeping, endpoint):
    before = len(endpoint.requests)
    await asked_twice(alice, keeping, "hello", "hello!")
    assert len(endpoint.requests) - before == 2


@pytest.fixture
def forgetful(agent_on):
    return agent_on("text-5")


async def test_keeps_nothing_unless_the_agent_says_so(worker, alice, forgetful, endpoint):
    before = len(endpoint.requests)
    await asked_twice(alice, forgetful, "hello", "hello")
    assert len(endpoint.requests) - before == 2


async def test_keeps_nothing_where_the_platform_says_so(worker, alice, keeping, endpoint, settings):
    settings.AGENT_ENABLE_CACHE = False
    before = len(endpoint.requests)
    await asked_twice(alice, keeping, "hello", "hello")
    assert len(endpoint.requests) - before == 2


@pytest.fixture
def cut_off(agent_on):
    return agent_on("length-3", config={"cache_ttl": 60})


async def test_keeps_no_answer_that_was_cut_off(worker, alice, cut_off, endpoint):
    before = len(endpoint.requests)
    await asked_twice(alice, cut_off, "hello", "hello")
    assert len(endpoint.requests) - before == 2


@pytest.fixture
def calling(agent_on, workspace):
    calculator = ToolFactory(workspace=workspace, name="calculator", function="calculator")
    return agent_on("text-3", tools=[calculator], config={"cache_ttl": 60})


async def test_makes_the_calls_of_an_answer_that_is_given_again(worker, alice, calling):
    text = 'call calculator {"expression": "1 + 1"}'
    runs = await asked_twice(alice, calling, text, text)
    called = [[call.status async for call in run.tool_calls.all()] for run in runs]
    assert called == [["done"], ["done"]]


async def test_gives_answers_after_the_same_calls_again(worker, alice, calling, endpoint):
    text = 'call calculator {"expression": "1 + 1"}'
    before = len(endpoint.requests)
    await asked_twice(alice, calling, text, text)
    assert len(endpoint.requests) - before == 2


async def test_asks_the_model_where_the_cache_is_away(worker, alice, keeping, monkeypatch):
    def broken(*args):
        raise ConnectionError

    monkeypatch.setattr(answer_cache, "cache", type("Away", (), {"get": broken, "set": broken}))
    [run] = await asked_twice(alice, keeping, "hello")
    assert run.status == Status.COMPLETED
