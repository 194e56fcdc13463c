"""The inbox in the admin: what waits for a person, and deciding it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from agents.launch import prepare
from runs.models import Approval, Run, Status
from tests.factories import AgentFactory, ApprovalFactory, RunFactory, ToolFactory, UserFactory
from tests.runs.admin_support import path_of, queries_of, said, signed_in

LIST = "/admin/runs/approval/"


@pytest.fixture
def run(workspace, bob):
    """A run of bob's that waits, of an agent with a calculator."""
    calculator = ToolFactory(workspace=workspace, name="calculator")
    agent = AgentFactory(workspace=workspace, tools=[calculator])
    pins = prepare(workspace.pk, agent.name).pins
    return RunFactory(workspace=workspace, agent=agent, pins=pins, user=bob, status=Status.WAITING)


@pytest.fixture
def approval(run):
    return ApprovalFactory(run=run)


def listed(client, query: str = "") -> set:
    return {row.pk for row in client.get(f"{LIST}{query}").context["cl"].result_list}


def act(client, action: str, *rows, confirmed="yes"):
    """Acts on a selection, and says yes where that is asked first."""
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return client.post(LIST, {**chosen, "confirmed": confirmed})


def press(client, approval, button: str, **filled_in: str):
    """Submits the dialog that a button of the approval's page opens."""
    return client.post(f"{LIST}{approval.pk}/{button}/", {"_form_submitted": "true", **filled_in})


def decided(approval) -> Approval:
    return Approval.objects.get(pk=approval.pk)


# --- the list ---


def test_lists_what_waits(run, approval, olivia):
    ApprovalFactory(run=run, status="approved")
    assert listed(signed_in(olivia)) == {approval.pk}


@pytest.mark.parametrize(("query", "count"), [("?status=approved", 1), ("?status=all", 2)])
def test_lists_what_was_decided_when_asked(run, approval, olivia, query, count):
    ApprovalFactory(run=run, status="approved")
    assert len(listed(signed_in(olivia), query)) == count


def test_lists_any_number_in_as_many_queries(run, olivia, django_assert_num_queries):
    client = signed_in(olivia)
    ApprovalFactory(run=run)
    queries_of(client, LIST)
    few = queries_of(client, LIST)
    ApprovalFactory.create_batch(20, run=run)
    with django_assert_num_queries(few):
        client.get(LIST)


def test_finds_approvals_by_their_tool(run, approval, olivia):
    refund = ApprovalFactory(run=run, tool="refund")
    assert listed(signed_in(olivia), "?q=refund") == {refund.pk}


def test_shows_a_user_those_of_its_own_runs(approval, workspace, bob):
    ApprovalFactory(run=RunFactory(workspace=workspace))
    assert listed(signed_in(bob)) == {approval.pk}


def test_shows_a_stranger_none(approval, charlie):
    assert listed(signed_in(charlie)) == set()


def test_says_what_happens_when_nobody_decides(run, olivia):
    ApprovalFactory(run=run, deadline=timezone.now() + timedelta(days=1), default="approve")
    assert "· Approve" in signed_in(olivia).get(LIST).content.decode()


# --- an approval's page ---


def buttons(user, approval) -> list[str]:
    response = signed_in(user).get(path_of("runs.approval", "change", approval.pk))
    return [button["title"] for button in response.context["actions_detail"]]


def test_offers_to_decide(approval, olivia):
    assert buttons(olivia, approval) == ["Approve", "Edit", "Reject"]


def test_offers_nothing_once_it_is_decided(run, olivia):
    assert buttons(olivia, ApprovalFactory(run=run, status="rejected")) == []


def test_offers_nothing_once_its_run_has_ended(approval, run, olivia):
    Run.objects.filter(pk=run.pk).update(status=Status.FAILED)
    assert buttons(olivia, approval) == []


def test_offers_a_viewer_nothing(approval, vera):
    assert buttons(vera, approval) == []


def test_shows_hostile_arguments_as_text(run, olivia):
    approval = ApprovalFactory(run=run, arguments={"text": "<script>alert(1)</script>"})
    page = signed_in(olivia).get(path_of("runs.approval", "change", approval.pk))
    assert "<script>alert(1)" not in page.content.decode()


def test_approves(approval, run, olivia):
    press(signed_in(olivia), approval, "approve")
    assert (decided(approval).status, decided(approval).decided_by) == ("approved", "olivia")
    assert Run.objects.get(pk=run.pk).status == Status.QUEUED


def test_asks_before_it_acts(approval, olivia):
    response = signed_in(olivia).get(f"{LIST}{approval.pk}/approve/")
    assert b"Approve this call?" in response.content
    assert decided(approval).status == "pending"


def test_rejects_with_a_reason(approval, olivia):
    press(signed_in(olivia), approval, "reject", reason="Too much.")
    assert (decided(approval).status, decided(approval).reason) == ("rejected", "Too much.")


def test_opens_the_arguments_for_editing(approval, olivia):
    dialog = signed_in(olivia).get(f"{LIST}{approval.pk}/edit/").content.decode()
    assert "&quot;expression&quot;: &quot;17 * 23&quot;" in dialog
    assert "Result" not in dialog


def test_approves_with_other_arguments(approval, olivia):
    press(signed_in(olivia), approval, "edit", arguments='{"expression": "6 * 7"}')
    assert decided(approval).edited == {"expression": "6 * 7"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Enter a valid JSON."),
        ("[1]", "Arguments are a JSON object."),
        ('{"sum": 1}', "do not fit the tool"),
    ],
)
def test_keeps_the_dialog_open_over_wrong_arguments(approval, olivia, text, fault):
    dialog = press(signed_in(olivia), approval, "edit", arguments=text)
    assert fault in dialog.content.decode()
    assert decided(approval).status == "pending"


def test_takes_the_result_of_a_call_whose_effect_is_unknown(run, olivia):
    unknown = ApprovalFactory(run=run, kind=Approval.Kind.UNKNOWN_EFFECT)
    arguments = json.dumps(unknown.arguments)
    press(signed_in(olivia), unknown, "edit", arguments=arguments, result='"refunded"')
    assert (decided(unknown).result, decided(unknown).edited) == ({"value": "refunded"}, None)


def test_makes_a_call_again_whose_effect_is_unknown(run, olivia):
    unknown = ApprovalFactory(run=run, kind=Approval.Kind.UNKNOWN_EFFECT)
    press(signed_in(olivia), unknown, "edit", arguments='{"expression": "1"}', result="")
    assert (decided(unknown).result, decided(unknown).edited) == (None, {"expression": "1"})


def test_says_that_it_was_decided_before(approval, olivia, alice):
    press(signed_in(alice), approval, "approve")
    messages = said(press(signed_in(olivia), approval, "reject"))
    assert messages == [f"Approval {approval.pk}: It was approved already."]


# --- a selection ---


def test_tells_the_outcome_for_each(run, approval, olivia):
    done = ApprovalFactory(run=run, tool="refund", status="rejected")
    messages = said(act(signed_in(olivia), "approve_selected", approval, done))
    assert sorted(messages) == [
        f"Approval {done.pk}: It was rejected already.",
        "The call of calculator is approved.",
    ]


def test_rejects_a_selection(run, olivia):
    rows = ApprovalFactory.create_batch(3, run=run)
    act(signed_in(olivia), "reject_selected", *rows)
    assert set(Approval.objects.values_list("status", flat=True)) == {"rejected"}


@pytest.mark.parametrize("action", ["approve_selected", "reject_selected"])
def test_asks_first_and_shows_the_calls(approval, olivia, action):
    page = act(signed_in(olivia), action, approval, confirmed="").content.decode()
    assert "calculator" in page
    assert f'name="_selected_action" value="{approval.pk}"' in page
    assert decided(approval).status == "pending"


# --- who ---


@pytest.mark.parametrize("action", ["approve_selected", "reject_selected"])
@pytest.mark.parametrize("who", ["vera", "charlie", "audrey"])
def test_lets_nobody_without_the_permission_act_on_a_selection(request, approval, who, action):
    act(signed_in(request.getfixturevalue(who)), action, approval)
    assert decided(approval).status == "pending"


@pytest.mark.parametrize("button", ["approve", "reject", "edit"])
@pytest.mark.parametrize("who", ["vera", "charlie", "audrey"])
def test_lets_nobody_without_the_permission_press_a_button(request, approval, who, button):
    response = press(signed_in(request.getfixturevalue(who)), approval, button, arguments="{}")
    assert response.status_code in (403, 404)
    assert decided(approval).status == "pending"


def test_lets_a_user_decide_for_its_own_run_only(approval, workspace, bob):
    others = ApprovalFactory(run=RunFactory(workspace=workspace))
    act(signed_in(bob), "approve_selected", approval, others)
    assert (decided(approval).status, decided(others).status) == ("approved", "pending")


def test_lets_a_superuser_decide_anywhere(approval):
    press(signed_in(UserFactory(is_superuser=True)), approval, "approve")
    assert decided(approval).status == "approved"


def test_needs_the_token_against_forgery(approval, olivia):
    client = signed_in(olivia)
    client.handler.enforce_csrf_checks = True
    assert press(client, approval, "approve").status_code == 403
