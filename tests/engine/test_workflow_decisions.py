"""What runs of workflows wait for: more of a limit, and people who are asked, several at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import Conflict, Invalid
from runs import approvals, live
from runs.models import Approval, Status
from tests.engine.support import at_rest, finished, last_event, until
from tests.engine.workflows import (
    FAN,
    LINE,
    ONCE,
    asked,
    is_balanced,
    publish,
    resume,
    start,
    steps_of,
)

pytestmark = pytest.mark.django_db(transaction=True)


# --- limited ---


async def test_pauses_before_the_call_that_would_go_over_its_tokens(worker, workspace, alice, chat_models):
    await in_thread(chat_models, slow="text-3")
    run = await at_rest(await start(alice, await publish(workspace, LINE), limits={"max_tokens": 1}))

    assert (run.status, await steps_of(run.id)) == (Status.PAUSED, [(1, "one", "model")])
    assert (await last_event(run, "run_paused"))["limit"] == "max_tokens"


async def test_goes_on_with_a_higher_limit(worker, workspace, alice, chat_models, endpoint):
    await in_thread(chat_models, slow="text-3")
    run = await at_rest(await start(alice, await publish(workspace, LINE), limits={"max_tokens": 1}))
    with pytest.raises(Conflict):
        await resume(run)
    await resume(run, {"max_tokens": 10_000})

    assert ((await finished(run)).status, asked(endpoint)) == (Status.COMPLETED, {"one": 1, "two": 1})


BEFORE_FAN = FAN.replace(
    "- {id: fan,", '- {id: first, kind: llm, model: gpt, prompt: "first"}\n  - {id: fan,'
).replace("{from: start, to: fan}", "{from: start, to: first}\n  - {from: first, to: fan}")


async def test_opens_no_call_of_either_branch_that_would_go_over_its_tokens(
    worker, workspace, alice, chat_models, endpoint
):
    await in_thread(chat_models, gpt="text-3", slow="text-3")
    run = await at_rest(await start(alice, await publish(workspace, BEFORE_FAN), limits={"max_tokens": 1}))
    assert asked(endpoint) == {"first": 1}
    assert await is_balanced(run)
    await resume(run, {"max_tokens": 10_000})

    assert ((await finished(run)).output, asked(endpoint)) == (3, {**ONCE, "first": 1})
    assert await is_balanced(run)


async def test_counts_the_model_calls_of_all_nodes(worker, workspace, alice, chat_models):
    await in_thread(chat_models, gpt="text-3", slow="text-3")
    run = await finished(await start(alice, await publish(workspace, FAN), limits={"max_steps": 2}))

    assert run.error["class"] == "max_steps"


# --- decided by people ---


TWO = """
name: two
state: {a: {type: object}, b: {type: object}}
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: merge}
  - {id: left, kind: approval, message: "left?", show: {n: 1}, output: a}
  - {id: right, kind: approval, message: "right?", show: {n: 2}, output: b}
  - {id: say, kind: llm, model: gpt, prompt: "say"}
  - {id: yes_left, kind: transform, set: {a: "{'said': 'yes'}"}}
  - {id: yes_right, kind: transform, set: {b: "{'said': 'yes'}"}}
  - {id: merge, kind: join}
  - {id: end, kind: end, output: {a: "{{ state.a }}", b: "{{ state.b }}"}}
edges:
  - {from: start, to: fan}
  - {from: fan, to: left}
  - {from: fan, to: right}
  - {from: fan, to: say}
  - {from: left, to: yes_left, case: approved}
  - {from: left, to: merge, case: rejected}
  - {from: right, to: yes_right, case: approved}
  - {from: right, to: merge, case: rejected}
  - {from: yes_left, to: merge}
  - {from: yes_right, to: merge}
  - {from: say, to: merge}
  - {from: merge, to: end}
"""


@pytest.mark.parametrize("order", [("left", "right"), ("right", "left")], ids="-".join)
async def test_asks_two_people_at_once_and_the_model_beside_them_once(
    worker, workspace, alice, chat_models, endpoint, decide, order
):
    await in_thread(chat_models, gpt="text-3")
    run = await at_rest(await start(alice, await publish(workspace, TWO)))
    assert await Approval.objects.filter(run=run, status="pending").acount() == 2
    await decide(run, "approve", order[0])
    await until(run, lambda now: now.attempt == 2 and now.status == Status.WAITING)
    await decide(run, "reject", order[1])
    ended = await finished(run)

    said = {"left": "a", "right": "b"}
    assert ended.output[said[order[0]]] == {"said": "yes"}
    assert ended.output[said[order[1]]].keys() == {"n"}
    assert asked(endpoint) == {"say": 1}


async def test_goes_on_by_itself_when_both_have_decided_at_once(
    worker, workspace, alice, chat_models, decide
):
    await in_thread(chat_models, gpt="text-3")
    run = await at_rest(await start(alice, await publish(workspace, TWO)))
    await asyncio.gather(decide(run, "approve", "left"), decide(run, "approve", "right"))

    assert (await finished(run)).output == {"a": {"said": "yes"}, "b": {"said": "yes"}}


ASK = """
name: ask
nodes:
  - {id: start, kind: start}
  - {id: ask, kind: approval, message: "Shall we?", timeout: 60, default: DEFAULT}
  - {id: yes, kind: end, output: "went on"}
  - {id: no, kind: end, output: "stopped"}
edges:
  - {from: start, to: ask}
  - {from: ask, to: yes, case: approved}
  - {from: ask, to: no, case: rejected}
"""


@pytest.mark.parametrize(("default", "said"), [("approve", "went on"), ("reject", "stopped")])
async def test_goes_by_the_nodes_default_at_its_deadline(worker, workspace, alice, default, said):
    run = await at_rest(await start(alice, await publish(workspace, ASK.replace("DEFAULT", default))))
    approval = await Approval.objects.aget(run=run)
    await Approval.objects.filter(pk=approval.pk).aupdate(deadline=timezone.now() - timedelta(seconds=1))
    live.announce(await in_thread(approvals.expire, approval.pk))

    assert (await finished(run)).response_content == said


async def test_says_what_a_person_is_asked(worker, workspace, alice):
    run = await at_rest(await start(alice, await publish(workspace, ASK.replace("DEFAULT", "reject"))))
    told = await last_event(run, "approval_required")

    assert (told["kind"], told["tool"], told["message"]) == ("node", "ask", "Shall we?")
    assert told["deadline"]


TWO_QUESTIONS = """
name: questions
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: merge}
  - {id: first, kind: approval, message: "first"}
  - {id: second, kind: approval, message: "second"}
  - {id: merge, kind: join}
  - {id: end, kind: end, output: done}
edges:
  - {from: start, to: fan}
  - {from: fan, to: first}
  - {from: fan, to: second}
  - {from: first, to: merge, case: approved}
  - {from: first, to: merge, case: rejected}
  - {from: second, to: merge, case: approved}
  - {from: second, to: merge, case: rejected}
  - {from: merge, to: end}
"""


async def test_names_the_node_of_each_question(worker, workspace, alice):
    run = await at_rest(await start(alice, await publish(workspace, TWO_QUESTIONS)))
    told = run.events.filter(type="approval_required").order_by("node")

    assert [(one.node, one.data["call_id"]) async for one in told] == [
        ("first", "first"),
        ("second", "second"),
    ]


NAMESAKES = """
name: namesakes
nodes:
  - {id: start, kind: start}
  - {id: pay, kind: http, request: {method: GET, url: "https://example.com/"}}
  - {id: charge, kind: tool, tool: pay, arguments: {amount: "{{ 3 }}"}}
  - {id: end, kind: end, output: done}
edges: [{from: start, to: charge}, {from: charge, to: pay}, {from: pay, to: end}]
"""


async def test_checks_arguments_by_the_tool_of_the_node_that_asks(
    worker, workspace, alice, http_tool, decide
):
    await in_thread(lambda: http_tool("pay", requires_approval=True))
    run = await at_rest(await start(alice, await publish(workspace, NAMESAKES)))

    with pytest.raises(Invalid):
        await decide(run, "edit", arguments={"amount": "much"})
