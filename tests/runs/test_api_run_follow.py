"""GET /runs/{id}/stream and GET /runs/{id}/wait."""

from __future__ import annotations

import time

import pytest

from runs.models import Status
from tests.factories import RunEventFactory, RunFactory
from tests.runs.sse import frames, stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(http, alice, agent_on):
    """`start("text-3")`: the id of a run of alice's that behaves so."""

    def post(behaviour, **body):
        agent = agent_on(behaviour)
        body = {"agent_id": str(agent.pk), "message": "Hello"} | body
        return http(alice).post("/runs", json=body).json()["id"]

    return post


@pytest.fixture
def ended(workspace, alice):
    """A run that ended long ago, with three events."""
    run = RunFactory(workspace=workspace, user=alice)
    RunEventFactory(run=run, type="run_queued", data={"run_id": str(run.pk)})
    RunEventFactory(run=run)
    RunEventFactory(
        run=run, type="run_completed", data={"run_id": str(run.pk), "response": "x", "metrics": {}}
    )
    return run


# stream


def test_replays_a_run_that_has_ended(http, alice, ended):
    sent = stream(http(alice), "GET", f"/runs/{ended.pk}/stream")

    assert [(frame.id, frame.event) for frame in sent] == [
        (1, "run_queued"),
        (2, "content_delta"),
        (3, "run_completed"),
    ]


def test_follows_a_run_to_its_end_without_holes(http, alice, start):
    sent = stream(http(alice), "GET", f"/runs/{start('text-20-20')}/stream")

    assert ([frame.id for frame in sent], sent[-1].event) == (list(range(1, len(sent) + 1)), "run_completed")


def test_resumes_without_hole_or_repeat_while_events_are_written(http, alice, start):
    run = start("text-30-20")
    seen = []
    while not seen or seen[-1].event != "run_completed":
        after = seen[-1].id if seen else 0
        with http(alice).stream(
            "GET", f"/runs/{run}/stream", headers={"Last-Event-ID": str(after)}
        ) as response:
            for _, frame in zip(range(4), frames(response), strict=False):
                seen.append(frame)

    assert [frame.id for frame in seen] == list(range(1, len(seen) + 1))


@pytest.mark.parametrize("way", [{"params": {"after": "2"}}, {"headers": {"Last-Event-ID": "2"}}])
def test_begins_after_what_the_client_has(http, alice, ended, way):
    assert [frame.id for frame in stream(http(alice), "GET", f"/runs/{ended.pk}/stream", **way)] == [3]


def test_believes_the_header_more_than_the_url(http, alice, ended):
    way = {"params": {"after": "0"}, "headers": {"Last-Event-ID": "2"}}

    assert [frame.id for frame in stream(http(alice), "GET", f"/runs/{ended.pk}/stream", **way)] == [3]


def test_tells_a_browser_that_has_all_not_to_come_again(http, alice, ended):
    assert http(alice).get(f"/runs/{ended.pk}/stream", params={"after": 3}).status_code == 204


def test_is_opened_by_a_ticket(http, alice, ended):
    ticket = http(alice).post("/auth/ticket").json()["ticket"]

    assert http().get(f"/runs/{ended.pk}/stream", params={"ticket": ticket}).status_code == 200


def test_takes_a_ticket_once(http, alice, ended):
    ticket = http(alice).post("/auth/ticket").json()["ticket"]
    answers = [http().get(f"/runs/{ended.pk}/stream", params={"ticket": ticket}) for _ in range(2)]

    assert answers[1].status_code == 401


def test_refuses_a_token_in_the_url(http, alice, ended):
    token = http(alice).headers["authorization"].removeprefix("Bearer ")

    assert http().get(f"/runs/{ended.pk}/stream", params={"token": token}).status_code == 401


def test_is_not_stored_or_collected_on_the_way(http, alice, ended):
    headers = http(alice).get(f"/runs/{ended.pk}/stream").headers

    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")


# wait


def test_answers_the_run_when_it_has_ended(http, alice, start):
    answer = http(alice).get(f"/runs/{start('text-5-20')}/wait")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_answers_an_ended_run_at_once(http, alice, ended):
    assert http(alice).get(f"/runs/{ended.pk}/wait").status_code == 200


def test_answers_the_present_state_when_the_time_is_over(http, alice, start):
    run = start("hang")
    answer = http(alice).get(f"/runs/{run}/wait", params={"timeout": 1})
    http(alice).post(f"/runs/{run}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (202, "running")


def test_answers_a_created_run_without_waiting_on_request(http, alice, start):
    assert (
        http(alice).get(f"/runs/{start('text', start=False)}/wait", params={"timeout": 0}).status_code == 202
    )


def test_shows_the_run_as_its_detail_does(http, alice, start):
    run = start("text-3")

    assert http(alice).get(f"/runs/{run}/wait").json() == http(alice).get(f"/runs/{run}").json()


def test_stops_a_model_call_within_a_second_of_cancelling(http, alice, start, model_endpoint):
    run = start("hang")
    while not model_endpoint.requests:
        time.sleep(0.01)
    http(alice).post(f"/runs/{run}/cancel")
    began = time.monotonic()
    while not model_endpoint.requests[0].left:
        assert time.monotonic() - began < 1
        time.sleep(0.01)

    assert http(alice).get(f"/runs/{run}").json()["status"] == Status.CANCELLED
