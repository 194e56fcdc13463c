"""Whoever operates the platform sees in the admin who works, and puts stuck runs back into the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agentplatform.lib.ids import uuid7
from runs.models import Run, Status, Worker
from tests.factories import AgentFactory, RunFactory, UserFactory
from tests.runs.admin_support import path_of, queries_of, said, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/runs/run/"
WORKERS = "/admin/runs/worker/"


def make_worker(silent_seconds: float = 0, **fields) -> Worker:
    beat_at = timezone.now() - timedelta(seconds=silent_seconds)
    return Worker.objects.create(host="host", pid=7, concurrency=20, beat_at=beat_at, **fields)


@pytest.fixture
def make(workspace, olivia):
    agent = AgentFactory(workspace=workspace)

    def run(**fields):
        values = {"status": Status.RUNNING, "user": olivia, **fields}
        return RunFactory(workspace=workspace, agent=agent, **values)

    return run


@pytest.fixture
def lost(make):
    """A run in the hands of a worker that is no more."""
    return make(worker_id=uuid7())


def requeue(client, *runs):
    chosen = {"action": "requeue_selected", "_selected_action": [str(run.pk) for run in runs]}
    return client.post(LIST, chosen)


def press(client, run):
    return client.post(f"{LIST}{run.pk}/requeue/", {"_form_submitted": "true"})


def status_of(run) -> str:
    return Run.objects.values_list("status", flat=True).get(pk=run.pk)


# --- requeue ---


def test_requeues_a_selected_run(lost, olivia):
    messages = said(requeue(signed_in(olivia), lost))

    assert (status_of(lost), messages) == (Status.QUEUED, [f"Run {lost.pk} is back in the queue."])


def test_says_why_a_selected_run_is_left(make, olivia):
    run = make(worker_id=make_worker().pk)

    assert said(requeue(signed_in(olivia), run)) == [f"Run {run.pk}: A live worker has it in hand."]


def test_requeues_a_run_from_its_page(lost, olivia):
    press(signed_in(olivia), lost)

    assert status_of(lost) == Status.QUEUED


def buttons(user, run) -> set[str]:
    response = signed_in(user).get(path_of("runs.run", "change", run.pk))
    return {button["title"] for button in response.context["actions_detail"]}


def test_offers_it_on_the_page_of_a_stuck_run(lost, olivia):
    assert "Requeue" in buttons(olivia, lost)


def test_does_not_offer_it_on_the_page_of_a_run_that_is_fine(make, olivia):
    assert "Requeue" not in buttons(olivia, make(worker_id=make_worker().pk))


@pytest.mark.parametrize("who", ["bob", "vera"])
def test_offers_it_to_nobody_who_does_not_operate(request, make, who):
    user = request.getfixturevalue(who)

    assert "Requeue" not in buttons(user, make(worker_id=uuid7(), user=user))


@pytest.mark.parametrize("who", ["bob", "vera", "audrey", "charlie"])
@pytest.mark.parametrize("act", [requeue, press])
def test_lets_nobody_else_requeue(request, lost, who, act):
    act(signed_in(request.getfixturevalue(who)), lost)

    assert status_of(lost) == Status.RUNNING


# --- workers ---


def workers(user) -> list:
    return list(signed_in(user).get(WORKERS).context["cl"].result_list)


@pytest.mark.parametrize(
    ("fields", "state"),
    [({}, "Alive"), ({"draining": True}, "Draining"), ({"silent_seconds": 30, "draining": True}, "Lost")],
)
def test_shows_how_a_worker_is(olivia, fields, state):
    make_worker(**fields)

    assert f">{state}<" in "".join(signed_in(olivia).get(WORKERS).content.decode().split())


@pytest.mark.parametrize(("who", "count"), [("olivia", 2), ("charlie", 0), ("root", 2)])
def test_counts_the_runs_in_its_hands_that_may_be_seen(request, make, who, count):
    user = UserFactory(is_superuser=True) if who == "root" else request.getfixturevalue(who)
    worker = make_worker()
    for status in (Status.RUNNING, Status.PAUSING, Status.COMPLETED):
        make(status=status, worker_id=worker.pk)

    assert [one.running for one in workers(user)] == [count]


def test_lists_any_number_of_workers_in_as_many_queries(make, olivia, django_assert_num_queries):
    client = signed_in(olivia)
    make_worker()
    queries_of(client, WORKERS)
    few = queries_of(client, WORKERS)
    for _ in range(5):
        make(worker_id=make_worker().pk)
    with django_assert_num_queries(few):
        client.get(WORKERS)
