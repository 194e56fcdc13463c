"""The picture of a workflow over the API, and of a run: how each node stands, in a few queries."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from django.utils import timezone

from agents.workflows import drafts
from runs.events import EventType
from runs.models import Relation, Status
from runs.workflow_picture import node_states
from tests.engine.workflows import publish_now
from tests.factories import ApprovalFactory, RunEventFactory, RunFactory, RunStepFactory, ToolCallFactory

pytestmark = pytest.mark.django_db

TEXT = """\
name: review
state: {answer: {type: string}, rounds: {type: integer}}
nodes:
  - {id: start, kind: start}
  - {id: again, kind: loop, while: state.rounds < 3, max: 3}
  - {id: count, kind: transform, set: {rounds: state.rounds + 1}}
  - {id: ask, kind: approval, message: "Is <this> right?"}
  - {id: end, kind: end, output: "{{ state.answer }}"}
  - {id: refused, kind: end, output: "no"}
edges:
  - {from: start, to: again}
  - {from: again, to: count, case: body}
  - {from: count, to: again}
  - {from: again, to: ask, case: done}
  - {from: ask, to: end, case: approved}
  - {from: ask, to: refused, case: rejected}
"""


@pytest.fixture
def workflow(workspace):
    return publish_now(workspace, TEXT)


@pytest.fixture
def run_of(workspace, workflow, olivia):
    """`run_of("running")`: a run of the workflow."""

    def make(status: str, **facts):
        given = {"workflow": workflow, "workflow_version": workflow.published, "workflow_name": workflow.name}
        return RunFactory(
            workspace=workspace,
            user=olivia,
            status=status,
            agent=None,
            agent_version=None,
            agent_name="",
            model=None,
            started_at=timezone.now(),
            **given,
            **facts,
        )

    return make


def begun(run, name: str) -> None:
    RunEventFactory(run=run, type=EventType.STEP_STARTED, node=name, attempt=run.attempt)


def ended(run, name: str, number: int = 1, **metrics) -> None:
    RunStepFactory(run=run, node=name, step_num=number, type="transform", metrics=metrics)


def states_of(run) -> dict:
    return node_states(run, run.workflow_version.data["document"])


def status_of(run) -> dict[str, str]:
    return {name: state.status for name, state in states_of(run).items()}


@pytest.fixture
def draw(api, olivia, workflow):
    """`draw(format="svg")`: the answer to olivia."""

    def ask(caller=olivia, **query):
        return api(caller).get(f"/api/v1/workflows/{workflow.pk}/visualization", query)

    return ask


# --- how nodes stand ---


def test_a_node_that_has_not_begun_is_pending(run_of):
    assert status_of(run_of(Status.RUNNING))["count"] == "pending"


def test_a_node_that_has_begun_is_running(run_of):
    run = run_of(Status.RUNNING)
    begun(run, "count")
    assert status_of(run)["count"] == "running"


def test_a_node_that_has_ended_is_completed(run_of):
    run = run_of(Status.RUNNING)
    ended(run, "count")
    assert status_of(run)["count"] == "completed"


def test_a_node_that_waits_for_a_person_is_waiting(run_of):
    run = run_of(Status.WAITING)
    begun(run, "ask")
    assert status_of(run)["ask"] == "waiting"


def test_a_node_waits_for_a_person_while_others_are_at_work(run_of):
    run = run_of(Status.RUNNING)
    begun(run, "count")
    begun(run, "ask")
    ApprovalFactory(run=run, call_id="ask", tool="ask", kind="node")
    assert status_of(run)["ask"] == "waiting"


def test_the_node_that_a_run_has_failed_at_is_the_one_that_its_error_names(run_of):
    run = run_of(Status.FAILED, error={"class": "tool_error", "message": "The node 'count' has failed. No."})
    begun(run, "count")
    begun(run, "ask")
    assert (status_of(run)["count"], status_of(run)["ask"]) == ("failed", "skipped")


def test_the_node_that_had_begun_has_failed_where_no_error_names_one(run_of):
    run = run_of(Status.FAILED, error={"class": "timeout", "message": "Too slow."})
    begun(run, "count")
    assert status_of(run)["count"] == "failed"


def test_a_node_that_was_not_reached_is_skipped_in_the_end(run_of):
    assert status_of(run_of(Status.COMPLETED))["refused"] == "skipped"


def test_the_start_is_completed_as_soon_as_the_run_has_started(run_of):
    assert status_of(run_of(Status.RUNNING))["start"] == "completed"


def test_visits_seconds_and_tokens_of_a_node_are_added_up(run_of):
    run = run_of(Status.RUNNING)
    ended(run, "count", 1, duration=1.5, input_tokens=10, output_tokens=2)
    ended(run, "count", 2, duration=0.25, input_tokens=5, output_tokens=1)
    state = states_of(run)["count"]
    assert (state.visits, state.duration, state.input_tokens, state.output_tokens) == (2, 1.75, 15, 3)


def test_a_node_has_the_tokens_of_the_runs_that_it_has_started(run_of, workspace):
    run = run_of(Status.RUNNING, has_children=True)
    child = RunFactory(
        workspace=workspace,
        parent=run,
        relation=Relation.CHILD,
        input_tokens=7,
        output_tokens=3,
        child_output_tokens=2,
    )
    ToolCallFactory(run=run, call_id="count", child_run_id=child.pk)
    assert states_of(run)["count"].as_json()["total_tokens"] == 12


def test_it_takes_a_few_queries_whatever_has_happened(run_of, django_assert_max_num_queries):
    run = run_of(Status.RUNNING, has_children=True)
    for number in range(1, 20):
        ended(run, "count", number, duration=1)
        begun(run, "again")
    with django_assert_max_num_queries(5):
        states_of(run)


# --- the route ---


def test_answers_json_unless_asked_otherwise(draw):
    assert [node["id"] for node in draw().json()["nodes"]][:2] == ["start", "again"]


def test_tells_each_edge_with_its_case(draw):
    assert {"from": "again", "to": "count", "case": "body", "back": False} in draw().json()["edges"]


def test_answers_a_flowchart(draw):
    answer = draw(format="mermaid")
    assert answer["Content-Type"] == "text/vnd.mermaid; charset=utf-8"
    assert answer.content.decode().startswith("flowchart TD\n")


def test_answers_a_drawing(draw):
    answer = draw(format="svg")
    assert answer["Content-Type"] == "image/svg+xml; charset=utf-8"
    assert ElementTree.fromstring(answer.content).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_drawing_may_load_and_run_nothing(draw):
    assert draw(format="svg")["Content-Security-Policy"].startswith("default-src 'none';")


def test_refuses_a_format_that_it_does_not_have(draw):
    assert draw(format="png").status_code == 422


def test_draws_an_older_version(draw, workspace, workflow):
    other = drafts.read(
        workspace.pk, TEXT.replace("kind: approval", "kind: approval, label: Renamed"), workflow.name
    )
    drafts.save(workflow, None, other.values)
    labels = [node["label"] for node in draw(version=1).json()["nodes"]]
    assert "Renamed" not in labels


def test_knows_no_version_that_is_not_there(draw):
    assert draw(version=99).status_code == 404


def test_tells_how_the_nodes_of_a_run_stand(draw, run_of):
    run = run_of(Status.RUNNING)
    ended(run, "count", 1, duration=2)
    node = next(node for node in draw(run_id=str(run.pk)).json()["nodes"] if node["id"] == "count")
    assert (node["status"], node["visits"], node["duration"]) == ("completed", 1, 2)


def test_refuses_a_version_beside_a_run(draw, run_of):
    assert draw(run_id=str(run_of(Status.RUNNING).pk), version=1).status_code == 422


def test_knows_no_run_of_another_workflow(draw, workspace, olivia):
    assert draw(run_id=str(RunFactory(workspace=workspace, user=olivia).pk)).status_code == 404


def test_knows_no_run_of_somebody_else(draw, run_of, bob):
    assert draw(bob, run_id=str(run_of(Status.RUNNING).pk)).status_code == 404


def test_knows_no_workflow_of_another_workspace(draw, charlie):
    assert draw(charlie).status_code == 404


def test_marks_the_nodes_of_a_drawing(draw, run_of):
    run = run_of(Status.WAITING)
    begun(run, "ask")
    assert 'data-node="ask" data-status="waiting"' in draw(format="svg", run_id=str(run.pk)).content.decode()
