"""GET /runs/{id}, its events and its payloads."""

from __future__ import annotations

from decimal import Decimal

import pytest

from runs.event_log import LARGE
from runs.models import Run, RunPayload, RunStep, Status
from tests.factories import RunEventFactory, RunFactory, RunStepFactory, SessionFactory

CONTRACT = {
    *("id", "agent_id", "user_id", "session_id", "status", "input_query", "response_content", "steps"),
    *("metrics", "created_at", "updated_at"),
}


@pytest.fixture
def run(workspace, alice):
    return RunFactory(workspace=workspace, user=alice, end_user="customer-81")


@pytest.fixture
def read(api, alice, run):
    """`read("/events", offset=2)`: what alice is answered below the run."""

    def get(path="", caller=alice, **query):
        return api(caller).get(f"/runs/{run.pk}{path}", query)

    return get


# the run


def test_has_the_fields_of_the_contract(read):
    assert read().json().keys() >= CONTRACT


def test_shows_question_and_answer(read):
    shown = read().json()

    assert (shown["input_query"], shown["response_content"]) == ("What is 17 * 23?", "17 * 23 is 391.")


def test_shows_the_steps_in_the_shape_of_the_contract(read, run):
    step = RunStepFactory(
        run=run, messages=[{"role": "assistant", "content": "391"}], metrics={"duration": 0.5}
    )
    [shown] = read().json()["steps"]

    assert {name: shown[name] for name in ("step_num", "type", "messages", "model_response", "metrics")} == {
        "step_num": 1,
        "type": "model",
        "messages": step.messages,
        "model_response": "17 * 23 is 391.",
        "metrics": step.metrics,
    }


def test_shows_the_last_hundred_steps_in_their_order(read, run):
    rows = [RunStepFactory.build(run=run, step_num=number) for number in range(1, 121)]
    RunStep.objects.bulk_create(rows)

    assert [step["step_num"] for step in read().json()["steps"]] == list(range(21, 121))


def test_shows_the_metrics_of_the_contract(read, run):
    run.input_tokens, run.output_tokens, run.total_steps = 150, 34, 3
    run.save()
    metrics = read().json()["metrics"]

    assert (metrics["total_tokens"], metrics["total_steps"], metrics["duration"]) == (184, 3, 0.0)


@pytest.mark.parametrize(
    ("cost", "shown"), [("0.000214000000", "0.000214"), ("100", "100"), ("0", "0"), ("1.10", "1.1")]
)
def test_shows_the_cost_as_a_plain_decimal(read, run, cost, shown):
    run.cost = Decimal(cost)
    run.save()

    assert read().json()["metrics"]["cost"] == shown


def test_shows_no_cost_while_a_price_is_missing(read, run):
    run.unpriced_calls = 1
    run.save()

    assert read().json()["metrics"]["cost"] is None


def test_counts_what_the_runs_below_it_have_used(read, run):
    own = {"input_tokens": 100, "output_tokens": 10, "cost": "0.5"}
    of_children = {"child_input_tokens": 50, "child_output_tokens": 5, "child_cost": "0.25"}
    Run.objects.filter(pk=run.pk).update(has_children=True, **own, **of_children)
    metrics = read().json()["metrics"]

    assert {name: metrics[name] for name in ("total_tokens", "input_tokens", "output_tokens", "cost")} == {
        "total_tokens": 165,
        "input_tokens": 150,
        "output_tokens": 15,
        "cost": "0.75",
    }
    assert metrics["children"] == {"input_tokens": 50, "output_tokens": 5, "cost": "0.25"}


def test_knows_no_cost_while_a_call_below_it_has_no_price(read, run):
    Run.objects.filter(pk=run.pk).update(has_children=True, child_unpriced_calls=1)
    metrics = read().json()["metrics"]

    assert (metrics["cost"], metrics["children"]["cost"]) == (None, None)


def test_names_no_children_where_there_are_none(read):
    assert read().json()["metrics"]["children"] is None


def test_shows_why_it_failed(read, run):
    run.status, run.error = Status.FAILED, {"class": "timeout", "message": "It took too long."}
    run.save()

    assert read().json()["error"] == {"class": "timeout", "message": "It took too long."}


def test_links_to_session_and_parent(read, run, workspace):
    run.parent = RunFactory(workspace=workspace)
    run.session = SessionFactory(workspace=workspace)
    run.save()
    shown = read().json()

    assert (shown["session_id"], shown["parent_id"]) == (str(run.session_id), str(run.parent_id))


def test_reads_the_run_in_three_queries(read, run, django_assert_num_queries):
    RunStepFactory.create_batch(3, run=run)

    with django_assert_num_queries(3):  # the caller, the run, its steps
        read()


def test_hides_the_run_from_a_stranger(read, charlie):
    answer = read(caller=charlie)

    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "RunNotFound")


def test_hides_the_run_from_other_users(read, bob):
    assert read(caller=bob).status_code == 404


def test_shows_the_run_to_a_viewer(read, vera):
    assert read(caller=vera).status_code == 200


def test_refuses_an_auditor(read, audrey):
    assert read(caller=audrey).status_code == 403


@pytest.mark.parametrize("identifier", ["01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "nonsense"])
def test_says_that_a_run_does_not_exist(api, alice, identifier):
    assert api(alice).get(f"/runs/{identifier}").json()["error"]["type"] == "RunNotFound"


# its events


def test_answers_events_with_run_and_total(read, run):
    RunEventFactory.create_batch(3, run=run)
    page = read("/events").json()

    assert (page["run_id"], page["total"], page["has_more"], len(page["events"])) == (
        str(run.pk),
        3,
        False,
        3,
    )


def test_answers_the_envelope_of_an_event(read, run):
    event = RunEventFactory(run=run, step=1, node="model")
    [shown] = read("/events").json()["events"]

    assert shown == {
        "run_id": str(run.pk),
        "seq": 1,
        "attempt": 1,
        "step": 1,
        "node": "model",
        "type": "content_delta",
        "timestamp": event.timestamp.isoformat(),
        "data": {"content": "word "},
    }


def test_reads_on_after_the_offset(read, run):
    RunEventFactory.create_batch(3, run=run)

    assert [event["seq"] for event in read("/events", offset=1).json()["events"]] == [2, 3]


def test_says_that_there_are_more_events(read, run):
    RunEventFactory.create_batch(3, run=run)

    assert read("/events", limit=2).json()["has_more"] is True


def test_answers_a_hundred_events_at_once(read, run):
    RunEventFactory.create_batch(101, run=run)

    assert len(read("/events").json()["events"]) == 100


@pytest.mark.parametrize("query", [{"limit": 1001}, {"limit": 0}, {"offset": -1}, {"offset": "x"}])
def test_refuses_a_range_that_makes_no_sense(read, query):
    assert read("/events", **query).status_code == 422


def test_hides_the_events_from_a_stranger(read, charlie):
    assert read("/events", caller=charlie).status_code == 404


# its payloads


@pytest.fixture
def payload(run):
    return RunPayload.objects.create(run=run, data={"result": "x" * LARGE})


def test_answers_a_large_payload(read, run, payload):
    assert read(f"/payloads/{payload.pk}").json() == {
        "id": str(payload.pk),
        "run_id": str(run.pk),
        "data": payload.data,
    }


def test_answers_a_payload_of_this_run_only(api, alice, workspace, payload):
    other = RunFactory(workspace=workspace, user=alice)

    assert (
        api(alice).get(f"/runs/{other.pk}/payloads/{payload.pk}").json()["error"]["type"] == "PayloadNotFound"
    )


def test_hides_payloads_from_a_stranger(read, charlie, payload):
    assert read(f"/payloads/{payload.pk}", caller=charlie).status_code == 404


@pytest.mark.parametrize("identifier", ["01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e", "nonsense"])
def test_says_that_a_payload_does_not_exist(read, identifier):
    assert read(f"/payloads/{identifier}").status_code == 404
