"""The ledger of tool calls: what an attempt makes of the calls that an earlier one has left."""

from __future__ import annotations

import pytest

from agentplatform.lib.concurrency import in_thread
from runs import approvals
from runs.approvals import Decision
from runs.models import Approval, Checkpoint, CheckpointWrite, Run, Status, ToolCall
from runs.queueing.multitask import Strategy
from tests.agents.http_endpoint import Answer
from tests.engine.support import at_rest, events_of, finished, start, types, until

pytestmark = pytest.mark.django_db(transaction=True)

PAY = 'call pay {"amount": 5}'


async def broken_off(worker, agent, alice, endpoint_of_tool) -> Run:
    """A run whose attempt ends in the middle of its tool call, which the endpoint has seen, as at a crash."""
    endpoint_of_tool.answer = Answer(hang=True)
    run = await start(alice, agent, PAY)
    await until(run, lambda now: bool(endpoint_of_tool.asked))
    endpoint_of_tool.answer = Answer()
    worker.executor.give_up_all()
    return run


def keys(endpoint) -> list[str]:
    return [asked.headers["Idempotency-Key"] for asked in endpoint.asked]


async def test_sends_the_calls_key_to_its_endpoint(worker, agent_on, http_tool, alice, endpoint_of_tool):
    tool = await in_thread(http_tool, "pay")
    run = await finished(await start(alice, await in_thread(agent_on, "text-5", tools=[tool]), PAY))

    call = await ToolCall.objects.aget(run=run)
    assert (keys(endpoint_of_tool), call.status) == ([str(call.pk)], "done")


async def test_repeats_a_call_of_an_idempotent_tool_with_the_same_key(
    worker, agent_on, http_tool, alice, endpoint_of_tool
):
    tool = await in_thread(lambda: http_tool("pay", idempotent=True))
    agent = await in_thread(agent_on, "text-5", tools=[tool])
    run = await broken_off(worker, agent, alice, endpoint_of_tool)
    ended = await finished(run)

    first, second = keys(endpoint_of_tool)
    assert (ended.status, first) == (Status.COMPLETED, second)


async def test_asks_a_person_about_any_other(worker, agent_on, http_tool, alice, endpoint_of_tool):
    agent = await in_thread(agent_on, "text-5", tools=[await in_thread(http_tool, "pay")])
    run = await at_rest(await broken_off(worker, agent, alice, endpoint_of_tool))

    approval = await Approval.objects.aget(run=run)
    call = await ToolCall.objects.aget(run=run)
    assert (run.status, approval.kind, call.status) == (Status.WAITING, "unknown_effect", "unknown")
    assert len(endpoint_of_tool.asked) == 1


@pytest.mark.parametrize(
    ("decision", "calls", "said"),
    [
        (Decision("approve"), 2, '{"ok": true}'),
        (Decision("reject"), 1, "A person has decided that it is not made again."),
        (Decision("edit", result={"paid": True}, has_result=True), 1, '{"paid": true}'),
    ],
    ids=["make it again", "leave it", "give its result"],
)
async def test_does_what_the_person_says(
    worker, agent_on, http_tool, alice, actor, endpoint_of_tool, decision, calls, said
):
    agent = await in_thread(agent_on, "text-5", tools=[await in_thread(http_tool, "pay")])
    run = await at_rest(await broken_off(worker, agent, alice, endpoint_of_tool))
    approval = await Approval.objects.aget(run=run)
    await in_thread(lambda: approvals.decide(actor(alice), approval.pk, decision))
    ended = await finished(run)

    assert (ended.status, len(endpoint_of_tool.asked)) == (Status.COMPLETED, calls)
    assert said in ended.response_content


async def test_makes_no_call_again_that_has_ended(worker, agent_on, http_tool, alice, endpoint_of_tool):
    """Killed between the record and the step's checkpoint: LangGraph begins the step again, the ledger knows."""
    agent = await in_thread(agent_on, "slow-20-100", tools=[await in_thread(http_tool, "pay")])
    run = await start(alice, agent, PAY)
    await until(run, lambda now: now.total_steps == 2)
    await in_thread(_forget_checkpoint_of_tools, run)
    worker.executor.give_up_all()
    ended = await finished(run)

    assert (ended.status, len(endpoint_of_tool.asked)) == (Status.COMPLETED, 1)
    assert types(await events_of(run.pk)).count("tool_call_completed") == 1


def _forget_checkpoint_of_tools(run: Run) -> None:
    checkpoint = Checkpoint.objects.filter(run=run).latest("checkpoint_id")
    checkpoint.delete()
    CheckpointWrite.objects.filter(thread_id=run.thread_id).delete()
    Run.objects.filter(pk=run.pk).update(total_steps=1)


async def test_leaves_no_unknown_effect_to_the_clock(
    worker, agent_on, http_tool, alice, actor, endpoint_of_tool
):
    """Whatever the tool says of approvals: approving by default would make the call twice."""
    tool = await in_thread(
        lambda: http_tool(
            "pay", requires_approval=True, approval_timeout_seconds=60, approval_default="approve"
        )
    )
    endpoint_of_tool.answer = Answer(hang=True)
    run = await at_rest(await start(alice, await in_thread(agent_on, "text-5", tools=[tool]), PAY))
    first = await Approval.objects.aget(run=run)
    await in_thread(lambda: approvals.decide(actor(alice), first.pk, Decision("approve")))
    await until(run, lambda now: bool(endpoint_of_tool.asked))
    worker.executor.give_up_all()
    await until(run, lambda now: now.status == Status.WAITING and now.attempt == 3)

    asked = await Approval.objects.aget(run=run, kind="unknown_effect")
    assert (asked.default, asked.deadline) == ("reject", None)


async def test_takes_ids_that_are_longer_than_a_column(worker, agent_on, http_tool, alice, endpoint_of_tool):
    tool = await in_thread(http_tool, "pay")
    agent = await in_thread(agent_on, "text-5", tools=[tool])
    run = await finished(await start(alice, agent, f"{PAY} as call_{'x' * 1000}"))

    assert (run.status, len(endpoint_of_tool.asked)) == (Status.COMPLETED, 1)


async def test_tells_the_next_run_of_its_session_what_was_done(
    worker, agent_on, http_tool, alice, session, endpoint, endpoint_of_tool
):
    """A model that is told that a payment was cancelled makes it again."""
    pay = await in_thread(http_tool, "pay")
    refund = await in_thread(lambda: http_tool("refund", requires_approval=True))
    agent = await in_thread(agent_on, "text-5", tools=[pay, refund])
    await at_rest(await start(alice, agent, f'{PAY}\ncall refund {{"amount": 2}}', session_id=session.pk))
    strategy = Strategy.INTERRUPT
    await finished(await start(alice, agent, "And now?", session_id=session.pk, multitask_strategy=strategy))

    sent = endpoint.requests[-1].body["messages"]
    said = sorted(message["content"] for message in sent if message["role"] == "tool")
    assert said == ["The call was cancelled before it was made.", '{"ok": true}']
