"""A worker in the test's own event loop, a model endpoint, and agents that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from agentplatform.lib.concurrency import in_thread
from agents.models import Agent, Tool
from runs import approvals
from runs.approvals import Decision
from runs.engine.checkpointer import CheckpointSaver
from runs.engine.journal import HandedBack
from runs.engine.worker import Worker
from runs.live import announce, hub
from runs.models import Approval, Run, Session
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.factories import AgentFactory, ChatModelFactory, HttpToolFactory
from tests.model_endpoint import ModelEndpoint


@pytest.fixture(scope="session")
def endpoint_process() -> Iterator[ModelEndpoint]:
    with ModelEndpoint(tokens=5) as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(endpoint_process: ModelEndpoint, settings) -> ModelEndpoint:
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    return endpoint_process


@pytest.fixture
def agent_on(workspace, endpoint: ModelEndpoint) -> Callable[..., Agent]:
    """`agent_on("text-5", config={…}, tools=[…])`: an agent whose model at the endpoint has that name."""

    def make(
        behaviour: str, tools: tuple[Tool, ...] = (), fallbacks: tuple[str, ...] = (), **fields
    ) -> Agent:
        def model(name: str, **relations):
            return ChatModelFactory(
                workspace=workspace, provider="openai", model=name, base_url=endpoint.base_url, **relations
            )

        others = [model(name) for name in fallbacks]
        return AgentFactory(
            workspace=workspace, model=model(behaviour, fallbacks=others), tools=tools, **fields
        )

    return make


@pytest.fixture
def endpoint_of_tool(settings) -> Iterator[HttpEndpoint]:
    with HttpEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def http_tool(workspace, endpoint_of_tool) -> Callable[..., Tool]:
    """`http_tool("refund", requires_approval=True)`: a tool that posts to the endpoint, which remembers it."""

    def make(name: str, **fields) -> Tool:
        return HttpToolFactory(
            workspace=workspace,
            name=name,
            request={"method": "POST", "url": endpoint_of_tool.url, "body": {"amount": "{amount}"}},
            arguments_schema={"type": "object", "properties": {"amount": {"type": "integer"}}},
            **fields,
        )

    return make


@pytest.fixture
def silent_tool(workspace, endpoint_of_tool) -> Tool:
    """A tool that asks an endpoint which never answers, for a second."""
    endpoint_of_tool.answer = Answer(hang=True)
    return HttpToolFactory(
        workspace=workspace,
        name="sleeper",
        request={"method": "GET", "url": endpoint_of_tool.url},
        arguments_schema={},
        timeout_seconds=1,
    )


@pytest.fixture
def chat_models(workspace, endpoint: ModelEndpoint) -> Callable[..., None]:
    """`chat_models(gpt="text-3", slow="slow-3-100")`: models at the endpoint that behave so, by their names."""
    endpoint.reset()

    def make(**behaviours: str) -> None:
        for name, behaviour in behaviours.items():
            ChatModelFactory(
                workspace=workspace, name=name, provider="openai", model=behaviour, base_url=endpoint.base_url
            )

    return make


@pytest.fixture
def decide(actor, alice) -> Callable[..., Awaitable[None]]:
    """`await decide(run, "approve", "ask")`: what alice says to the node's question; to the only one without a node."""

    async def make(run: Run, decision: str, node: str = "", **given) -> None:
        asked = Approval.objects.filter(run=run, status="pending")
        approval = await (asked.filter(tool=node) if node else asked).aget()
        _, events = await in_thread(
            lambda: approvals.decide(actor(alice), approval.pk, Decision(decision, **given))
        )
        announce(events)

    return make


@pytest.fixture
def stopped_before(monkeypatch) -> Callable[[int], None]:
    """`stopped_before(2)`: the attempt ends before it saves the state after its second step, once."""

    def make(step: int) -> None:
        save, has_stopped = CheckpointSaver.aput, []

        async def aput(saver, config, checkpoint, metadata, new_versions):
            recorder = config["configurable"]["__recorder"]
            if metadata.get("source") == "loop" and recorder.step == step and not has_stopped:
                has_stopped.append(True)
                raise HandedBack
            return await save(saver, config, checkpoint, metadata, new_versions)

        monkeypatch.setattr(CheckpointSaver, "aput", aput)

    return make


@pytest.fixture
def session(workspace, alice) -> Session:
    return Session.objects.create(workspace=workspace, user=alice)


@pytest_asyncio.fixture
async def worker(close_connections) -> AsyncIterator[Worker]:
    worker = Worker(concurrency=20)
    await worker.start()
    await worker.ready.wait()
    yield worker
    await worker.stop()


@pytest_asyncio.fixture
async def close_connections(transactional_db) -> AsyncIterator[None]:
    """Ends what the test's own queries and followers have left open: the database is emptied and dropped after."""
    yield
    await hub().stop()
    await sync_to_async(connections.close_all)()
