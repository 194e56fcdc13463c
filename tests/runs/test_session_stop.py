"""POST /sessions/{id}/stop, and what stays of an answer that was stopped."""

from __future__ import annotations

import pytest

from runs.models import Run, RunEvent
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)


def test_cancels_every_run_that_has_not_ended(talk):
    first = talk.stalled("One")
    second = talk.post("chat", {"content": "Two"}).json()["run_id"]
    answer = talk.post("stop")

    assert answer.json()["run_ids"] == [first, second]
    assert set(Run.objects.values_list("status", flat=True)) == {"cancelled"}


def test_answers_the_session_and_a_sentence(talk):
    answer = talk.post("stop")

    assert answer.status_code == 200
    assert answer.json() == {
        "session_id": str(talk.session.pk),
        "run_ids": [],
        "message": "Nothing was under way.",
    }


def streamed(run_id):
    deltas = RunEvent.objects.filter(run_id=run_id, type="content_delta").order_by("seq")
    return "".join(delta.data["content"] for delta in deltas)


def test_keeps_what_was_streamed_as_the_answer(talk):
    run_id = talk.stalled("One")
    talk.post("stop")
    answer = talk.history()[1]

    assert answer["content"] == streamed(run_id) != ""
    assert (answer["metadata"], answer["source"], answer["run_id"]) == ({"stopped": True}, "echo", run_id)


@pytest.mark.parametrize("way", ["cancel", "interrupt"])
def test_keeps_it_however_the_run_is_cancelled(talk, http, alice, way):
    run_id = talk.stalled("One")
    if way == "cancel":
        http(alice).post(f"/runs/{run_id}/cancel", json={})
    else:
        talk.say("Two", multitask_strategy="interrupt")

    assert talk.history()[1]["metadata"] == {"stopped": True}


def test_keeps_nothing_where_nothing_was_streamed(talk):
    talk.endpoint.script("hang")
    talk.post("chat", {"content": "One"})
    talk.post("stop")

    assert talk.texts == ["One"]


def test_keeps_nothing_of_what_is_rolled_back(talk):
    talk.stalled("One")
    talk.say("Two", multitask_strategy="rollback")

    assert talk.texts == ["Two", "Two"]


def test_keeps_only_the_last_step(talk, agent_on, workspace):
    calculator = ToolFactory(workspace=workspace, name="calculator")
    talk.session.agent = agent_on("echo", name="counting", tools=[calculator])
    talk.session.save()
    talk.endpoint.script("text-2-0", "stall-6")
    talk.say("One")
    run_id = talk.post("chat", {"content": "Two"}).json()["run_id"]
    while not RunEvent.objects.filter(run_id=run_id, type="content_delta").exists():
        pass
    talk.post("stop")

    assert talk.history()[-1]["content"] == streamed(run_id)


def test_tells_the_model_what_it_had_said(talk):
    run_id = talk.stalled("One")
    talk.post("stop")
    talk.say("Two")

    assert talk.told == ["One", streamed(run_id), "Two"]


def test_goes_on_from_a_stopped_answer_by_asking_again(talk):
    talk.stalled("One")
    talk.post("stop")
    answer = talk.history()[1]["id"]
    talk.ended(talk.post(f"messages/{answer}/regenerate"))

    assert talk.told == ["One"]
    assert talk.history()[1]["variants"] == [answer, talk.history()[1]["id"]]


@pytest.mark.parametrize(
    ("who", "code"), [("bob", 404), ("charlie", 404), ("vera", 403), ("audrey", 403), ("olivia", 200)]
)
def test_is_for_whoever_may_speak_there(talk, http, request, who, code):
    assert http(request.getfixturevalue(who)).post(f"{talk.path}/stop").status_code == code
