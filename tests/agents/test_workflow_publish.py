"""Publishing by compare-and-set, and loading, when several do it at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from django.db import connection

from accounts.authentication import actor_from_session
from agentplatform.lib.errors import Conflict
from agents.models import Version, Workflow
from agents.workflows import publishing
from agents.workflows.loading import load

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = """
name: reply
state: {answer: {type: string}}
nodes:
  - {id: start, kind: start}
  - {id: say, kind: transform, set: {answer: "'hello'"}}
  - {id: end, kind: end, output: "{{ state.answer }}"}
edges: [{from: start, to: say}, {from: say, to: end}]
"""


@pytest.fixture
def admin(alice, workspace):
    return actor_from_session(alice, workspace.pk)


@pytest.fixture
def workflow(admin) -> Workflow:
    """Two versions, of which the first is published."""
    load(admin, TEXT, publish=True)
    return load(admin, TEXT.replace("hello", "bye"))[0]


def at_once(*acts: Any) -> list[Any]:
    """What each act answers or raises, all of them begun together."""
    barrier = Barrier(len(acts))

    def run(act: Any) -> Any:
        try:
            barrier.wait()
            return act()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


def test_lets_one_of_two_publishers_win(workflow):
    found = at_once(
        lambda: publishing.publish(workflow, 2, replaces=1),
        lambda: publishing.publish(workflow, 2, replaces=1),
    )
    assert sorted(type(one).__name__ for one in found) == ["Conflict", "Workflow"]


def test_tells_the_loser_what_is_published(workflow):
    publishing.publish(workflow, 2)
    with pytest.raises(Conflict) as refused:
        publishing.publish(workflow, 2, replaces=1)
    assert refused.value.details == {"published": 2}


def test_publishes_a_first_version_where_none_is(admin):
    workflow, _ = load(admin, TEXT)
    published = publishing.publish(workflow, replaces=None).published
    assert published is not None
    assert published.number == 1


def test_takes_over_the_references_of_what_is_published(workflow):
    assert publishing.publish(workflow, 1).references == []


def test_creates_one_workflow_when_two_load_it_at_once(admin):
    found = at_once(lambda: load(admin, TEXT), lambda: load(admin, TEXT))
    assert sorted(is_new for _, is_new in found) == [False, True]


def test_loses_no_update_when_two_load_it_at_once(admin, workflow):
    at_once(*(lambda said=said: load(admin, TEXT.replace("hello", said)) for said in ("a", "b", "c")))
    assert Version.objects.filter(object_id=workflow.pk).count() == 5
