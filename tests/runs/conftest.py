"""What tests of runs need: the platform with its worker, clients that speak to it over HTTP, and agents.

`server` and `worker` are one platform for all tests of this room. Tests that use it need committed rows:
`pytestmark = pytest.mark.django_db(transaction=True)`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from openai import DefaultHttpxClient, OpenAI

from accounts.models import ApiKey, User
from accounts.tokens import AccessToken
from agents.models import Agent
from runs.commands import NEW_SESSION
from runs.engine.worker import Worker
from tests.factories import AgentFactory, ApiKeyFactory, ChatModelFactory, SessionFactory, ToolFactory
from tests.model_endpoint import ModelEndpoint
from tests.runs.mcp_support import ACCEPT, credentials
from tests.runs.platform import Platform
from tests.runs.talking import Talk

# Nothing here is encrypted; to load the certificates of the world takes each client 20 ms.
WITHOUT_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture(scope="package")
def platform(django_db_setup, django_db_blocker) -> Iterator[Platform]:
    """Gone before other rooms' tests: its worker would take their runs up."""
    with django_db_blocker.unblock(), Platform() as platform:
        yield platform


@pytest.fixture(autouse=True)
def _at_rest(request, _django_db_helper) -> Iterator[None]:
    """A test that commits runs without asking for the platform still has them executed, once another has asked."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if Platform.running and marker and marker.kwargs.get("transaction"):
        Platform.running.settle()


@pytest.fixture
def lent_platform(platform) -> Iterator[Platform]:
    """The platform for one test, given back when it is at rest: emptying tables waits for nobody."""
    yield platform
    platform.settle()


@pytest.fixture
def worker(lent_platform) -> Worker:
    """The worker that takes runs up."""
    return lent_platform.worker


@pytest.fixture
def server(lent_platform) -> str:
    """The address of the HTTP server beside the worker."""
    return lent_platform.url


@pytest.fixture
def http(server) -> Iterator[Callable[..., httpx.Client]]:
    """`http(alice).post("/chat", json={…})` over a real socket; `http()` sends no credentials."""
    clients: list[httpx.Client] = []

    def client(caller: User | ApiKey | None = None) -> httpx.Client:
        headers = {}
        if isinstance(caller, ApiKey):
            headers["X-API-Key"] = caller.text
        elif caller is not None:
            headers["Authorization"] = f"Bearer {AccessToken.for_user(caller)}"
        clients.append(
            httpx.Client(base_url=f"{server}/api/v1", headers=headers, timeout=30, verify=WITHOUT_TLS)
        )
        return clients[-1]

    yield client
    for opened in clients:
        opened.close()


@pytest.fixture(scope="session")
def _model_endpoint() -> Iterator[ModelEndpoint]:
    with ModelEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def model_endpoint(_model_endpoint, settings) -> ModelEndpoint:
    """The fake model endpoint, allowed by the address guard."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    _model_endpoint.reset()
    return _model_endpoint


@pytest.fixture
def agent(workspace) -> Agent:
    """The workspace's default agent: the scripted model and a calculator."""
    return AgentFactory(
        workspace=workspace,
        name="assistant",
        is_default=True,
        tools=[ToolFactory(workspace=workspace, name="calculator")],
    )


@pytest.fixture
def agent_on(workspace, model_endpoint) -> Callable[..., Agent]:
    """`agent_on("text-5")`: an agent whose model is the fake endpoint's, behaving as the name says."""

    def make(behaviour: str, **values) -> Agent:
        model = ChatModelFactory(
            workspace=workspace, provider="openai", model=behaviour, base_url=model_endpoint.base_url
        )
        values.setdefault("config", {"retries": 0})
        return AgentFactory(workspace=workspace, model=model, **values)

    return make


@pytest.fixture
def openai_client(server, alice, workspace) -> Iterator[Callable[..., OpenAI]]:
    """`openai_client()`: OpenAI's own client with an API key of alice's, or of somebody else; it repeats nothing."""
    opened: list[OpenAI] = []

    def client(caller: User = alice, *, api_key: str = "", **options) -> OpenAI:
        text = api_key or ApiKeyFactory(workspace=caller.memberships.get().workspace, user=caller).text
        options.setdefault("http_client", DefaultHttpxClient(verify=WITHOUT_TLS))
        opened.append(OpenAI(base_url=f"{server}/v1", api_key=text, max_retries=0, timeout=30, **options))
        return opened[-1]

    yield client
    for one in opened:
        one.close()


@pytest.fixture
def mcp_client(server) -> Callable[..., AbstractAsyncContextManager[Client]]:
    """`async with mcp_client(alice) as client:` MCP's official client with alice's token, or with an API key."""

    @asynccontextmanager
    async def opened(
        caller: User | ApiKey | None, mode: str = "auto", **headers: str
    ) -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(
            headers=credentials(caller) | headers, timeout=30, verify=WITHOUT_TLS
        ) as http:
            transport = streamable_http_client(f"{server}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                yield client

    return opened


@pytest.fixture
def mcp_post(server) -> Callable[..., httpx.Response]:
    """`mcp_post(alice, "tools/list")`: one message without a client, as a client of 2025 sends it."""

    def send(caller, method="tools/list", params=None, headers=None, **message) -> httpx.Response:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | message
        sent = credentials(caller) | ACCEPT | (headers or {})
        return httpx.post(f"{server}/mcp", json=body, headers=sent, timeout=30)

    return send


@pytest.fixture
def talk(http, workspace, alice, agent_on, model_endpoint) -> Iterator[Talk]:
    """Alice's conversation with an agent that repeats what it is told; what is left under way is stopped."""
    agent = agent_on("echo", name="echo", is_default=True)
    talk = Talk(
        http(alice),
        SessionFactory(workspace=workspace, user=alice, agent=agent, title=NEW_SESSION),
        model_endpoint,
    )
    yield talk
    talk.post("stop")
