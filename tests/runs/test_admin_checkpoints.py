"""The checkpoints of a run in the admin: the tree of its forks, two of them compared, one forked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from runs.models import Relation, Run
from tests.factories import AgentFactory, CheckpointFactory, RunFactory
from tests.runs.admin_support import path_of, queries_of, said, signed_in

QUESTION = {"role": "user", "content": "What is 2 + 2?"}
ANSWER = {"role": "assistant", "content": "4"}


@pytest.fixture
def run(workspace, alice) -> Run:
    agent = AgentFactory(workspace=workspace, name="helper", system_prompt="Be brief.")
    return RunFactory(
        workspace=workspace, user=alice, agent=agent, created_at=timezone.now() - timedelta(hours=1)
    )


@pytest.fixture
def states(run):
    """After the question, and after the answer."""
    return [
        CheckpointFactory(run=run, messages=[QUESTION]),
        CheckpointFactory(run=run, messages=[QUESTION, ANSWER]),
    ]


def page_of(run, query="") -> str:
    return f"{path_of('runs.run', 'checkpoints', run.pk)}{query}"


def tree(user, run):
    return signed_in(user).get(page_of(run)).context["tree"]


def test_hangs_forks_below_their_checkpoint(workspace, olivia, run, states):
    fork = RunFactory(workspace=workspace, parent=run, relation=Relation.FORK, source_checkpoint=states[0])
    root = tree(olivia, run)
    assert (root.run.id, root.is_this) == (run.pk, True)
    assert [[one.run.id for one in leaf.runs] for leaf in root.leaves] == [[fork.pk], []]


def test_shows_the_same_tree_from_a_fork(workspace, olivia, run, states):
    fork = RunFactory(workspace=workspace, parent=run, relation=Relation.FORK, source_checkpoint=states[0])
    root = tree(olivia, fork)
    assert (root.run.id, root.is_this) == (run.pk, False)
    assert root.leaves[0].runs[0].is_this


def test_leaves_the_copied_history_with_its_source(workspace, olivia, run, states):
    fork = RunFactory(workspace=workspace, parent=run, relation=Relation.FORK, source_checkpoint=states[0])
    CheckpointFactory(run=fork, messages=[QUESTION], created_at=run.created_at)
    own = CheckpointFactory(run=fork, messages=[QUESTION, ANSWER], created_at=fork.created_at)
    [leaf] = tree(olivia, run).leaves[0].runs[0].leaves
    assert leaf.checkpoint.pk == own.pk


def test_shows_retries_but_no_runs_of_tools(workspace, olivia, run, states):
    retry = RunFactory(workspace=workspace, parent=run, relation=Relation.RETRY)
    RunFactory(workspace=workspace, parent=run, relation=Relation.CHILD)
    assert [one.run.id for one in tree(olivia, run).runs] == [retry.pk]


def test_compares_two(olivia, run, states):
    query = f"?old={states[0].pk}&new={states[1].pk}"
    found = signed_in(olivia).get(page_of(run, query)).context["difference"]
    assert (found.common, found.removed, [one.text for one in found.added]) == (1, [], ["4"])


def test_escapes_what_was_said(olivia, run, states):
    evil = CheckpointFactory(run=run, messages=[{"role": "user", "content": "<script>alert(1)</script>"}])
    page = signed_in(olivia).get(page_of(run, f"?old={states[0].pk}&new={evil.pk}")).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert(1)" not in page


def fork_at(user, run, checkpoint, **fields):
    form = {"question": QUESTION["content"], "system_prompt": "Be brief.", "description": ""}
    return signed_in(user).post(page_of(run, f"?fork={checkpoint.pk}"), form | fields)


def test_begins_with_what_the_checkpoint_has(olivia, run, states):
    form = signed_in(olivia).get(page_of(run, f"?fork={states[0].pk}")).context["form"]
    assert (form.initial["question"], form.initial["system_prompt"]) == ("What is 2 + 2?", "Be brief.")


def test_forks_with_another_question(olivia, run, states):
    response = fork_at(olivia, run, states[0], question="What is 3 + 3?", description="larger")
    fork = Run.objects.get(parent=run)
    assert response.url == path_of("runs.run", "change", fork.pk)
    assert said(response) == [f"Run {fork.pk} goes on from the checkpoint."]
    assert (fork.input_query, fork.description, fork.username) == ("What is 3 + 3?", "larger", "olivia")
    assert fork.overrides == {}


def test_forks_with_another_prompt(olivia, run, states):
    fork_at(olivia, run, states[0], system_prompt="Be long.")
    assert Run.objects.get(parent=run).overrides == {"system_prompt": "Be long."}


def test_asks_again_where_the_run_had_its_answer(olivia, run, states):
    fork_at(olivia, run, states[1])
    assert Run.objects.get(parent=run).input == {"messages": [QUESTION], "replaces": "last_query"}


def test_says_why_it_is_refused(olivia, run, states):
    run.agent.enabled = False
    run.agent.save()
    page = fork_at(olivia, run, states[0]).content.decode()
    assert "&#x27;helper&#x27; is disabled" in page
    assert not Run.objects.filter(parent=run).exists()


def test_a_viewer_looks_and_does_not_fork(vera, run, states):
    page = signed_in(vera).get(page_of(run, f"?old={states[0].pk}&new={states[1].pk}"))
    assert "?fork=" not in page.content.decode()
    assert fork_at(vera, run, states[0]).status_code == 404
    assert not Run.objects.filter(parent=run).exists()


@pytest.mark.parametrize("who", ["bob", "audrey"])
def test_is_for_those_who_may_read_the_run(request, run, states, who):
    assert signed_in(request.getfixturevalue(who)).get(page_of(run)).status_code == 404


def test_compares_with_nothing_of_another_workspace(other_workspace, olivia, run, states):
    theirs = CheckpointFactory(run=RunFactory(workspace=other_workspace), messages=[QUESTION])
    client = signed_in(olivia)
    assert client.get(page_of(run, f"?old={states[0].pk}&new={theirs.pk}")).status_code == 404
    assert client.get(page_of(run, f"?fork={theirs.pk}")).status_code == 404


def test_costs_the_same_however_large_the_family_is(
    workspace, olivia, run, states, django_assert_num_queries
):
    def grow(times: int) -> None:
        for _ in range(times):
            fork = RunFactory(
                workspace=workspace, parent=run, relation=Relation.FORK, source_checkpoint=states[0]
            )
            CheckpointFactory(run=fork, messages=[QUESTION])

    client = signed_in(olivia)
    grow(1)
    queries_of(client, page_of(run))
    few = queries_of(client, page_of(run))
    grow(5)
    with django_assert_num_queries(few):
        client.get(page_of(run))
