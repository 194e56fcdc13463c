"""The key of a tool call: whoever watches over a graph's calls sets it, and the tool's endpoint gets it."""

from __future__ import annotations

import uuid

import pytest
from langchain.agents.middleware import AgentMiddleware

from agents.compiler import compile_agent
from agents.specification import AgentConfig, AgentSpecification
from agents.tools.call import call_key
from tests.agents.specs import agent_spec, http_spec, model_spec


class Keyed(AgentMiddleware):
    """Gives each call the model's id of it as its key."""

    async def awrap_tool_call(self, request, handler):
        token = call_key.set(request.tool_call["id"])
        try:
            return await handler(request)
        finally:
            call_key.reset(token)


def specification_of(*tools):
    return AgentSpecification(
        version_id=uuid.uuid4(),
        id=uuid.uuid4(),
        workspace_id=uuid.uuid4(),
        name="assistant",
        system_prompt="",
        config=AgentConfig(),
        memory_window=None,
        model=model_spec(provider="demo", model="scripted", parameters={"delay_ms": 0}),
        tools=tools,
    )


async def ask(text, *tools, middleware=()):
    agent = compile_agent(specification_of(*tools), {}, middleware=middleware)
    return await agent.graph.ainvoke({"messages": [{"role": "user", "content": text}]})


@pytest.fixture
def order(http_endpoint):
    return http_spec(http_endpoint.url, ("number",), name="order", request={"method": "POST", "body": {}})


async def test_reaches_the_endpoint(http_endpoint, order):
    await ask('call order {"number": 7}', order, middleware=[Keyed()])
    assert http_endpoint.asked[0].headers["Idempotency-Key"] == "call_1_0"


async def test_is_another_for_each_of_several_calls_at_once(http_endpoint, order):
    await ask('call order {"number": 7}\ncall order {"number": 8}', order, middleware=[Keyed()])
    keys = {asked.headers["Idempotency-Key"] for asked in http_endpoint.asked}
    assert keys == {"call_1_0", "call_1_1"}


async def test_is_not_sent_where_there_is_none(http_endpoint, order):
    await ask('call order {"number": 7}', order)
    assert "Idempotency-Key" not in http_endpoint.asked[0].headers


async def test_offers_the_model_an_agent_like_any_other_tool():
    said = await ask("Which tools have you got?", agent_spec(name="expert"))
    assert "I can call these tools: expert." in said["messages"][-1].text
