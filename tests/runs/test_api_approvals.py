"""GET /approvals, /approvals/{id} and /runs/{id}/approvals, and POST /approvals/{id}/approve, /reject and /edit."""

from __future__ import annotations

import pytest
from django.utils import timezone

from agents.launch import prepare
from runs.models import Approval, Relation, Run, Status
from tests.factories import AgentFactory, ApiKeyFactory, ApprovalFactory, RunFactory, ToolFactory

VERBS = ["approve", "reject", "edit"]
ARGUMENTS = {"arguments": {"expression": "6 * 7"}}


@pytest.fixture
def calculating(workspace):
    """An agent with a calculator."""
    return AgentFactory(workspace=workspace, tools=[ToolFactory(workspace=workspace, name="calculator")])


@pytest.fixture
def run(workspace, calculating, bob):
    """A run of bob's that waits, pinned to the agent and its tool as they are."""
    pins = prepare(workspace.pk, calculating.name).pins
    return RunFactory(workspace=workspace, agent=calculating, pins=pins, user=bob, status=Status.WAITING)


@pytest.fixture
def approval(run):
    return ApprovalFactory(run=run)


@pytest.fixture
def unknown(run):
    """A call of bob's run of which nobody knows whether it has had its effect."""
    return ApprovalFactory(run=run, kind=Approval.Kind.UNKNOWN_EFFECT)


@pytest.fixture
def decide(api, bob):
    """`decide("reject", approval, {"reason": "No."}, caller=olivia)`; bob decides, where nobody else is named."""

    def post(verb, approval, body=None, caller=bob):
        default = ARGUMENTS if verb == "edit" else None
        return api(caller).post(f"/approvals/{getattr(approval, 'pk', approval)}/{verb}", body or default)

    return post


@pytest.fixture
def listed(api):
    """`listed(bob, status="pending")`: the ids in the inbox."""

    def ids(caller, path="/approvals", **query):
        return [item["id"] for item in api(caller).get(path, query).json()["items"]]

    return ids


# reading


def test_shows_an_approval(api, bob, approval, run):
    assert api(bob).get(f"/approvals/{approval.pk}").json() == {
        "id": str(approval.pk),
        "run_id": str(run.pk),
        "agent": run.agent_name,
        "workflow": "",
        "kind": "tool_call",
        "status": "pending",
        "tool": "calculator",
        "call_id": approval.call_id,
        "step": 2,
        "message": "",
        "arguments": {"expression": "17 * 23"},
        "edited_arguments": None,
        "reason": "",
        "deadline": None,
        "default": "reject",
        "decided_by": "",
        "created_at": approval.created_at.isoformat().replace("+00:00", "Z"),
        "decided_at": None,
    }


def test_lists_the_newest_first(listed, bob, run):
    first, second = ApprovalFactory.create_batch(2, run=run)

    assert listed(bob) == [str(second.pk), str(first.pk)]


def test_lists_any_number_in_as_many_queries(api, bob, run, django_assert_max_num_queries):
    ApprovalFactory.create_batch(20, run=run)
    with django_assert_max_num_queries(4):
        assert len(api(bob).get("/approvals").json()["items"]) == 20


def test_reads_on_from_a_cursor(api, bob, run):
    first, _ = ApprovalFactory.create_batch(2, run=run)
    page = api(bob).get("/approvals", {"limit": 1}).json()
    rest = api(bob).get("/approvals", {"cursor": page["next_cursor"]}).json()

    assert [item["id"] for item in rest["items"]] == [str(first.pk)]


@pytest.mark.parametrize(
    "query",
    [
        {"status": "approved"},
        {"kind": "unknown_effect"},
        {"tool": "refund"},
        {"status": ["approved", "edited"]},
    ],
    ids=str,
)
def test_filters(listed, bob, run, approval, query):
    wanted = ApprovalFactory(run=run, status="approved", kind="unknown_effect", tool="refund")

    assert listed(bob, **query) == [str(wanted.pk)]


def test_filters_by_run(listed, olivia, approval, workspace):
    ApprovalFactory(run=RunFactory(workspace=workspace))

    assert listed(olivia, run_id=str(approval.run_id)) == [str(approval.pk)]


def test_shows_a_user_those_of_its_own_runs(listed, bob, approval, workspace):
    ApprovalFactory(run=RunFactory(workspace=workspace))

    assert listed(bob) == [str(approval.pk)]


def test_shows_a_viewer_all_of_the_workspace(listed, vera, approval, workspace):
    ApprovalFactory(run=RunFactory(workspace=workspace))

    assert len(listed(vera)) == 2


def test_shows_a_stranger_none(listed, charlie, approval):
    assert listed(charlie) == []


def test_shows_those_of_a_run_and_of_the_runs_below_it(listed, bob, run, workspace, approval):
    child = RunFactory(workspace=workspace, user=bob, parent=run, relation=Relation.CHILD)
    grandchild = RunFactory(workspace=workspace, user=bob, parent=child, relation=Relation.CHILD)
    below = ApprovalFactory(run=grandchild, status="approved")
    ApprovalFactory(run=RunFactory(workspace=workspace, user=bob, parent=run, relation=Relation.RETRY))

    assert listed(bob, f"/runs/{run.pk}/approvals") == [str(below.pk), str(approval.pk)]


def test_knows_no_approvals_of_a_run_that_one_may_not_see(api, charlie, approval):
    assert api(charlie).get(f"/runs/{approval.run_id}/approvals").json()["error"]["type"] == "RunNotFound"


# deciding


def test_approves(decide, approval, run):
    assert decide("approve", approval).json() == {
        "approval_id": str(approval.pk),
        "run_id": str(run.pk),
        "status": "approved",
        "message": "The call is approved.",
    }


def test_lets_the_run_go_on(decide, approval, run):
    decide("approve", approval)

    assert Run.objects.get(pk=run.pk).status == Status.QUEUED


def test_tells_who_has_decided_and_why(decide, approval, run, api, bob):
    decide("reject", approval, {"reason": "Too much."})
    told = api(bob).get(f"/runs/{run.pk}/events").json()["events"][0]

    assert (told["type"], told["data"]["decided_by"], told["data"]["reason"]) == (
        "approval_resolved",
        "bob",
        "Too much.",
    )


def test_rejects_without_a_reason(decide, approval):
    assert decide("reject", approval).json()["status"] == "rejected"


def test_edits_the_arguments(decide, approval, api, bob):
    decide("edit", approval)

    assert api(bob).get(f"/approvals/{approval.pk}").json()["edited_arguments"] == {"expression": "6 * 7"}


def test_refuses_arguments_that_the_tool_does_not_take(decide, approval):
    refused = decide("edit", approval, {"arguments": {"sum": 7}})

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, "arguments")


@pytest.mark.parametrize("body", [{"reason": "x"}, {**ARGUMENTS, "result": 42}])
def test_takes_either_arguments_or_a_result(decide, unknown, body):
    refused = decide("edit", unknown, body)

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, "arguments")


@pytest.mark.parametrize("result", [42, "sent", None, {"id": 7}])
def test_takes_the_result_of_a_call_whose_effect_is_unknown(decide, unknown, result):
    decide("edit", unknown, {"result": result})

    assert Approval.objects.get(pk=unknown.pk).result == {"value": result}


def test_takes_no_result_of_another_call(decide, approval):
    refused = decide("edit", approval, {"result": 42})

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, "result")


def test_refuses_unknown_fields(decide, approval):
    assert decide("reject", approval, {"why": "x"}).status_code == 422


@pytest.mark.parametrize("verb", VERBS)
def test_takes_the_same_decision_twice(decide, approval, verb):
    decide(verb, approval)

    assert decide(verb, approval).status_code == 200


def test_says_what_was_decided_before(decide, approval):
    decide("approve", approval)
    refused = decide("reject", approval)

    assert (refused.status_code, refused.json()["error"]["details"]) == (
        409,
        {"status": "approved", "decided_by": "bob"},
    )


def test_does_not_edit_what_was_edited_otherwise(decide, approval):
    decide("edit", approval)

    assert decide("edit", approval, {"arguments": {"expression": "1"}}).status_code == 409


def test_decides_nothing_for_a_run_that_has_ended(decide, approval, run):
    Run.objects.filter(pk=run.pk).update(status=Status.CANCELLED, finished_at=timezone.now())

    assert decide("approve", approval).json()["error"]["details"]["status"] == "cancelled"


# who


@pytest.mark.parametrize("verb", VERBS)
def test_lets_an_operator_decide_for_anybody(decide, approval, olivia, verb):
    assert decide(verb, approval, caller=olivia).status_code == 200


@pytest.mark.parametrize("verb", VERBS)
def test_refuses_a_viewer(decide, approval, vera, verb):
    assert decide(verb, approval, caller=vera).status_code == 403


@pytest.mark.parametrize("verb", VERBS)
def test_refuses_a_key_that_sees_but_may_not_steer_others_runs(decide, approval, workspace, olivia, verb):
    scopes = ["read:approval", "read:all-runs", "decide:approval"]
    key = ApiKeyFactory(workspace=workspace, user=olivia, scopes=scopes)

    assert decide(verb, approval, caller=key).status_code == 403


@pytest.mark.parametrize("verb", VERBS)
def test_hides_them_from_a_stranger(decide, approval, charlie, verb):
    assert decide(verb, approval, caller=charlie).json()["error"]["type"] == "ApprovalNotFound"


@pytest.mark.parametrize("verb", VERBS)
def test_hides_those_of_others_from_a_user(decide, workspace, verb):
    others = ApprovalFactory(run=RunFactory(workspace=workspace))

    assert decide(verb, others).json()["error"]["type"] == "ApprovalNotFound"


@pytest.mark.parametrize("verb", VERBS)
def test_knows_no_other_ids(decide, workspace, verb):
    assert decide(verb, "nonsense").status_code == 404
