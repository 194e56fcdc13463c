"""Several messages at once in one session: what `multitask_strategy` makes of the runs that have not ended."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone

from runs.models import (
    Approval,
    Checkpoint,
    CheckpointBlob,
    CheckpointWrite,
    Message,
    Relation,
    Run,
    RunEvent,
    Status,
)
from tests.factories import RunFactory, SessionFactory
from tests.runs.sse import stream

pytestmark = pytest.mark.django_db(transaction=True)
EVERY = ["enqueue", "reject", "interrupt", "rollback"]
ENDING = ["interrupt", "rollback"]


@pytest.fixture
def agent(agent_on):
    return agent_on("text-3")


@pytest.fixture
def session(workspace, alice, agent):
    return SessionFactory(workspace=workspace, user=alice, agent=agent)


@pytest.fixture
def say(http, alice, session):
    """`say("Hello", "interrupt")`: what alice is answered in her session."""

    def post(content="Hello", strategy=None, caller=alice, **body):
        wanted = {"multitask_strategy": strategy} if strategy else {}
        body = {"content": content, **wanted, **body}
        return http(caller).post(f"/sessions/{session.pk}/chat", json=body)

    return post


@pytest.fixture
def ended(http, alice):
    """`ended(answer)`: the run that an answer names, once it has ended."""

    def wait(answer):
        return http(alice).get(f"/runs/{answer.json()['run_id']}/wait").json()

    return wait


@pytest.fixture
def answering(say, model_endpoint):
    """The id of a run that is being answered in the session, and comes to no end by itself."""
    model_endpoint.script("stall")
    run_id = say("Count to a million").json()["run_id"]
    while not RunEvent.objects.filter(run_id=run_id, type="content_delta").exists():
        time.sleep(0.01)
    return run_id


@pytest.fixture(autouse=True)
def _at_an_end(http, alice):
    """What a test leaves under way ends with it."""
    yield
    for run in Run.objects.exclude(status__in=["completed", "failed", "cancelled"]):
        http(alice).post(f"/runs/{run.pk}/cancel", json={})


@pytest.fixture
def waiting(workspace, alice, agent, session):
    """A run of the session that waits for an approval."""
    return RunFactory(
        workspace=workspace,
        user=alice,
        agent=agent,
        session=session,
        status=Status.WAITING,
        started_at=timezone.now(),
    )


@pytest.fixture
def child(workspace, alice, agent, waiting):
    """A run that a tool of the waiting one has started, and that waits itself."""
    Run.objects.filter(pk=waiting.pk).update(has_children=True)
    return RunFactory(
        workspace=workspace,
        user=alice,
        agent=agent,
        parent=waiting,
        relation=Relation.CHILD,
        status=Status.WAITING,
    )


@pytest.fixture
def approval(workspace, waiting):
    return pending(workspace, waiting)


def pending(workspace, run):
    return Approval.objects.create(
        workspace=workspace, run=run, kind="tool_call", key="1", tool="refund", created_at=timezone.now()
    )


def status_of(run_id):
    return Run.objects.get(pk=run_id).status


def conversation(session):
    return list(session.messages.order_by("id").values_list("content", flat=True))


def shown(model_endpoint):
    """The texts of what the model was sent last."""
    return [message["content"] for message in model_endpoint.requests[-1].body["messages"]]


# enqueue


@pytest.mark.parametrize("strategy", [None, "enqueue"])
def test_waits_for_the_run_before(say, answering, strategy):
    queued = say("And now?", strategy).json()["run_id"]

    assert (status_of(answering), status_of(queued), Run.objects.get(pk=queued).job_id) == (
        "running",
        "queued",
        None,
    )


def test_refuses_to_wait_unasked_for_a_person(say, waiting, approval):
    answer = say()

    assert (answer.status_code, answer.json()["error"]["details"]) == (
        409,
        {"run_id": str(waiting.pk), "approval_ids": [str(approval.pk)]},
    )


def test_leaves_nothing_of_a_refused_message(say, session, waiting, approval):
    say()

    assert (conversation(session), Run.objects.count()) == ([], 1)


def test_names_the_approvals_of_agents_that_the_run_asks(say, workspace, child):
    approval = pending(workspace, child)

    assert say().json()["error"]["details"]["approval_ids"] == [str(approval.pk)]


def test_waits_for_a_person_where_that_is_asked(say, approval):
    assert status_of(say(strategy="enqueue").json()["run_id"]) == "queued"


def test_waits_for_a_run_that_waits_for_something_else(say, waiting):
    assert status_of(say().json()["run_id"]) == "queued"


def test_repeats_a_run_behind_one_that_waits_for_a_person(http, alice, say, ended, workspace, agent, session):
    run = ended(say())
    head = RunFactory(
        workspace=workspace,
        user=alice,
        agent=agent,
        session=session,
        status="waiting",
        started_at=timezone.now(),
    )
    pending(workspace, head)

    assert http(alice).post(f"/runs/{run['id']}/retry").status_code == 202


# reject


def test_refuses_a_message_beside_another(say, answering):
    answer = say("And now?", "reject")

    assert (answer.status_code, answer.json()["error"]["details"]) == (
        409,
        {"run_id": answering, "status": "running"},
    )


def test_takes_a_message_after_another(say, ended):
    ended(say("One"))

    assert ended(say("Two", "reject"))["status"] == "completed"


def test_takes_one_of_two_messages_at_once(say, session, model_endpoint):
    model_endpoint.script("stall", "stall")
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda content: say(content, "reject"), ["One", "Two"]))

    assert sorted(answer.status_code for answer in answers) == [202, 409]


# interrupt and rollback


@pytest.mark.parametrize("strategy", ENDING)
def test_cancels_the_run_before(say, ended, answering, strategy):
    ended(say("And now?", strategy))

    assert status_of(answering) == "cancelled"


@pytest.mark.parametrize("strategy", ENDING)
def test_goes_next(say, ended, answering, strategy):
    assert ended(say("And now?", strategy))["status"] == "completed"


@pytest.mark.parametrize("strategy", ENDING)
def test_cancels_those_that_wait_too(say, ended, answering, strategy):
    queued = say("Then?").json()["run_id"]
    ended(say("And now?", strategy))

    assert status_of(queued) == "cancelled"


@pytest.mark.parametrize("strategy", ENDING)
def test_goes_on_without_the_approval(say, ended, waiting, approval, strategy):
    ended(say("Forget it", strategy))
    approval.refresh_from_db()

    assert (status_of(waiting.pk), approval.status) == ("cancelled", "cancelled")


@pytest.mark.parametrize("strategy", ENDING)
def test_cancels_the_runs_below(say, ended, child, strategy):
    ended(say("Forget it", strategy))

    assert status_of(child.pk) == "cancelled"


def test_tells_those_who_follow_why(http, alice, say, answering):
    with ThreadPoolExecutor() as pool:
        following = pool.submit(stream, http(alice), "GET", f"/runs/{answering}/stream")
        say("And now?", "interrupt")
        last = following.result()[-1]

    assert (last.event, last.data["reason"]) == ("run_cancelled", "interrupted by a newer message")


def test_keeps_what_was_interrupted_in_the_conversation(say, ended, answering, session):
    ended(say("And now?", "interrupt"))

    question, so_far, following = conversation(session)[:3]
    assert (question, following) == ("Count to a million", "And now?")
    assert so_far.startswith("word0 ")


def test_shows_the_model_what_was_interrupted(say, ended, answering, model_endpoint):
    ended(say("And now?", "interrupt"))

    question, so_far, following = shown(model_endpoint)
    assert (question, following) == ("Count to a million", "And now?")
    assert so_far.startswith("word0 ")


def test_takes_the_message_back(say, ended, answering, session):
    ended(say("And now?", "rollback"))

    assert conversation(session)[0] == "And now?"


def test_shows_the_model_nothing_of_what_was_taken_back(say, ended, answering, model_endpoint):
    ended(say("And now?", "rollback"))

    assert shown(model_endpoint) == ["And now?"]


def test_shows_the_model_what_was_said_before(say, ended, session, model_endpoint):
    first = ended(say("What is your name?"))
    model_endpoint.script("stall")
    unwanted = say("Count to a million").json()["run_id"]
    while not Checkpoint.objects.filter(run_id=unwanted).exists():
        time.sleep(0.01)
    ended(say("And now?", "rollback"))

    assert shown(model_endpoint) == ["What is your name?", first["response_content"], "And now?"]


def test_leaves_no_state_of_what_was_taken_back(say, ended, answering):
    ended(say("And now?", "rollback"))

    assert not Checkpoint.objects.filter(run_id=answering).exists()


def test_leaves_no_values_that_no_state_refers_to(say, ended, answering, session):
    ended(say("And now?", "rollback"))
    states = list(Checkpoint.objects.filter(thread_id=str(session.pk)))
    known = {version for state in states for version in state.checkpoint["channel_versions"].items()}
    values = set(CheckpointBlob.objects.filter(thread_id=str(session.pk)).values_list("channel", "version"))
    writes = CheckpointWrite.objects.filter(thread_id=str(session.pk)).values_list("checkpoint_id", flat=True)

    assert (values - known, set(writes) - {state.checkpoint_id for state in states}) == (set(), set())


def test_keeps_the_run_and_its_events(say, ended, http, alice, answering):
    ended(say("And now?", "rollback"))
    events = http(alice).get(f"/runs/{answering}/events").json()["events"]

    assert (events[0]["type"], events[-1]["type"]) == ("run_queued", "run_cancelled")


def test_keeps_the_state_that_a_fork_begins_with(say, ended, workspace, alice, agent, answering, session):
    source = Checkpoint.objects.filter(run_id=answering).last()
    fork = RunFactory(workspace=workspace, user=alice, agent=agent, relation="fork", source_checkpoint=source)
    ended(say("And now?", "rollback"))
    fork.refresh_from_db()

    assert (fork.source_checkpoint_id, fork.source_checkpoint.manual) == (source.pk, True)


def test_keeps_what_a_person_has_saved(say, ended, answering):
    Checkpoint.objects.filter(run_id=answering).update(manual=True)
    ended(say("And now?", "rollback"))

    assert Checkpoint.objects.filter(run_id=answering).exists()


def test_leaves_what_has_ended_alone(say, ended, session):
    ended(say("One"))
    ended(say("Two", "rollback"))

    assert Message.objects.filter(session=session).count() == 4


@pytest.mark.parametrize("strategy", ENDING)
def test_lets_the_last_of_several_messages_at_once_go_on(say, session, model_endpoint, strategy):
    model_endpoint.script(*["stall"] * 6)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda number: say(f"Message {number}", strategy), range(6)))
    statuses = sorted(Run.objects.filter(session=session).values_list("status", flat=True))

    assert [answer.status_code for answer in answers] == [202] * 6
    assert (statuses[:5], statuses[5] in ("queued", "running")) == (["cancelled"] * 5, True)


@pytest.mark.parametrize("strategy", ENDING)
def test_ends_no_run_of_somebody_else(say, http, alice, bob, workspace, agent, strategy):
    shared = SessionFactory(workspace=workspace, user=bob, agent=agent)
    run = RunFactory(workspace=workspace, user=alice, agent=agent, session=shared, status=Status.WAITING)
    answer = http(bob).post(
        f"/sessions/{shared.pk}/chat", json={"content": "Hello", "multitask_strategy": strategy}
    )

    assert (answer.status_code, status_of(run.pk)) == (403, "waiting")


@pytest.mark.parametrize("strategy", ENDING)
def test_lets_an_operator_end_others_runs(say, ended, olivia, answering, strategy):
    ended(say("And now?", strategy, caller=olivia))

    assert status_of(answering) == "cancelled"


def test_answers_each_of_many_messages_at_once(say, settings):
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"DEFAULT_THROTTLE_RATES": {}}
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda number: say(f"Message {number}", EVERY[number % 4]), range(48)))

    assert {answer.status_code for answer in answers} <= {202, 409}


# everywhere


@pytest.mark.parametrize("strategy", EVERY)
def test_changes_nothing_for_a_free_session(say, ended, strategy):
    assert ended(say("Hello", strategy))["status"] == "completed"


@pytest.mark.parametrize("strategy", EVERY)
def test_has_no_effect_without_a_session(http, alice, agent, strategy):
    body = {"agent_id": agent.name, "message": "Hello", "stream": False, "multitask_strategy": strategy}

    assert http(alice).post("/chat", json=body).status_code == 200


def test_is_taken_by_a_chat(http, alice, agent, session, answering):
    body = {"message": "And now?", "session_id": str(session.pk), "stream": False}
    http(alice).post("/chat", json={**body, "multitask_strategy": "interrupt"})

    assert status_of(answering) == "cancelled"


def test_is_taken_by_a_run(http, alice, session, answering, ended):
    body = {"message": "And now?", "session_id": str(session.pk), "multitask_strategy": "interrupt"}
    made = http(alice).post("/runs", json=body).json()
    http(alice).get(f"/runs/{made['id']}/wait")

    assert status_of(answering) == "cancelled"


@pytest.mark.parametrize("strategy", ["reject", "interrupt"])
def test_concerns_no_run_that_is_only_created(http, alice, session, answering, strategy):
    body = {"message": "Later", "session_id": str(session.pk), "start": False, "multitask_strategy": strategy}
    made = http(alice).post("/runs", json=body)

    assert (made.json()["status"], status_of(answering)) == ("created", "running")


@pytest.mark.parametrize("strategy", ["", "steer", 7, None])
def test_knows_no_other_strategy(http, alice, session, strategy):
    body = {"content": "Hello", "multitask_strategy": strategy}

    assert http(alice).post(f"/sessions/{session.pk}/chat", json=body).status_code == 422
