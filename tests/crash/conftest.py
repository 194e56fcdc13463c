"""What the crash suite needs: agents whose model and tools are real endpoints that count, and a summary at the end.

It is run apart from the other tests (`make test-crash`), on a PostgreSQL of its own, which it kills.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from agents.models import Agent, ChatModel, Tool
from billing.models import Budget
from tests.agents.http_endpoint import HttpEndpoint
from tests.crash.nursery import Nursery, nursery
from tests.crash.points import kind_of
from tests.crash.proof import Witnesses
from tests.engine.conftest import agent_on, close_connections, endpoint, endpoint_process
from tests.factories import AgentToolFactory, BudgetFactory, ChatModelFactory, HttpToolFactory

__all__ = ["agent_on", "close_connections", "endpoint", "endpoint_process"]

# Three words, 30 ms apart, also before it calls a tool: each is a flush of its own.
MODEL = "slow-3-30"
# Where many models are asked: two words at once.
QUICK_MODEL = "text-2"
HELD = pytest.StashKey[dict[str, Sequence[str]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder belongs to the suite, and every test of it needs committed rows."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.crash)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture
def effects() -> Iterator[HttpEndpoint]:
    """Where the agents' tools have their effects: it remembers every request."""
    with HttpEndpoint() as effects:
        yield effects


@pytest.fixture
def witnesses(endpoint, effects) -> Witnesses:
    endpoint.reset()
    return Witnesses(endpoint, effects)


@pytest.fixture
def notifying_tool(workspace, effects) -> Callable[..., Tool]:
    """`notifying_tool(idempotent=True)`: a tool that notifies the counting endpoint of its argument, `number`."""

    def make(**fields) -> Tool:
        request = {"method": "POST", "url": f"{effects.url}/{{number}}"}
        return HttpToolFactory(workspace=workspace, name="notify", request=request, **fields)

    return make


@pytest.fixture(autouse=True)
def budget(workspace) -> Budget:
    """It has room for all that victims do: what is looked at is that it counts."""
    return BudgetFactory(workspace=workspace, limit_amount=None, limit_tokens=10**9)


@pytest.fixture
def notifier(agent_on, notifying_tool) -> Callable[..., Agent]:
    """`notifier(idempotent=True)`: an agent whose tool notifies the counting endpoint, as `proof.query` asks it to."""

    def make(*, model: str = MODEL, idempotent: bool = True) -> Agent:
        return agent_on(model, tools=[notifying_tool(idempotent=idempotent)])

    return make


@pytest.fixture
def chat_model(workspace, endpoint) -> Callable[[str], ChatModel]:
    """`chat_model("gpt")`: a quick model at the endpoint."""

    def make(name: str) -> ChatModel:
        return ChatModelFactory(
            workspace=workspace, name=name, provider="openai", model=QUICK_MODEL, base_url=endpoint.base_url
        )

    return make


@pytest.fixture
def delegator(agent_on, notifier, workspace) -> Callable[[], Agent]:
    """`delegator()`: an agent whose tool is a notifying agent, as `proof.delegated_query` asks it to."""

    def make() -> Agent:
        helper = AgentToolFactory(workspace=workspace, name="helper", agent=notifier())
        return agent_on(MODEL, tools=[helper])

    return make


@pytest.fixture(scope="session")
def victims(django_db_setup) -> Iterator[Nursery]:
    with nursery() as victims:
        yield victims


@pytest.fixture
def held(request) -> Callable[[str, Sequence[str]], None]:
    """`held("straight", points)`: all of these points were met and all promises held, says the summary."""
    return request.config.stash.setdefault(HELD, {}).__setitem__


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    if not (stories := config.stash.get(HELD, {})):
        return
    terminalreporter.section("killed at")
    for story, points in stories.items():
        kinds = Counter(map(kind_of, points))
        shown = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
        terminalreporter.write_line(f"{story:<12} {len(points):>3} points: {shown}")
    total = sum(map(len, stories.values()))
    terminalreporter.write_line(
        f"{total} points, {'all held' if exitstatus == 0 else 'but not all tests passed'}"
    )
