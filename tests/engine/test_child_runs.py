"""Agents as tools: a run of its own for each call, and what reaches down to it and up from it."""

from __future__ import annotations

import asyncio
import json

import pytest
from django.db import OperationalError

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Conflict
from agents.tools.call import callers
from agents.versions import record
from runs import approvals, child_runs, lifecycle, live
from runs.approvals import Decision
from runs.engine.worker import Worker
from runs.models import Approval, Run, Status, ToolCall
from tests.engine.support import at_rest, finished, jobs, last_event, let_go, start, until
from tests.factories import ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)

ASK = 'call expert {"message": "What is it?"}'
CALCULATING_ASK = 'call expert {"message": "call calculator {\\"expression\\": \\"6 * 7\\"}"}'


@pytest.fixture
def asking(agent_on, workspace):
    """`asking("text-5")`: an agent that has another one as its tool, whose model behaves so."""

    def make(behaviour: str, own: str = "text-5", tools=(), beside=(), **fields):
        expert = agent_on(behaviour, name="expert", tools=tools, config={"retries": 0})
        tool = ToolFactory(workspace=workspace, name="expert", tool_kind="agent", function="", agent=expert)
        return agent_on(own, tools=[tool, *beside], **fields)

    return make


async def child_of(run: Run) -> Run:
    async with asyncio.timeout(20):
        while (child := await Run.objects.filter(parent=run).afirst()) is None:
            await asyncio.sleep(0.01)
    return child


async def test_asks_the_other_agent_in_a_run_of_its_own(worker, asking, alice):
    run = await finished(await start(alice, await in_thread(asking, "text-3"), ASK))

    child = await child_of(run)
    assert (child.relation, child.depth, child.status) == ("child", 1, Status.COMPLETED)
    assert (child.input_query, child.agent_name, child.username) == ("What is it?", "expert", "alice")
    assert child.response_content in run.response_content


async def test_leaves_nothing_to_do(worker, asking, alice):
    run = await finished(await start(alice, await in_thread(asking, "text-3"), ASK))
    await let_go(worker)

    async with asyncio.timeout(10):
        while await in_thread(jobs):
            await asyncio.sleep(0.05)
    assert run.status == Status.COMPLETED


async def test_names_the_child_in_its_events(worker, asking, alice):
    run = await finished(await start(alice, await in_thread(asking, "text-3"), ASK))

    child = await child_of(run)
    assert (await last_event(run, "tool_call_started"))["child_run_id"] == str(child.pk)


async def test_takes_the_childs_usage_into_its_own_totals(worker, asking, alice):
    run = await finished(await start(alice, await in_thread(asking, "text-3"), ASK))

    child = await child_of(run)
    own = run.input_tokens + run.output_tokens
    assert run.total_tokens == own + child.total_tokens > own
    assert (await last_event(run, "run_completed"))["metrics"]["total_tokens"] == run.total_tokens


async def test_needs_no_second_place_in_a_worker(asking, alice, close_connections):
    worker = Worker(concurrency=1)
    await worker.start()
    try:
        run = await finished(await start(alice, await in_thread(asking, "text-3"), ASK))
    finally:
        await worker.stop()

    assert run.status == Status.COMPLETED


async def test_tells_the_model_that_the_child_has_failed(worker, asking, alice):
    run = await finished(await start(alice, await in_thread(asking, "error-400"), ASK))

    assert run.status == Status.COMPLETED
    assert "The agent 'expert' has failed (provider_rejected)" in run.response_content


async def test_tells_the_model_that_the_child_was_cancelled(worker, asking, alice):
    run = await start(alice, await in_thread(asking, "slow-100-100"), ASK)
    child = await until(await child_of(run), lambda now: now.last_seq >= 5)
    live.announce(await in_thread(lifecycle.cancel, child.pk))
    ended = await finished(run)

    assert "was cancelled" in ended.response_content


async def test_cancels_the_child_with_the_parent(worker, asking, alice):
    run = await start(alice, await in_thread(asking, "slow-100-100"), ASK)
    child = await until(await child_of(run), lambda now: now.last_seq >= 5)
    live.announce(await in_thread(lifecycle.cancel, run.pk))
    ended = await finished(child)
    await until(child, lambda now: now.worker_id is None)

    assert ended.status == Status.CANCELLED


async def test_pauses_and_resumes_the_child_with_the_parent(worker, asking, alice):
    run = await start(alice, await in_thread(asking, "slow-20-50", own="slow-5-50"), ASK)
    child = await until(await child_of(run), lambda now: now.last_seq >= 5)
    await in_thread(lifecycle.pause, run.pk)
    child = await until(child, lambda now: now.status in (Status.PAUSED, Status.COMPLETED))
    rested = await at_rest(run)
    await in_thread(lifecycle.resume, run.pk)
    ended = await finished(run)

    assert (rested.status, ended.status) == (Status.PAUSED, Status.COMPLETED)
    assert await Run.objects.filter(parent=run).acount() == 1


async def test_waits_in_nobodys_hands_while_the_child_waits_for_a_person(
    worker, asking, alice, actor, http_tool, endpoint_of_tool
):
    refund = await in_thread(lambda: http_tool("refund", requires_approval=True))
    agent = await in_thread(lambda: asking("text-5", tools=[refund]))
    message = 'call expert {"message": "call refund {\\"amount\\": 7}"}'
    run = await at_rest(await start(alice, agent, message))
    await let_go(worker)
    child = await child_of(run)
    approval = await Approval.objects.aget(run=child)
    await in_thread(lambda: approvals.decide(actor(alice), approval.pk, Decision("approve")))
    ended = await finished(run)

    assert (run.status, run.worker_id) == (Status.WAITING, None)
    assert (ended.status, len(endpoint_of_tool.asked)) == (Status.COMPLETED, 1)


async def test_counts_what_all_its_children_use_against_its_limits(worker, asking, alice, workspace):
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    agent = await in_thread(lambda: asking("text-5", tools=[calculator]))
    asked = "\n".join(CALCULATING_ASK for _ in range(3))
    run = await at_rest(await start(alice, agent, asked, limits={"max_tokens": 30}))
    await in_thread(lifecycle.roll_up, run.pk)

    children = [child.status async for child in Run.objects.filter(parent=run)]
    assert Status.PAUSED in children
    assert (await Run.objects.aget(pk=run.pk)).total_tokens < 30 + 3 * 20


async def test_goes_nowhere_without_a_higher_limit(worker, asking, alice, workspace):
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    agent = await in_thread(lambda: asking("text-5", tools=[calculator]))
    run = await at_rest(await start(alice, agent, CALCULATING_ASK, limits={"max_tokens": 15}))

    with pytest.raises(Conflict, match="higher"):
        await in_thread(lifecycle.resume, run.pk)


async def test_goes_on_with_the_child_when_its_limit_is_raised(worker, asking, alice, workspace):
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    agent = await in_thread(lambda: asking("text-5", tools=[calculator]))
    run = await at_rest(await start(alice, agent, CALCULATING_ASK, limits={"max_tokens": 15}))
    child = await child_of(run)
    await in_thread(lifecycle.resume, run.pk, {"max_tokens": 10_000})
    ended = await finished(run)

    assert (child.status, ended.status) == (Status.PAUSED, Status.COMPLETED)
    assert "42" in ended.response_content


async def test_attaches_to_the_same_child_after_a_crash(worker, asking, alice):
    run = await start(alice, await in_thread(asking, "slow-20-50"), ASK)
    await until(await child_of(run), lambda now: now.last_seq >= 5)
    worker.executor.give_up_all()
    ended = await finished(run)

    assert (ended.status, await Run.objects.filter(parent=run).acount()) == (Status.COMPLETED, 1)


async def test_is_handed_back_where_the_database_fails_meanwhile(worker, asking, alice, monkeypatch):
    """The platform's own fault is no answer of the agent's."""
    looks = iter([child_runs.head, _fail])
    monkeypatch.setattr(child_runs, "head", lambda run_id, real=child_runs.head: next(looks, real)(run_id))
    run = await start(alice, await in_thread(asking, "slow-20-50"), ASK)
    child = await until(await child_of(run), lambda now: now.last_seq >= 5)
    await in_thread(lifecycle.pause, child.pk)
    await until(run, lambda now: now.attempt == 2)

    assert (await last_event(run, "run_queued"))["reason"] == "database_unavailable"
    assert not await run.events.filter(type="tool_call_failed").aexists()


def _fail(_run_id):
    raise OperationalError("the connection is lost")


async def test_lets_the_calls_beside_a_child_end_when_the_worker_stops(
    worker, asking, alice, workspace, http_tool, monkeypatch
):
    monkeypatch.setitem(callers, "http", _slowly(callers["http"]))
    pay = await in_thread(lambda: http_tool("pay"))
    calculator = await in_thread(ToolFactory, workspace=workspace, name="calculator")
    agent = await in_thread(lambda: asking("slow-5-100", tools=[calculator], beside=[pay]))
    run = await start(alice, agent, f'{CALCULATING_ASK}\ncall pay {{"amount": 1}}')
    await until(await child_of(run), lambda now: now.last_seq >= 3)
    await worker.stop()

    paid = await ToolCall.objects.aget(run=run, tool="pay")
    assert (paid.status, (await Run.objects.aget(pk=run.pk)).status) == ("done", Status.QUEUED)


def _slowly(call):
    async def slow(*arguments):
        await asyncio.sleep(1.5)
        return await call(*arguments)

    return slow


async def test_stops_agents_that_ask_each_other_in_a_circle(worker, agent_on, workspace, alice):
    agent = await in_thread(lambda: agent_on("text-5", name="expert"))
    await in_thread(_ask_itself, agent, workspace)
    run = await finished(await start(alice, agent, _asking_itself(10)))

    deepest = await Run.objects.order_by("-depth").afirst()
    assert (run.status, deepest.depth) == (Status.COMPLETED, 8)


def _ask_itself(agent, workspace) -> None:
    tool = ToolFactory(workspace=workspace, name="expert", tool_kind="agent", function="", agent=agent)
    agent.tools.set([tool])
    record(agent, None, "updated")


def _asking_itself(levels: int) -> str:
    message = "The end."
    for _ in range(levels):
        message = "call expert " + json.dumps({"message": message})
    return message
