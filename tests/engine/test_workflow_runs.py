"""Workflows as runs: what their nodes do, in which order, and what the run comes to."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest

from agentplatform.lib.concurrency import in_thread
from billing.models import UsageRecord
from runs import approvals, live
from runs.approvals import Decision
from runs.models import Approval, Run, Status
from tests.engine.support import at_rest, entries_of, events_of, finished, types
from tests.engine.workflows import publish, start, steps_of
from tests.factories import ChatModelFactory, ToolFactory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model(workspace, endpoint):
    return ChatModelFactory(
        workspace=workspace, name="gpt", provider="openai", model="text-3", base_url=endpoint.base_url
    )


@pytest.fixture
def pay(http_tool, endpoint):
    return http_tool("pay")


@pytest.fixture
def helper(agent_on):
    return agent_on("text-3", name="helper")


@pytest.fixture
def broken(workspace):
    return ToolFactory(workspace=workspace, name="broken", function="json_query", arguments_schema={})


REPLY = """
name: reply
state: {answer: {type: string}}
nodes:
  - {id: start, kind: start}
  - {id: say, kind: llm, model: gpt, system: "Be kind.", prompt: "Answer {{ input.message }}", output: answer}
  - {id: end, kind: end, output: "{{ state.answer }}"}
edges: [{from: start, to: say}, {from: say, to: end}]
"""


async def test_asks_a_model(worker, workspace, alice, model):
    run = await finished(await start(alice, await publish(workspace, REPLY)))
    assert (run.status, run.error) == (Status.COMPLETED, None)
    assert run.response_content
    assert await steps_of(run.id) == [(1, "say", "model"), (2, "end", "end")]
    assert await entries_of(run) == [("opened", "pending"), ("settled", "ok")]
    events = await events_of(run.id)
    assert {event.node for event in events if event.type == "content_delta"} == {"say"}


PARALLEL = """
name: fan
state:
  facts: {type: array, items: {type: string}, reducer: append}
  total: {type: number, reducer: add}
nodes:
  - {id: start, kind: start}
  - {id: fan, kind: parallel, join: merge}
  - {id: one, kind: llm, model: gpt, prompt: "one", output: facts}
  - {id: two, kind: llm, model: gpt, prompt: "two", output: facts}
  - {id: which, kind: condition, cases: [{case: long, when: "size(input.message) > 3"}]}
  - {id: a, kind: transform, set: {total: "1.5", facts: "['a']"}}
  - {id: b, kind: transform, set: {total: "2.5"}}
  - {id: merge, kind: join}
  - {id: end, kind: end, output: {facts: "{{ size(state.facts) }}", total: "{{ state.total }}"}}
edges:
  - {from: start, to: fan}
  - {from: fan, to: one}
  - {from: fan, to: two}
  - {from: fan, to: which}
  - {from: which, to: a, case: long}
  - {from: which, to: b, case: default}
  - {from: one, to: merge}
  - {from: two, to: merge}
  - {from: a, to: merge}
  - {from: b, to: merge}
  - {from: merge, to: end}
"""


async def test_runs_branches_side_by_side_and_joins_them(worker, workspace, alice, model):
    run = await finished(await start(alice, await publish(workspace, PARALLEL)))
    assert run.error is None
    assert run.output == {"facts": 3, "total": 1.5}
    assert await steps_of(run.id) == [
        (1, "fan", "parallel"),
        (2, "one", "model"),
        (2, "two", "model"),
        (2, "which", "condition"),
        (3, "a", "transform"),
        (4, "merge", "join"),
        (5, "end", "end"),
    ]


LOOP = """
name: loop
input: {properties: {names: {type: array, items: {type: string}}}, required: [names]}
state:
  name: {type: string}
  greetings: {type: array, items: {type: string}, reducer: append}
  n: {type: integer, reducer: add}
nodes:
  - {id: start, kind: start}
  - {id: each, kind: loop, over: input.names, item: name, max: 5}
  - {id: greet, kind: transform, set: {greetings: "'hello ' + state.name + ' ' + string(loops.each)"}}
  - {id: again, kind: loop, while: state.n < 3, max: 10}
  - {id: count, kind: transform, set: {n: "1"}}
  - {id: end, kind: end, output: {greetings: "{{ state.greetings }}", n: "{{ state.n }}"}}
edges:
  - {from: start, to: each}
  - {from: each, to: greet, case: body}
  - {from: greet, to: each}
  - {from: each, to: again, case: done}
  - {from: again, to: count, case: body}
  - {from: count, to: again}
  - {from: again, to: end, case: done}
"""


BRANCHES = [f"b{number}" for number in range(6)]
WIDE = "\n".join(
    [
        "name: wide",
        "nodes:",
        "  - {id: start, kind: start}",
        "  - {id: fan, kind: parallel, join: merge}",
        *(f"  - {{id: {name}, kind: llm, model: gpt, prompt: {name}}}" for name in BRANCHES),
        "  - {id: merge, kind: join}",
        "  - {id: end, kind: end, output: done}",
        "edges:",
        "  - {from: start, to: fan}",
        *(f"  - {{from: fan, to: {name}}}\n  - {{from: {name}, to: merge}}" for name in BRANCHES),
        "  - {from: merge, to: end}",
    ]
)


async def test_has_no_more_nodes_at_work_than_may_be(worker, workspace, alice, model, monkeypatch):
    monkeypatch.setattr("runs.engine.recorder.MOST_AT_ONCE", 2)
    run = await finished(await start(alice, await publish(workspace, WIDE)))
    entries = UsageRecord.objects.filter(run_id=run.id).order_by("timestamp")
    changes = [1 if entry.entry == "opened" else -1 async for entry in entries]

    assert (run.status, len(changes), max(accumulate(changes))) == (Status.COMPLETED, 12, 2)


async def test_goes_round_loops(worker, workspace, alice):
    run = await finished(await start(alice, await publish(workspace, LOOP), {"names": ["ann", "bob"]}))
    assert run.error is None
    assert run.output == {"greetings": ["hello ann 1", "hello bob 2"], "n": 3}


APPROVAL = """
name: refund
state: {asked: {type: object}, paid: {type: any}}
nodes:
  - {id: start, kind: start}
  - id: ask
    kind: approval
    message: "Refund for {{ input.message }}?"
    show: {amount: 5}
    output: asked
  - {id: pay, kind: tool, tool: pay, arguments: {amount: "{{ state.asked.amount }}"}, output: paid}
  - {id: end, kind: end, output: "done {{ state.asked.amount }}"}
  - {id: refused, kind: end, output: refused}
edges:
  - {from: start, to: ask}
  - {from: ask, to: pay, case: approved}
  - {from: ask, to: refused, case: rejected}
  - {from: pay, to: end}
"""


@pytest.mark.parametrize(
    ("decision", "response", "paid"),
    [
        (Decision("approve"), "done 5", [5]),
        (Decision("edit", arguments={"amount": 7}), "done 7", [7]),
        (Decision("reject"), "refused", []),
    ],
)
async def test_waits_for_a_person(
    worker, workspace, alice, actor, pay, endpoint_of_tool, decision, response, paid
):
    run = await at_rest(await start(alice, await publish(workspace, APPROVAL)))
    approval = await Approval.objects.aget(run=run)
    assert (approval.kind, approval.message, approval.arguments) == (
        "node",
        "Refund for hello?",
        {"amount": 5},
    )
    _, events = await in_thread(lambda: approvals.decide(actor(alice), approval.pk, decision))
    live.announce(events)
    run = await finished(run)
    assert (run.error, run.response_content) == (None, response)
    assert [json.loads(asked.body)["amount"] for asked in endpoint_of_tool.asked] == paid


NESTED = """
name: outer
state: {answer: {type: string}, inner: {type: any}}
nodes:
  - {id: start, kind: start}
  - {id: helper, kind: agent, agent: helper, message: "{{ input.message }}", output: answer}
  - {id: count, kind: workflow, workflow: loop, input: {names: ["x", "{{ state.answer }}"]}, output: inner}
  - {id: end, kind: end, output: "{{ state.inner }}"}
edges:
  - {from: start, to: helper}
  - {from: helper, to: count}
  - {from: count, to: end}
"""


async def test_asks_agents_and_other_workflows(worker, workspace, alice, helper):
    await publish(workspace, LOOP)
    run = await finished(await start(alice, await publish(workspace, NESTED)))
    assert run.error is None
    assert run.output["n"] == 3
    children = [child async for child in Run.objects.filter(parent=run).order_by("pk")]
    assert [(child.agent_name, child.workflow_name) for child in children] == [
        ("helper", "outer"),
        ("", "loop"),
    ]
    assert run.child_input_tokens == children[0].input_tokens > 0


STRUCTURED = (
    REPLY.replace("name: reply", "name: structured")
    .replace(
        "output: answer}",
        "output: answer, schema: {type: object, properties: {mood: {type: string}}, required: [mood]}}",
    )
    .replace("answer: {type: string}", "answer: {type: object}")
)


async def test_asks_once_more_for_json_that_fits(worker, workspace, alice, model, endpoint):
    endpoint.say("Answer hello", "I am fine.", '```json\n{"mood": "fine"}\n```')
    run = await finished(await start(alice, await publish(workspace, STRUCTURED)))
    assert (run.error, run.output) == (None, {"mood": "fine"})
    assert "retrying" in types(await events_of(run.id))


async def test_fails_when_the_model_never_fits(worker, workspace, alice, model, endpoint):
    endpoint.say("Answer hello", "I am fine.", '{"mood": 3}')
    run = await finished(await start(alice, await publish(workspace, STRUCTURED)))
    assert run.error["class"] == "provider_rejected"
    assert len(await entries_of(run)) == 4


CAUGHT = """
name: caught
state: {found: {type: any}}
nodes:
  - {id: start, kind: start}
  - {id: look, kind: tool, tool: broken, output: found}
  - {id: end, kind: end, output: fine}
  - {id: sorry, kind: end, output: "{{ error.node }}: {{ error.message }}"}
edges:
  - {from: start, to: look}
  - {from: look, to: end}
  - {from: look, to: sorry, case: error}
"""


async def test_catches_what_fails(worker, workspace, alice, broken):
    run = await finished(
        await start(
            alice,
            await publish(
                workspace, CAUGHT.replace("tool: broken", "tool: broken, arguments: {query: '[', data: '{}'}")
            ),
        )
    )
    assert run.error is None
    assert run.response_content.startswith("look: ")


async def test_fails_and_names_the_node(worker, workspace, alice, broken):
    text = (
        CAUGHT.replace("  - {from: look, to: sorry, case: error}\n", "")
        .replace('  - {id: sorry, kind: end, output: "{{ error.node }}: {{ error.message }}"}\n', "")
        .replace("tool: broken", "tool: broken, arguments: {query: '[', data: '{}'}")
    )
    run = await finished(await start(alice, await publish(workspace, text)))
    assert run.error["class"] == "tool_error"
    assert "'look'" in run.error["message"]


BREAK = """
name: broken-out
state:
  outer: {type: integer}
  inner: {type: integer}
  seen: {type: array, items: {type: integer}, reducer: append}
nodes:
  - {id: start, kind: start}
  - {id: rows, kind: loop, over: "[1, 2]", item: outer, max: 10}
  - {id: columns, kind: loop, over: "[10, 20, 30]", item: inner, max: 10}
  - {id: note, kind: transform, set: {seen: "[state.inner]"}}
  - {id: enough, kind: condition, cases: [{case: stop, when: "state.inner == 10"}]}
  - {id: end, kind: end, output: "{{ state.seen }}"}
edges:
  - {from: start, to: rows}
  - {from: rows, to: columns, case: body}
  - {from: columns, to: note, case: body}
  - {from: note, to: enough}
  - {from: enough, to: rows, case: stop}
  - {from: enough, to: columns, case: default}
  - {from: columns, to: rows, case: done}
  - {from: rows, to: end, case: done}
"""


async def test_begins_a_loop_anew_that_was_left_early(worker, workspace, alice):
    run = await finished(await start(alice, await publish(workspace, BREAK)))
    assert (run.error, run.output) == (None, [10, 10])


WIPED = """
name: wiped
input: {properties: {x: {type: object}}, required: [x]}
state: {facts: {type: object, reducer: merge, default: {kept: 1}}}
nodes:
  - {id: start, kind: start}
  - {id: take, kind: transform, set: {facts: input.x}}
  - {id: end, kind: end, output: "{{ state.facts }}"}
edges: [{from: start, to: take}, {from: take, to: end}]
"""


@pytest.mark.parametrize("x", [{"__overwrite__": {}}, {"type": "__overwrite__", "value": {}}])
async def test_lets_no_input_pass_over_a_reducer(worker, workspace, alice, x):
    run = await finished(await start(alice, await publish(workspace, WIPED), {"x": x}))
    assert run.error["class"] == "invalid_configuration"
