"""GET /workers: the processes that execute runs, and what of the workspace they have in hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from runs.models import Status, Worker
from tests.factories import RunFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def workers(api, olivia):
    """`workers()`: what olivia is answered, by host."""

    def listed(caller=olivia) -> dict:
        return {item["host"]: item for item in api(caller).get("/workers").json()["items"]}

    return listed


def make_worker(host: str = "one", silent_seconds: float = 0, **fields) -> Worker:
    beat_at = timezone.now() - timedelta(seconds=silent_seconds)
    return Worker.objects.create(host=host, pid=7, concurrency=20, beat_at=beat_at, **fields)


def test_tells_who_executes_runs(workers, api, olivia):
    worker = make_worker(draining=True)
    answer = api(olivia).get("/workers").json()

    assert (answer["total"], answer["has_more"]) == (1, False)
    assert (
        workers()["one"].items()
        >= {
            "id": str(worker.pk),
            "pid": 7,
            "concurrency": 20,
            "draining": True,
        }.items()
    )


@pytest.mark.parametrize(("silent_seconds", "alive"), [(0, True), (30, False)])
def test_tells_which_of_them_live(workers, silent_seconds, alive):
    make_worker(silent_seconds=silent_seconds)

    assert workers()["one"]["alive"] is alive


def test_counts_the_runs_in_their_hands(workers, workspace):
    one, _other = make_worker(), make_worker("other")
    for status in (Status.RUNNING, Status.PAUSING, Status.COMPLETED):
        RunFactory(workspace=workspace, status=status, worker_id=one.pk)

    assert [workers()[host]["running"] for host in ("one", "other")] == [2, 0]


def test_counts_no_runs_of_another_workspace(workers, workspace, charlie):
    RunFactory(workspace=workspace, status=Status.RUNNING, worker_id=make_worker().pk)

    assert workers(charlie)["one"]["running"] == 0


def test_takes_as_many_queries_however_many_there_are(api, olivia, workspace, django_assert_num_queries):
    client = api(olivia)
    make_worker()
    with django_assert_num_queries(2):  # One says who asks.
        client.get("/workers")
    for number in range(5):
        worker = make_worker(f"host-{number}")
        RunFactory(workspace=workspace, status=Status.RUNNING, worker_id=worker.pk)
    with django_assert_num_queries(2):
        client.get("/workers")
