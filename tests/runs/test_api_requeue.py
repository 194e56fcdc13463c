"""POST /queue/requeue: what is stuck goes back into the queue, what is not is left."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.ids import uuid7
from runs.models import Run, RunEvent, Status, Worker
from runs.queueing import stuck
from tests.factories import AgentFactory, RunFactory, SessionFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def requeue(api, olivia):
    """`requeue(run, …)`: what olivia is answered; without runs, all that are stuck are meant."""

    def post(*runs, caller=olivia):
        body = {"run_ids": [str(run.pk) for run in runs]} if runs else None
        return api(caller).post("/queue/requeue", body)

    return post


@pytest.fixture
def make(workspace, olivia):
    agent = AgentFactory(workspace=workspace)
    return lambda **fields: RunFactory(workspace=workspace, user=olivia, agent=agent, **fields)


@pytest.fixture
def queued(make):
    """A run whose job waits in the queue."""
    run = make(status=Status.QUEUED, attempt=0, queue="runs", priority=3)
    Run.objects.filter(pk=run.pk).update(job_id=queue.defer("runs.execute", queue="runs", run_id=str(run.pk)))
    run.refresh_from_db()
    return run


@pytest.fixture
def forgotten(queued):
    """A run whose job is gone."""
    queue.forget([queued.job_id])
    return queued


@pytest.fixture
def lost(make):
    """A run in the hands of a worker that is no more."""
    return make(status=Status.RUNNING, worker_id=uuid7(), started_at=timezone.now())


def take(job_id: int, seconds: float) -> None:
    """A worker has taken the job so long ago, and died of it."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", [job_id])
        cursor.execute(
            "UPDATE procrastinate_events SET at = %s WHERE job_id = %s AND type = 'started'",
            [timezone.now() - timedelta(seconds=seconds), job_id],
        )


def job_of(run: Run) -> tuple | None:
    """Queue, priority and run of the job that wakes a worker for the run."""
    job_id = Run.objects.values_list("job_id", flat=True).get(pk=run.pk)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT queue_name, priority, args ->> 'run_id' FROM procrastinate_jobs WHERE id = %s AND status = 'todo'",
            [job_id],
        )
        return cursor.fetchone()


def ids(*runs) -> list[str]:
    return [str(run.pk) for run in runs]


# what is stuck


def test_gives_a_run_whose_job_is_gone_a_new_one(requeue, forgotten):
    answer = requeue(forgotten).json()

    assert answer == {"requeued": ids(forgotten), "left": []}
    assert job_of(forgotten) == ("runs", 3, str(forgotten.pk))


def test_gives_a_run_that_its_worker_never_began_a_new_job(requeue, queued):
    take(queued.job_id, stuck.FORGOTTEN_SECONDS + 1)

    assert requeue(queued).json()["requeued"] == ids(queued)


def test_takes_a_run_out_of_lost_hands(requeue, lost):
    answer = requeue(lost).json()
    lost.refresh_from_db()

    assert (answer["requeued"], lost.status, lost.worker_id, lost.losses) == (ids(lost), "queued", None, 1)


def test_takes_all_that_are_stuck(requeue, forgotten, lost, make):
    make(status=Status.RUNNING, worker_id=live_worker().pk)

    assert requeue().json() == {"requeued": ids(forgotten, lost), "left": []}


def test_takes_no_more_than_a_batch_at_once(requeue, forgotten, lost, monkeypatch):
    monkeypatch.setattr(stuck, "MOST_AT_ONCE", 1)

    assert [len(requeue().json()["requeued"]) for _ in range(3)] == [1, 1, 0]


def test_tells_it_as_an_event(requeue, lost):
    requeue(lost)

    assert RunEvent.objects.get(run=lost).data["reason"] == "worker_lost"


def test_changes_nothing_when_it_is_repeated(requeue, forgotten):
    requeue(forgotten)
    job = job_of(forgotten)

    assert requeue(forgotten).json()["requeued"] == []
    assert job_of(forgotten) == job


# what is not


def live_worker() -> Worker:
    return Worker.objects.create(host="host", pid=1, concurrency=2, beat_at=timezone.now())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": Status.CREATED}, "It has not been started."),
        ({"status": Status.PAUSED}, "It rests until somebody resumes it."),
        ({"status": Status.WAITING}, "It waits for a person's decision."),
        ({"status": Status.COMPLETED}, "It has ended."),
        ({"status": Status.QUEUED, "held_back": True}, stuck.HELD_BACK),
    ],
)
def test_leaves_a_run_that_is_not_to_go_on(requeue, make, fields, reason):
    run = make(**fields)

    assert requeue(run).json()["left"] == [
        {"run_id": str(run.pk), "status": fields["status"], "reason": reason}
    ]


def test_leaves_a_run_whose_job_waits(requeue, queued):
    assert requeue(queued).json()["left"][0]["reason"] == "It waits for a worker."


def test_leaves_a_run_that_a_worker_has_just_taken(requeue, queued):
    take(queued.job_id, 0)

    assert requeue(queued).json()["requeued"] == []


def test_leaves_a_run_in_the_hands_of_a_live_worker(requeue, make):
    run = make(status=Status.RUNNING, worker_id=live_worker().pk)

    assert requeue(run).json()["left"][0]["reason"] == "A live worker has it in hand."


def test_leaves_a_run_behind_another_of_its_session(requeue, make, workspace):
    run = make(status=Status.QUEUED, session=SessionFactory(workspace=workspace))

    assert requeue(run).json()["left"][0]["reason"] == stuck.BEHIND_IN_SESSION


def test_lets_a_run_rest_that_was_to_pause(requeue, make):
    run = make(status=Status.PAUSING, worker_id=uuid7())

    assert requeue(run).json() == {
        "requeued": [],
        "left": [
            {"run_id": str(run.pk), "status": "paused", "reason": "It rests until somebody resumes it."}
        ],
    }


# who, and what is sent


def test_knows_no_run_of_another_workspace(requeue, forgotten, charlie):
    answer = requeue(forgotten, caller=charlie)

    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "run_ids.0")


def test_takes_no_run_of_another_workspace(requeue, forgotten, charlie):
    assert requeue(caller=charlie).json() == {"requeued": [], "left": []}


def test_does_nothing_where_one_run_is_unknown(requeue, api, olivia, forgotten):
    body = {"run_ids": [str(forgotten.pk), str(uuid7())]}
    refused = api(olivia).post("/queue/requeue", body)

    assert (refused.json()["error"]["details"][0]["field"], job_of(forgotten)) == ("run_ids.1", None)


def test_answers_each_run_once(requeue, forgotten):
    assert requeue(forgotten, forgotten).json()["requeued"] == ids(forgotten)


@pytest.mark.parametrize("run_ids", [[], ["nonsense"], "all", [1], None, [str(uuid7())] * 201])
def test_refuses_what_names_no_runs(api, olivia, run_ids):
    assert api(olivia).post("/queue/requeue", {"run_ids": run_ids}).status_code == 422


@pytest.mark.parametrize("who", ["bob", "vera", "audrey"])
def test_refuses_whoever_does_not_operate(request, requeue, forgotten, who):
    assert requeue(forgotten, caller=request.getfixturevalue(who)).status_code == 403
