"""POST /runs/{id}/start, /pause, /resume, /cancel and /retry."""

from __future__ import annotations

import pytest

from runs.models import Run, Status
from tests.factories import ApiKeyFactory, RunFactory

VERBS = ["start", "pause", "resume", "cancel", "retry"]


@pytest.fixture
def run(api, alice, agent):
    """`run(start=False)`: the id of a run that alice has made."""

    def make(**body):
        return api(alice).post("/runs", {"message": "Hello", **body}).json()["id"]

    return make


@pytest.fixture
def verb(api, alice):
    """`verb("cancel", run)`"""

    def post(name, run, body=None, caller=alice):
        return api(caller).post(f"/runs/{run}/{name}", body)

    return post


@pytest.fixture
def completed(workspace, alice):
    return RunFactory(workspace=workspace, user=alice).pk


# start


def test_starts_a_created_run(verb, run):
    made = run(start=False)

    assert verb("start", made).json() == {"run_id": made, "status": "queued", "message": "The run is queued."}


def test_starts_a_run_once(verb, run):
    made = run(start=False)
    verb("start", made)

    assert verb("start", made).status_code == 200


def test_does_not_start_an_ended_run(verb, completed):
    assert verb("start", completed).status_code == 409


# pause and resume


def test_pauses_a_run(verb, run):
    made = run()

    assert verb("pause", made).json() == {"run_id": made, "status": "paused", "message": "The run is paused."}


def test_resumes_a_run(verb, run):
    made = run()
    verb("pause", made)

    assert verb("resume", made).json() == {
        "run_id": made,
        "status": "queued",
        "message": "The run is queued.",
    }


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_says_why_an_ended_run_is_neither_paused_nor_resumed(verb, completed, name):
    refused = verb(name, completed)

    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"status": "completed"})


# cancel


@pytest.mark.parametrize("started", [True, False])
def test_cancels_a_run(verb, run, started):
    made = run(start=started)

    assert verb("cancel", made).json() == {
        "run_id": made,
        "status": "cancelled",
        "message": "The run is cancelled.",
    }


def test_keeps_the_reason(verb, run, api, alice):
    made = run()
    verb("cancel", made, {"reason": "The customer has left."})
    events = api(alice).get(f"/runs/{made}/events").json()["events"]

    assert events[-1]["data"]["reason"] == "The customer has left."


def test_cancels_a_cancelled_run_without_complaint(verb, run):
    made = run()
    verb("cancel", made)

    assert verb("cancel", made).status_code == 200


def test_does_not_cancel_a_completed_run(verb, completed):
    assert verb("cancel", completed).json()["error"]["type"] == "Conflict"


def test_refuses_unknown_fields(verb, run):
    assert verb("cancel", run(), {"why": "x"}).status_code == 422


# retry


def test_retries_with_a_new_run(verb, completed):
    answer = verb("retry", completed)

    assert (answer.status_code, answer.json()["run_id"] != str(completed)) == (202, True)


def test_links_the_new_run_to_the_old_one(verb, completed):
    new = verb("retry", completed).json()["run_id"]

    assert Run.objects.get(pk=new).parent_id == completed


def test_repeats_the_input(verb, completed):
    new = verb("retry", completed).json()["run_id"]

    assert Run.objects.get(pk=new).input == Run.objects.get(pk=completed).input


def test_leaves_the_old_run_as_it_was(verb, completed):
    verb("retry", completed)

    assert Run.objects.get(pk=completed).status == Status.COMPLETED


def test_does_not_retry_a_run_whose_agent_is_gone(verb, completed):
    Run.objects.filter(pk=completed).update(agent=None)

    assert verb("retry", completed).json()["error"]["type"] == "AgentNotFound"


# all of them


@pytest.mark.parametrize("name", VERBS)
def test_hides_the_run_from_a_stranger(verb, completed, charlie, name):
    assert verb(name, completed, caller=charlie).status_code == 404


@pytest.mark.parametrize("name", VERBS)
def test_hides_the_run_from_other_users(verb, completed, bob, name):
    assert verb(name, completed, caller=bob).status_code == 404


@pytest.mark.parametrize("name", VERBS)
def test_refuses_a_viewer(verb, completed, vera, name):
    assert verb(name, completed, caller=vera).status_code == 403


@pytest.mark.parametrize("name", VERBS)
def test_refuses_an_api_key_that_sees_but_may_not_steer_others_runs(verb, completed, workspace, olivia, name):
    key = ApiKeyFactory(
        workspace=workspace, user=olivia, scopes=["read:run", "read:all-runs", "control:run", "execute:agent"]
    )

    assert verb(name, completed, caller=key).status_code == 403


def test_lets_an_operator_cancel_anybodys_run(verb, run, olivia):
    assert verb("cancel", run(), caller=olivia).status_code == 200


@pytest.mark.parametrize("name", VERBS)
def test_answers_nothing_to_get(api, alice, completed, name):
    assert api(alice).get(f"/runs/{completed}/{name}").status_code == 405
