"""GET /runs/{id}/lineage."""

from __future__ import annotations

import pytest

from runs.history import lineage
from runs.models import Relation
from tests.factories import CheckpointFactory, RunFactory


@pytest.fixture
def make(workspace, alice, agent):
    """`make(parent, relation="fork")`: a run of alice's; its parent's checkpoint after step 2 is its source."""

    def run(parent=None, user=alice, **values):
        if parent:
            values["source_checkpoint"] = CheckpointFactory(run=parent, step_num=2)
            values.setdefault("relation", Relation.FORK)
        return RunFactory(workspace=workspace, user=user, agent=agent, parent=parent, **values)

    return run


@pytest.fixture
def family(make):
    """A root, two forks of it, and a retry of the second."""
    root = make()
    first, second = make(root), make(root, description="Briefer")
    return [root, first, second, make(second, relation=Relation.RETRY)]


@pytest.fixture
def shown(api, alice):
    def get(run, caller=alice):
        return api(caller).get(f"/runs/{run.pk}/lineage").json()

    return get


def ids(answer) -> list[str]:
    return [run["id"] for run in answer["runs"]]


@pytest.mark.parametrize("place", range(4))
def test_is_the_same_for_every_run_of_the_family(shown, family, place):
    assert ids(shown(family[place])) == [str(run.pk) for run in family]


def test_begins_with_the_root(shown, family):
    answer = shown(family[3])

    assert (answer["root_id"], answer["total"], answer["truncated"]) == (str(family[0].pk), 4, False)


def test_shows_what_each_run_is_to_its_parent(shown, family):
    root, _, second, _ = family
    answer = shown(second)["runs"][2]

    assert answer | {"created_at": None} == {
        "id": str(second.pk),
        "parent_id": str(root.pk),
        "relation": "fork",
        "source_checkpoint_id": str(second.source_checkpoint_id),
        "step_num": 2,
        "description": "Briefer",
        "status": "completed",
        "created_at": None,
        "depth": 1,
    }


def test_counts_generations(shown, family):
    assert [run["depth"] for run in shown(family[1])["runs"]] == [0, 1, 1, 2]


def test_is_itself_where_it_has_no_family(shown, make):
    run = make()

    assert ids(shown(run)) == [str(run.pk)]


def test_ends_where_the_reader_may_not_look(shown, make, bob):
    """A run of bob's between two of alice's, and below it one more of alice's."""
    root = make()
    forked = make(make(root), user=bob)
    mine = make(forked, user=bob)
    make(mine)

    assert ids(shown(mine, caller=bob)) == [str(forked.pk), str(mine.pk)]


def test_tells_no_parent_that_the_reader_may_not_see(shown, make, bob):
    forked = make(make(), user=bob)

    assert shown(forked, caller=bob)["runs"][0]["parent_id"] is None


def test_is_whole_for_those_who_see_all_runs(shown, make, bob, vera):
    root = make()
    forked = make(root, user=bob)

    assert ids(shown(forked, caller=vera)) == [str(root.pk), str(forked.pk)]


def test_shows_the_nearest_of_a_large_family(shown, family, monkeypatch):
    monkeypatch.setattr(lineage, "MAX_RUNS", 3)
    answer = shown(family[0])

    assert (ids(answer), answer["total"], answer["truncated"]) == (
        [str(run.pk) for run in family[:3]],
        3,
        True,
    )


@pytest.mark.parametrize(("name", "status"), [("bob", 404), ("audrey", 403), ("charlie", 404)])
def test_is_for_those_who_may_read_the_run(api, family, name, status, request):
    caller = request.getfixturevalue(name)

    assert api(caller).get(f"/runs/{family[0].pk}/lineage").status_code == status
