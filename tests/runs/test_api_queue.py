"""GET /queue: how many runs of the workspace wait, for how long, and for what."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Workspace
from runs.models import Status
from tests.factories import AgentFactory, RunFactory, SessionFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def queue(api, olivia):
    """`queue()`: what olivia is answered."""
    return lambda caller=olivia: api(caller).get("/queue").json()


@pytest.fixture
def make(workspace, olivia):
    """`make(seconds, …)`: a run that has waited so long."""
    agent = AgentFactory(workspace=workspace)

    def run(seconds: float = 0, **fields):
        queued_at = timezone.now() - timedelta(seconds=seconds)
        values = {"status": Status.QUEUED, "job_id": 1, "queued_at": queued_at, "attempt": 0, **fields}
        return RunFactory(workspace=workspace, user=olivia, agent=agent, **values)

    return run


def test_is_empty_at_first(queue):
    assert queue() == {
        "depth": 0,
        "oldest_wait_seconds": None,
        "running": 0,
        "held_back": 0,
        "behind_in_session": 0,
        "limit": None,
        "queues": [],
    }


def test_counts_what_waits_and_what_is_under_way(queue, make):
    for status in (Status.QUEUED, Status.QUEUED, Status.RUNNING, Status.PAUSING, Status.PAUSED):
        make(status=status)

    assert (queue()["depth"], queue()["running"]) == (2, 2)


def test_tells_how_long_the_first_has_waited(queue, make):
    for seconds in (10, 300, 20):
        make(seconds)

    assert 300 <= queue()["oldest_wait_seconds"] < 330


def test_counts_what_its_limit_holds_back(queue, make):
    make()
    make(job_id=None, held_back=True)

    assert (queue()["depth"], queue()["held_back"]) == (2, 1)


def test_counts_apart_what_waits_for_its_session(queue, make, workspace):
    make(1000, job_id=None, session=SessionFactory(workspace=workspace))

    assert (queue()["behind_in_session"], queue()["depth"], queue()["oldest_wait_seconds"]) == (1, 0, None)


def test_breaks_it_down_by_queue_and_priority(queue, make):
    for name, priority in (("runs", 0), ("runs", 5), ("runs", 0), ("slow", 1)):
        make(queue=name, priority=priority)
    found = {one["queue"]: (one["depth"], one["by_priority"]) for one in queue()["queues"]}

    assert found == {
        "runs": (3, [{"priority": 5, "depth": 1}, {"priority": 0, "depth": 2}]),
        "slow": (1, [{"priority": 1, "depth": 1}]),
    }


def test_counts_no_runs_of_another_workspace(queue, make, charlie):
    make()

    assert queue(charlie)["depth"] == 0


@pytest.mark.parametrize(("own", "common", "limit"), [(None, 0, None), (None, 7, 7), (3, 7, 3), (0, 7, None)])
def test_names_the_limit_in_force(queue, workspace, settings, own, common, limit):
    settings.WORKSPACE_CONCURRENCY = common
    Workspace.objects.filter(pk=workspace.pk).update(max_concurrent_runs=own)

    assert queue()["limit"] == limit


def test_takes_as_many_queries_however_many_wait(api, olivia, make, django_assert_num_queries):
    client = api(olivia)
    for _ in range(5):
        make(queue="another")
    make()
    with django_assert_num_queries(3):  # One says who asks, one what the limit is.
        client.get("/queue")
