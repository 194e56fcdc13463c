"""Killed at every commit point of a run, one victim for each: what a single healthy worker makes of all of them.

A dry run tells which points there are. Then each victim is killed at one of them, several side by side; when all are
dead, one worker is started, which takes up what they have left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from accounts.authentication import actor_from_session
from runs import approvals, lifecycle
from runs.approvals import Decision
from runs.models import Approval, Run, Status
from tests.crash.conftest import QUICK_MODEL
from tests.crash.nursery import Nursery, Order
from tests.crash.points import kind_of
from tests.crash.proof import all_faults, delegated_query, query
from tests.crash.waits import until_at_rest, until_ended
from tests.crash.workflow_story import INNER, STORY, all_workflow_faults, effects_of
from tests.engine.workflows import publish_now
from tests.processes import worker_process

ALL_QUEUES = "tests.crash.all_queues"


@dataclass(frozen=True, slots=True)
class Story:
    """A model call, a tool call, and a model call, steered on the way by `reactions` (see `Order`).

    A story that `delegates` has another agent for its tool, which lives through the same.
    """

    name: str
    reactions: dict[str, str] = field(default_factory=dict)
    delegates: bool = False

    def order(self, template: Order, point: str = "") -> Order:
        """An order for a victim that dies at `point`."""
        name = f"{self.name}.{point}".replace(" ", "-")
        text = name if template.workflow else delegated_query(name) if self.delegates else query(name)
        return replace(template, name=name, text=text, reactions=self.reactions, point=point)


STRAIGHT = Story("straight")
PAUSED = Story("paused", {"step_started": "pause", "run_paused": "resume"})
CANCELLED = Story("cancelled", {"content_delta": "cancel"})
DELEGATED = Story("delegated", delegates=True)
UNREPEATABLE = Story("unrepeatable")
WORKFLOW = Story("workflow", {"approval_required": "approve"})


@pytest.fixture
def template(notifier, delegator, workspace, alice) -> Callable[..., Order]:
    """`template(story)`: an order for a run of the agent that the story is about."""

    def make(story: Story, *, idempotent: bool = True) -> Order:
        agent = delegator() if story.delegates else notifier(idempotent=idempotent)
        return Order("", agent.name, str(alice.pk), str(workspace.pk), "")

    return make


def kill_at_every_point(victims: Nursery, template: Order, story: Story) -> list[str]:
    """Has a victim killed at each point of the story; the points at which one was."""
    dry = story.order(template)
    # Before it has begun there is nothing that could be lost.
    points = [point for point in victims.execute([dry])[dry.name].passed if point != "before start 1"]
    orders = [story.order(template, point) for point in points]
    ends = victims.execute(orders)
    met = [order.point for order in orders if ends[order.name].was_killed]
    # What gathers in one flush at one time takes two at another, so that the last few may be met by none.
    assert set(map(kind_of, met)) == set(map(kind_of, points)) > set()
    return met


@pytest.mark.parametrize("story", [STRAIGHT, PAUSED, CANCELLED, DELEGATED], ids=lambda story: story.name)
def test_ends_whole_wherever_its_process_is_killed(victims, template, witnesses, held, story):
    points = kill_at_every_point(victims, template(story), story)
    with worker_process(module=ALL_QUEUES):
        until_at_rest()
        # Whom its client has told to pause, and died before it could say more, rests until somebody else does.
        for run in Run.objects.filter(status=Status.PAUSED):
            lifecycle.resume(run.pk)
        until_ended()

    assert all_faults(witnesses) == {}
    held(story.name, points)


def test_asks_a_person_where_nobody_knows_whether_a_tool_had_its_effect(
    victims, template, witnesses, held, alice, workspace
):
    points = kill_at_every_point(victims, template(UNREPEATABLE, idempotent=False), UNREPEATABLE)
    with worker_process(module=ALL_QUEUES):
        until_at_rest()
        asked = list(Approval.objects.filter(status="pending", kind="unknown_effect").select_related("run"))
        for approval in asked:
            # Who is asked looks at the other end: what has not happened is made up for, what has is not repeated.
            has_happened = bool(witnesses.effects_of(approval.run))
            decision = (
                Decision("edit", result="told", has_result=True) if has_happened else Decision("approve")
            )
            approvals.decide(actor_from_session(alice, workspace.pk), approval.pk, decision)
        until_ended()

    assert all_faults(witnesses) == {}
    assert {len(witnesses.effects_of(run)) for run in Run.objects.all()} == {1}
    assert {"unrepeatable.before-tool-call-1", "unrepeatable.after-tool-call-1"} <= {
        approval.run.queue for approval in asked
    }
    held(UNREPEATABLE.name, points)


@pytest.fixture
def workflow(chat_model, agent_on, notifying_tool, workspace, alice) -> Order:
    """An order for a run of the story's workflow."""
    chat_model("gpt")
    agent_on(QUICK_MODEL, name="helper")
    notifying_tool(idempotent=False, requires_approval=True)
    publish_now(workspace, INNER)
    return Order("", "", str(alice.pk), str(workspace.pk), "", workflow=publish_now(workspace, STORY).name)


def test_ends_a_workflow_whole_wherever_its_process_is_killed(
    victims, workflow, witnesses, held, alice, workspace
):
    points = kill_at_every_point(victims, workflow, WORKFLOW)
    with worker_process(module=ALL_QUEUES):
        until_at_rest()
        while asked := list(Approval.objects.filter(status="pending").select_related("run")):
            for approval in asked:
                # Who is asked looks at the other end, as above.
                has_happened = bool(effects_of(witnesses, approval.run))
                decision = (
                    Decision("edit", result="told", has_result=True) if has_happened else Decision("approve")
                )
                approvals.decide(actor_from_session(alice, workspace.pk), approval.pk, decision)
            until_at_rest()
        until_ended()

    assert all_workflow_faults(witnesses) == {}
    held(WORKFLOW.name, points)
