"""The trade assistant as an agent: it calls its three tools, at an endpoint that speaks OpenAI's protocol."""

from __future__ import annotations

import pytest

from agents.examples.trade.assistant import NAME, SYSTEM_PROMPT, TOOLS
from tests.engine.support import data, events_of, finished, start
from tests.factories import AgentFactory, ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

QUESTION = """Where do we buy solar panels, and what does Germany import of them?
call find_suppliers {"product": "solar panels", "country": "Germany"}
call trade_figures {"country": "Germany", "product": "solar panels", "from_year": 2025}
call company_background {"company": "Nordlicht Solartechnik"}"""


def assistant_with(workspace, model):
    tools = [ToolFactory(workspace=workspace, name=name, function=name) for name in TOOLS]
    return AgentFactory(workspace=workspace, name=NAME, system_prompt=SYSTEM_PROMPT, model=model, tools=tools)


@pytest.fixture
def assistant(workspace, endpoint):
    model = ChatModelFactory(workspace=workspace, provider="openai", model="text", base_url=endpoint.base_url)
    return assistant_with(workspace, model)


@pytest.fixture
def scripted_assistant(workspace):
    return assistant_with(workspace, ChatModelFactory(workspace=workspace))


async def results_of(run):
    """What its tools have answered, by their names."""
    events = [event for event in await events_of(run.id) if event.type == "tool_call_completed"]
    return {data(event)["tool"]: data(event)["result"] for event in events}


async def test_calls_each_of_its_three_tools(worker, assistant, alice):
    results = await results_of(await start(alice, assistant, QUESTION))

    supplier, year = results["find_suppliers"]["suppliers"][0], results["trade_figures"]["years"][0]
    assert (supplier["company"], year["year"], results["company_background"]["founded"]) == (
        "Nordlicht Solartechnik",
        2025,
        2008,
    )


async def test_answers_with_what_its_tools_said(worker, assistant, alice):
    run = await finished(await start(alice, assistant, QUESTION))

    assert "Imports modules and keeps them in stock near the port." in run.response_content


async def test_hands_its_instructions_and_tools_to_the_model(worker, assistant, alice, endpoint):
    endpoint.reset()
    await finished(await start(alice, assistant, QUESTION))

    body = endpoint.requests[0].body
    assert body["messages"][0]["content"] == SYSTEM_PROMPT
    assert sorted(tool["function"]["name"] for tool in body["tools"]) == sorted(TOOLS)


async def test_lets_the_model_correct_a_name_that_it_got_wrong(worker, assistant, alice):
    run = await start(alice, assistant, 'call find_suppliers {"product": "solor pannels"}')

    failed = [data(event)["error"] for event in await events_of(run.id) if event.type == "tool_call_failed"]
    assert failed == ["There is no product 'solor pannels'. Did you mean 'Solar panels'?"]


async def test_answers_a_question_by_the_demo_model_too(worker, scripted_assistant, alice):
    run = await finished(await start(alice, scripted_assistant, "Who supplies solar panels from Germany?"))

    assert "Nordlicht Solartechnik" in run.response_content
