"""Two changes of an agent at once: the second waits for the first, and finds what that has made of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction

from agents import editing, versions
from agents.models import Agent
from tests.factories import AgentFactory, ChatModelFactory

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 30


@pytest.fixture
def agent(workspace):
    return AgentFactory(
        workspace=workspace, name="helper", model=ChatModelFactory(workspace=workspace, name="old")
    )


@pytest.fixture
def during_a_change(workspace, agent):
    """Calls a function while the agent is being given another model: the function has to wait for the commit."""

    def call(function: Callable[[], Any]) -> Any:
        def called() -> Any:
            try:
                return function()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:
            with transaction.atomic():
                model = ChatModelFactory(workspace=workspace, name="new")
                editing.save(versions.lock(agent), None, {"model": model})
                found = pool.submit(called)
                until_somebody_waits()
            return found.result()

    return call


def until_somebody_waits() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock')"
            )
            if cursor.fetchone()[0]:
                return
        assert time.monotonic() < deadline, "Nobody waits for the lock."
        time.sleep(0.02)


def test_changes_what_the_first_has_left(api, olivia, agent, during_a_change):
    answer = during_a_change(lambda: api(olivia).patch("/agents/helper", {"description": "Helps."}))
    assert (answer.status_code, answer.json().get("model"), answer.json().get("version")) == (200, "new", 3)


def test_takes_whichever_state_the_first_has_left(api, olivia, agent, during_a_change):
    config = {"type": "agent", "model": "new", "description": "Helps."}
    answer = during_a_change(
        lambda: api(olivia).put("/config/helper", {"config": config}, headers={"If-Match": "*"})
    )
    assert (answer.status_code, answer.json().get("version")) == (200, 3)


def test_names_the_state_that_the_first_has_left(api, olivia, agent, during_a_change):
    etag = api(olivia).get("/config/helper")["ETag"]
    config = {"type": "agent", "model": "old", "description": "Helps."}
    answer = during_a_change(
        lambda: api(olivia).put("/config/helper", {"config": config}, headers={"If-Match": etag})
    )
    assert answer.status_code == 412
    assert answer["ETag"] == api(olivia).get("/config/helper")["ETag"]


def test_imports_over_what_the_first_has_left(api, olivia, agent, during_a_change):
    text = "agents:\n  helper: {model: old, description: Helps.}\n"
    answer = during_a_change(lambda: api(olivia).post("/config/import", {"configuration": text}))
    assert answer.status_code == 200, answer.json()
    assert Agent.objects.get().model.name == "old"


def test_deletes_what_the_first_has_left(api, olivia, agent, during_a_change):
    answer = during_a_change(lambda: api(olivia).delete("/config/helper", headers={"If-Match": "*"}))
    assert (answer.status_code, Agent.objects.count()) == (204, 0)


def test_restores_over_what_the_first_has_left(api, olivia, agent, during_a_change):
    answer = during_a_change(lambda: api(olivia).post("/agents/helper/versions/1/restore"))
    assert (answer.status_code, answer.json().get("model")) == (200, "old")
