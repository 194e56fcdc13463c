"""Which checkpoints are kept: the chore, the command, and the workspace's setting."""

from __future__ import annotations

from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from agentplatform.lib.housekeeping import alone, chores
from runs.history import retention
from runs.history.retention import Removed, prune
from runs.models import Checkpoint, CheckpointBlob, CheckpointWrite, Run, Status
from tests.factories import CheckpointFactory, RunFactory, SessionFactory
from tests.runs.states import run_with_states, state


@pytest.fixture
def run(alice, agent):
    return run_with_states(alice, agent)


@pytest.fixture
def steps(workspace):
    """`steps(run, keep=1)`: the steps whose checkpoints are left."""

    def prune_and_look(run, keep=1):
        prune(workspace, keep)
        return sorted(run.checkpoints.values_list("step_num", flat=True))

    return prune_and_look


def write_to(checkpoint):
    place = {"thread_id": checkpoint.thread_id, "checkpoint_id": checkpoint.checkpoint_id}
    return CheckpointWrite.objects.create(**place, task_id="t", index=0, channel="c", type="null", blob=b"")


# what is kept


@pytest.mark.parametrize(("keep", "kept"), [(1, [3]), (2, [2, 3]), (4, [0, 1, 2, 3]), (9, [0, 1, 2, 3])])
def test_keeps_the_newest(steps, run, keep, kept):
    assert steps(run, keep) == kept


def test_keeps_the_newest_of_each_run(steps, run, alice, agent):
    other = run_with_states(alice, agent)

    assert (steps(run), steps(other)) == ([3], [3])


def test_keeps_the_head_of_a_session(steps, alice, agent):
    session = SessionFactory(workspace=agent.workspace, user=alice, agent=agent)
    runs = [run_with_states(alice, agent, session=session) for _ in range(2)]
    steps(runs[0])
    head = Checkpoint.objects.filter(thread_id=str(session.pk)).latest("checkpoint_id")

    assert head == state(runs[1], 3)


def test_keeps_a_persons_own(steps, run):
    CheckpointFactory(run=run, step_num=1, manual=True)

    assert steps(run) == [1, 3]


def test_does_not_count_them(steps, run):
    CheckpointFactory(run=run, step_num=3, manual=True)

    assert steps(run, keep=2) == [2, 3, 3]


def test_keeps_tagged_ones(steps, run):
    Checkpoint.objects.filter(pk=state(run, 1).pk).update(tags=["release"])

    assert steps(run) == [1, 3]


def test_keeps_what_another_run_stands_on(steps, run, alice, agent):
    RunFactory(workspace=agent.workspace, user=alice, agent=agent, source_checkpoint=state(run, 1))

    assert steps(run) == [1, 3]


@pytest.mark.parametrize(
    "status", [status for status in Status if status not in ("completed", "failed", "cancelled")]
)
def test_leaves_runs_alone_that_have_not_ended(steps, alice, agent, status):
    assert steps(run_with_states(alice, agent, status=status)) == [0, 1, 2, 3]


def test_leaves_a_session_alone_while_it_is_at_work(steps, alice, agent):
    session = SessionFactory(workspace=agent.workspace, user=alice, agent=agent)
    ended = run_with_states(alice, agent, session=session)
    RunFactory(workspace=agent.workspace, user=alice, agent=agent, session=session, status=Status.WAITING)

    assert steps(ended) == [0, 1, 2, 3]


def test_leaves_other_workspaces_alone(steps, run, other_workspace):
    prune(other_workspace, 1)

    assert run.checkpoints.count() == 4


# what goes with them


def test_removes_pending_writes_with_their_checkpoint(workspace, run):
    write_to(state(run, 0))
    kept = write_to(state(run, 3))
    prune(workspace, 1)

    assert CheckpointWrite.objects.get() == kept


def test_removes_values_that_nothing_refers_to(workspace, run):
    kept = state(run, 3).checkpoint["channel_versions"]["messages"]
    prune(workspace, 1)

    assert CheckpointBlob.objects.get().version == kept


def test_keeps_values_that_another_checkpoint_refers_to(workspace, run):
    shared = state(run, 0).checkpoint
    CheckpointFactory(run=run, step_num=0, manual=True)
    Checkpoint.objects.filter(run=run, manual=True).update(checkpoint=shared)
    prune(workspace, 1)

    assert CheckpointBlob.objects.filter(version=shared["channel_versions"]["messages"]).exists()


def test_says_what_it_has_removed(workspace, run):
    write_to(state(run, 0))

    assert prune(workspace, 1) == Removed(runs=1, checkpoints=3, writes=1, values=3)


def test_looks_at_a_run_once(workspace, run):
    prune(workspace, 2)

    assert prune(workspace, 2) == Removed()


def test_looks_again_when_fewer_are_to_be_kept(workspace, run):
    prune(workspace, 2)

    assert prune(workspace, 1).checkpoints == 1


def test_goes_on_in_batches(workspace, alice, agent, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(3):
        run_with_states(alice, agent)

    assert prune(workspace, 1) == Removed(runs=3, checkpoints=9, values=9)


# the chore


def test_is_done_by_the_workers(workspace, run):
    workspace.kept_checkpoints = 1
    workspace.save()

    assert (alone(chores["prune_checkpoints"]), run.checkpoints.count()) == (True, 1)


def test_says_when_nothing_is_left_to_do(workspace, run):
    workspace.kept_checkpoints = 1
    workspace.save()
    alone(chores["prune_checkpoints"])

    assert alone(chores["prune_checkpoints"]) is False


def test_keeps_all_where_the_workspace_says_nothing(run):
    assert (alone(chores["prune_checkpoints"]), run.checkpoints.count()) == (False, 4)


# the command


@pytest.fixture
def command(workspace, run):
    def call(*arguments):
        output = StringIO()
        call_command("prune", *arguments, stdout=output)
        return output.getvalue().strip()

    return call


def test_prints_what_it_has_removed(command):
    assert command("--workspace", "acme", "--keep", "1") == (
        "acme: removed 3 checkpoints, 3 values and 0 pending writes of 1 runs, keeping 1 of each."
    )


def test_removes_nothing_in_a_dry_run(command, run):
    said = command("--keep", "1", "--dry-run")

    assert (said.startswith("acme: would remove 3 checkpoints"), run.checkpoints.count()) == (True, 4)


def test_would_remove_it_afterwards(command, run):
    command("--keep", "1", "--dry-run")
    command("--keep", "1")

    assert run.checkpoints.count() == 1


def test_takes_the_workspaces_own_number(command, workspace, run):
    workspace.kept_checkpoints = 2
    workspace.save()
    command()

    assert run.checkpoints.count() == 2


def test_leaves_a_workspace_alone_that_keeps_all(command, run):
    assert command().startswith("acme: keeps all.")


@pytest.mark.parametrize("arguments", [["--keep", "0"], ["--workspace", "unknown"]])
def test_refuses_what_makes_no_sense(command, arguments):
    with pytest.raises(CommandError):
        command(*arguments)


# the setting


def test_shows_and_takes_how_many_are_kept(api, alice, workspace):
    assert api(alice).patch("/workspaces/acme", {"kept_checkpoints": 20}).json()["kept_checkpoints"] == 20


def test_keeps_at_least_one(api, alice, workspace):
    assert api(alice).patch("/workspaces/acme", {"kept_checkpoints": 0}).status_code == 422


# while a run is being forked


@pytest.mark.django_db(transaction=True)
def test_leaves_a_run_alone_that_somebody_is_forking(workspace, run):
    with psycopg.connect(**connection.get_connection_params()) as another:
        another.execute("SELECT FROM runs_run WHERE id = %s FOR NO KEY UPDATE", [run.pk])
        prune(workspace, 1)

    assert (Run.objects.get().pruned_to, run.checkpoints.count()) == (None, 4)
