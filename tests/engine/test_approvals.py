"""Tools that require an approval: where the run waits, and what it makes of a person's decision."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Conflict, Invalid, PermissionDenied
from runs import approvals, lifecycle, live
from runs.approvals import Decision
from runs.models import Approval, Run, RunStep, Status, ToolCall
from tests.engine.support import at_rest, events_of, finished, last_event, let_go, start, types, until
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

REFUND = 'call refund {"amount": 5}'
APPROVE, REJECT = Decision("approve"), Decision("reject", "Too much.")


@pytest.fixture
def refund(http_tool):
    return http_tool("refund", requires_approval=True)


@pytest.fixture
def refunding_agent(agent_on, refund):
    return agent_on("text-5", tools=[refund])


@pytest.fixture
def decide(actor):
    """`await decide(alice, approval, APPROVE)`."""

    async def decided(user, approval: Approval, decision: Decision) -> Approval:
        found, events = await in_thread(lambda: approvals.decide(actor(user), approval.pk, decision))
        live.announce(events)
        return found

    return decided


async def waiting(alice, agent, text: str = REFUND) -> tuple[Run, Approval]:
    run = await at_rest(await start(alice, agent, text))
    return run, await Approval.objects.filter(run=run).alatest("pk")


def amounts(endpoint) -> list[int]:
    """What was refunded."""
    return [json.loads(asked.body)["amount"] for asked in endpoint.asked]


async def test_waits_in_nobodys_hands(worker, refunding_agent, alice, endpoint_of_tool):
    run, approval = await waiting(alice, refunding_agent)
    await let_go(worker)

    assert (run.status, run.worker_id) == (Status.WAITING, None)
    assert (approval.status, approval.arguments, amounts(endpoint_of_tool)) == ("pending", {"amount": 5}, [])


async def test_tells_what_it_waits_for(worker, refunding_agent, alice):
    run, approval = await waiting(alice, refunding_agent)

    assert await last_event(run, "approval_required") == {
        "approval_id": str(approval.pk),
        "kind": "tool_call",
        "tool": "refund",
        "args": {"amount": 5},
        "call_id": approval.call_id,
        "deadline": None,
    }
    assert await last_event(run, "run_waiting") == {"run_id": str(run.pk), "approvals": 1, "children": []}


async def test_makes_the_call_once_it_is_approved(worker, refunding_agent, alice, endpoint_of_tool, decide):
    run, approval = await waiting(alice, refunding_agent)
    await decide(alice, approval, APPROVE)
    ended = await finished(run)

    assert (ended.status, amounts(endpoint_of_tool)) == (Status.COMPLETED, [5])
    assert (await last_event(run, "approval_resolved"))["decided_by"] == "alice"


async def test_tells_the_model_of_a_rejection(worker, refunding_agent, alice, endpoint_of_tool, decide):
    run, approval = await waiting(alice, refunding_agent)
    await decide(alice, approval, REJECT)
    ended = await finished(run)

    assert (ended.status, amounts(endpoint_of_tool)) == (Status.COMPLETED, [])
    assert "Too much." in ended.response_content


async def test_makes_the_call_with_edited_arguments(worker, refunding_agent, alice, endpoint_of_tool, decide):
    run, approval = await waiting(alice, refunding_agent)
    await decide(alice, approval, Decision("edit", arguments={"amount": 3}))
    await finished(run)

    assert amounts(endpoint_of_tool) == [3]
    assert (await last_event(run, "tool_call_started"))["args"] == {"amount": 3}


async def test_refuses_arguments_that_the_tool_does_not_take(worker, refunding_agent, alice, decide):
    run, approval = await waiting(alice, refunding_agent)

    with pytest.raises(Invalid, match="arguments"):
        await decide(alice, approval, Decision("edit", arguments={"amount": "all"}))
    assert (await Run.objects.aget(pk=run.pk)).status == Status.WAITING


async def test_makes_the_calls_beside_it_meanwhile(
    worker, agent_on, refund, alice, workspace, endpoint_of_tool, decide
):
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    agent = await in_thread(agent_on, "text-5", tools=[refund, calculator])
    both = REFUND + '\ncall calculator {"expression": "6 * 7"}'
    run, approval = await waiting(alice, agent, both)
    done = [
        call async for call in ToolCall.objects.filter(run=run, status="done").values_list("tool", flat=True)
    ]
    await decide(alice, approval, APPROVE)
    ended = await finished(run)
    step = await RunStep.objects.aget(run=run, type="tool")

    told = types(await events_of(run.pk))
    assert (done, told.count("tool_call_completed")) == (["calculator"], 2)
    assert sorted(message["name"] for message in step.messages) == ["calculator", "refund"]
    assert "42" in ended.response_content


async def test_goes_on_with_each_decision(worker, agent_on, refund, alice, endpoint_of_tool, decide):
    agent = await in_thread(agent_on, "text-5", tools=[refund])
    run, _ = await waiting(alice, agent, 'call refund {"amount": 1}\ncall refund {"amount": 2}')
    first, second = [one async for one in Approval.objects.filter(run=run).order_by("arguments__amount")]
    await decide(alice, first, APPROVE)
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)
    paid_before = amounts(endpoint_of_tool)
    await decide(alice, second, APPROVE)
    ended = await finished(run)

    assert (paid_before, amounts(endpoint_of_tool)) == ([1], [1, 2])
    assert ended.status == Status.COMPLETED
    assert await Approval.objects.filter(run=run).acount() == 2


async def test_is_decided_once(worker, refunding_agent, alice, decide):
    run, approval = await waiting(alice, refunding_agent)
    await decide(alice, approval, APPROVE)
    await decide(alice, approval, APPROVE)

    with pytest.raises(Conflict):
        await decide(alice, approval, REJECT)
    await finished(run)
    assert types(await events_of(run.pk)).count("approval_resolved") == 1


async def test_is_not_decided_by_a_viewer(worker, refunding_agent, alice, vera, decide):
    _run, approval = await waiting(alice, refunding_agent)

    with pytest.raises(PermissionDenied):
        await decide(vera, approval, APPROVE)


@pytest.mark.parametrize(("default", "paid"), [("reject", []), ("approve", [5])])
async def test_goes_by_its_default_at_the_deadline(
    worker, agent_on, http_tool, alice, endpoint_of_tool, default, paid
):
    tool = await in_thread(
        lambda: http_tool(
            "refund", requires_approval=True, approval_timeout_seconds=60, approval_default=default
        )
    )
    run, approval = await waiting(alice, await in_thread(agent_on, "text-5", tools=[tool]))
    await Approval.objects.filter(pk=approval.pk).aupdate(deadline=timezone.now() - timedelta(seconds=1))
    ended = await finished(run)

    assert (ended.status, amounts(endpoint_of_tool)) == (Status.COMPLETED, paid)


async def test_can_be_paused_and_waits_again_when_it_is_resumed(worker, refunding_agent, alice, decide):
    run, _approval = await waiting(alice, refunding_agent)
    await in_thread(lifecycle.pause, run.pk)
    paused = await Run.objects.aget(pk=run.pk)
    await in_thread(lifecycle.resume, run.pk)
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)

    assert paused.status == Status.PAUSED
    assert await run.events.filter(type="approval_required").acount() == 1


async def test_keeps_a_decision_that_was_made_while_it_was_paused(
    worker, refunding_agent, alice, endpoint_of_tool, decide
):
    run, approval = await waiting(alice, refunding_agent)
    await in_thread(lifecycle.pause, run.pk)
    await decide(alice, approval, APPROVE)
    still = await Run.objects.aget(pk=run.pk)
    await in_thread(lifecycle.resume, run.pk)
    await finished(run)

    assert (still.status, amounts(endpoint_of_tool)) == (Status.PAUSED, [5])


async def test_is_over_when_its_run_is_cancelled(worker, refunding_agent, alice, decide):
    run, approval = await waiting(alice, refunding_agent)
    await in_thread(lifecycle.cancel, run.pk)

    with pytest.raises(Conflict):
        await decide(alice, approval, APPROVE)
    assert (await Approval.objects.aget(pk=approval.pk)).status == "cancelled"


async def test_is_of_one_call_even_where_a_model_gives_two_the_same_id(
    worker, agent_on, refund, alice, endpoint_of_tool, decide
):
    """What nobody was shown is not made."""
    agent = await in_thread(agent_on, "text-5", tools=[refund])
    both = 'call refund {"amount": 1} as call_0\ncall refund {"amount": 1000000} as call_0'
    run, _ = await waiting(alice, agent, both)
    small = await Approval.objects.aget(run=run, arguments__amount=1)
    await decide(alice, small, APPROVE)
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)

    assert (amounts(endpoint_of_tool), await Approval.objects.filter(run=run).acount()) == ([1], 2)


async def test_permits_nothing_once_it_is_cancelled(worker, refunding_agent, alice, endpoint_of_tool):
    run, approval = await waiting(alice, refunding_agent)
    await Approval.objects.filter(pk=approval.pk).aupdate(status="cancelled")
    await in_thread(lifecycle.pause, run.pk)
    await in_thread(lifecycle.resume, run.pk)
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)

    assert amounts(endpoint_of_tool) == []
