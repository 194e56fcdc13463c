"""What the walks over all routes share: two workspaces with a row of every kind in each."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from channels import consumer
from channels.generic import websocket
from drf_spectacular.generators import SchemaGenerator

from agentplatform.lib import csv_stream
from tests.platform.tenant import MARKER, Tenant, make_tenant


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    """The API's own description."""
    return SchemaGenerator().get_schema(request=None, public=True)


@pytest.fixture
def acme(workspace, alice) -> Tenant:
    """The workspace of alice, its admin; all its texts hold MARKER."""
    return make_tenant(workspace, alice, MARKER)


@pytest.fixture
def other(other_workspace, charlie) -> Tenant:
    """The workspace of charlie, its admin, who is a stranger in acme."""
    return make_tenant(other_workspace, charlie, "of-the-other")


@pytest.fixture
def one_transaction(one_thread, monkeypatch) -> None:
    """Whatever gives connections back in between leaves alone the one that holds the test's rows."""
    monkeypatch.setattr(csv_stream, "close_old_connections", lambda: None)
    for module in (consumer, websocket):
        monkeypatch.setattr(module, "aclose_old_connections", do_nothing)


async def do_nothing() -> None: ...


@pytest.fixture
def without_limits(settings):
    """The walks ask more often than anybody may."""
    rates = {"login": "", "chat": ""}
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": rates}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How much Schemathesis has asked."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    asked = [value for report in reports for name, value in report.user_properties if name == "schemathesis"]
    for role in sorted({one["role"] for one in asked}):
        own = [one["statuses"] for one in asked if one["role"] == role]
        statuses: Counter[int] = sum((Counter(one) for one in own), Counter())
        succeeded = sum(any(200 <= status < 300 for status in one) for one in own)
        told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
        terminalreporter.write_line(
            f"Schemathesis as {role}: {len(own)} operations, {succeeded} of them with success,"
            f" {statuses.total()} requests ({told})"
        )
