"""POST /checkpoints/{id}/restore: as a new run, and in place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from runs.models import AT_REST, Approval, Checkpoint, Relation, Run, Status
from tests.factories import ApprovalFactory, CheckpointFactory, RunEventFactory, RunFactory, ToolCallFactory
from tests.runs.states import QUESTION, run_with_states, state


@pytest.fixture
def source(alice, agent):
    return run_with_states(alice, agent)


@pytest.fixture
def paused(alice, agent):
    """A paused run whose checkpoints have been told of, with a tool call in its second step and one in its third."""
    run = run_with_states(alice, agent, status=Status.PAUSED)
    for step in (1, 2, 3):
        data = {"checkpoint_id": str(state(run, step).pk), "step": step}
        RunEventFactory(run=run)
        RunEventFactory(run=run, type="checkpoint_created", data=data)
    for step in (2, 3):
        ToolCallFactory(run=run, step_num=step, claimed_at=timezone.now() - timedelta(hours=1))
    return run


@pytest.fixture
def restore(api, alice):
    """`restore(checkpoint, create_new_run=False)`"""

    def post(checkpoint, caller=alice, **body):
        return api(caller).post(f"/checkpoints/{checkpoint.pk}/restore", body)

    return post


@pytest.fixture
def set_back(restore):
    """`set_back(run, 1)`: the run, set back to its checkpoint after that step."""

    def set_back(run, step):
        assert restore(state(run, step), create_new_run=False).status_code == 202
        run.refresh_from_db()
        return run

    return set_back


# as a new run


def test_goes_on_in_a_new_run(restore, source):
    answer = restore(state(source, 2))
    new = Run.objects.exclude(pk=source.pk).get()

    assert (answer.status_code, answer.json()) == (
        202,
        {"new_run_id": str(new.pk), "message": "A new run goes on from the checkpoint."},
    )


def test_links_it_to_its_source(restore, source):
    new = Run.objects.get(pk=restore(state(source, 2)).json()["new_run_id"])

    assert (new.parent_id, new.relation, new.source_checkpoint_id) == (
        source.pk,
        Relation.RESTORE,
        state(source, 2).pk,
    )


def test_takes_modifications(restore, source):
    answer = restore(state(source, 3), modifications={"modified_query": "And 2 * 3?"})

    assert Run.objects.get(pk=answer.json()["new_run_id"]).input_query == "And 2 * 3?"


def test_restores_an_answer_as_it_is(restore, source):
    assert restore(state(source, 3)).status_code == 202


# in place


@pytest.mark.parametrize("status", [Status.PAUSED, Status.WAITING])
def test_sets_a_run_back_that_rests(restore, alice, agent, status):
    run = run_with_states(alice, agent, status=status)
    answer = restore(state(run, 1), create_new_run=False)

    assert (answer.status_code, answer.json()) == (
        202,
        {"new_run_id": None, "message": "The run is set back to the checkpoint and paused."},
    )


@pytest.mark.parametrize("status", [Status.WAITING, Status.PAUSED])
def test_leaves_it_paused(set_back, alice, agent, status):
    assert set_back(run_with_states(alice, agent, status=status), 1).status == Status.PAUSED


@pytest.mark.parametrize("status", [status for status in Status if status not in AT_REST])
def test_sets_no_other_run_back(restore, alice, agent, status):
    run = run_with_states(alice, agent, status=status)
    refused = restore(state(run, 1), create_new_run=False)

    assert (refused.status_code, refused.json()["error"]["details"]) == (409, {"status": status})


def test_counts_steps_from_there(set_back, paused):
    assert set_back(paused, 1).total_steps == 1


def test_forgets_the_steps_after_it(set_back, paused):
    assert list(set_back(paused, 2).steps.values_list("step_num", flat=True)) == [1, 2]


def test_forgets_the_tool_calls_after_it(set_back, paused):
    assert list(set_back(paused, 2).tool_calls.values_list("step_num", flat=True)) == [2]


def test_makes_a_copy_of_it_the_head_of_the_thread(set_back, paused):
    source = state(paused, 1)
    head = set_back(paused, 1).checkpoints.latest("checkpoint_id")

    assert (head.step_num, head.parent_checkpoint_id, head.checkpoint["channel_versions"]) == (
        1,
        source.checkpoint_id,
        source.checkpoint["channel_versions"],
    )


def test_heads_the_thread_although_a_clock_is_behind(set_back, paused):
    ahead = CheckpointFactory(run=paused, step_num=4, checkpoint_id="ffffffff-ffff-7fff-bfff-fffffffffff0")
    head = set_back(paused, 1).checkpoints.latest("checkpoint_id")

    assert (head.step_num, head.pk != ahead.pk) == (1, True)


def test_keeps_the_checkpoints_that_came_later(set_back, paused):
    assert set_back(paused, 1).checkpoints.filter(step_num__gt=1).count() == 2


def test_tells_where_the_run_stands_now(set_back, paused):
    source = state(paused, 1)
    told = set_back(paused, 1).events.order_by("-seq")[1]
    head = paused.checkpoints.latest("checkpoint_id")

    assert (told.type, told.data) == (
        "checkpoint_created",
        {
            "checkpoint_id": str(head.pk),
            "step": 1,
            "restored_from": str(source.pk),
            "supersedes_after_seq": 2,
        },
    )


def test_tells_that_it_is_paused(set_back, paused):
    told = set_back(paused, 1).events.last()

    assert (told.type, told.data) == ("run_paused", {"run_id": str(paused.pk), "reason": "restored"})


def test_makes_all_text_void_where_no_event_tells_of_the_checkpoint(set_back, paused):
    told = set_back(paused, 0).events.order_by("-seq")[1]

    assert told.data["supersedes_after_seq"] == 0


def test_knows_a_persons_own_checkpoint_by_the_one_that_it_is_a_copy_of(api, alice, restore, paused):
    kept = api(alice).post(f"/runs/{paused.pk}/checkpoints", {"description": "Here"}).json()["id"]
    restore(Checkpoint.objects.get(pk=kept), create_new_run=False)
    told = paused.events.order_by("-seq")[1]

    assert (told.data["restored_from"], told.data["supersedes_after_seq"]) == (kept, 6)


def test_knows_a_checkpoint_that_it_was_set_back_to_before(set_back, restore, paused):
    head = set_back(paused, 1).checkpoints.latest("checkpoint_id")
    restore(head, create_new_run=False)

    assert paused.events.order_by("-seq")[1].data["supersedes_after_seq"] == 2


def test_cancels_what_waits_for_a_decision(set_back, alice, agent):
    run = run_with_states(alice, agent, status=Status.WAITING)
    approval = ApprovalFactory(run=run, workspace=run.workspace, step=4)
    set_back(run, 1)
    approval.refresh_from_db()

    assert approval.status == Approval.Status.CANCELLED


def test_lets_an_earlier_decision_hold_no_more(set_back, paused):
    approval = ApprovalFactory(
        run=paused, workspace=paused.workspace, step=2, status="approved", key="tool_call:2:call_1"
    )
    set_back(paused, 1)
    approval.refresh_from_db()

    assert (approval.status, approval.key) == ("approved", f"void:{approval.pk}")


def test_cancels_the_runs_that_later_steps_have_started(set_back, alice, agent):
    run = run_with_states(alice, agent, status=Status.WAITING, has_children=True)
    child = RunFactory(
        workspace=run.workspace,
        user=alice,
        agent=agent,
        parent=run,
        relation=Relation.CHILD,
        status=Status.PAUSED,
    )
    set_back(run, 1)
    child.refresh_from_db()

    assert child.status == Status.CANCELLED


def test_can_be_resumed(api, alice, set_back, paused):
    set_back(paused, 1)

    assert api(alice).post(f"/runs/{paused.pk}/resume").json()["status"] == "queued"


def test_takes_no_modifications(restore, paused):
    refused = restore(state(paused, 1), create_new_run=False, modifications={"modified_query": "Or?"})

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, "modifications")


# who


@pytest.mark.parametrize(
    ("name", "status"), [("olivia", 202), ("vera", 403), ("bob", 404), ("audrey", 403), ("charlie", 404)]
)
@pytest.mark.parametrize("anew", [True, False])
def test_is_for_those_who_may(restore, paused, name, status, anew, request):
    caller = request.getfixturevalue(name)

    assert restore(state(paused, 1), caller=caller, create_new_run=anew).status_code == status


def test_shows_the_new_head(api, alice, set_back, paused):
    set_back(paused, 0)
    [newest] = api(alice).get(f"/runs/{paused.pk}/checkpoints", {"limit": 1}).json()["checkpoints"]

    assert api(alice).get(f"/checkpoints/{newest['id']}").json()["messages"] == [QUESTION]
