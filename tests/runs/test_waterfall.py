"""The time line of a run, and what was said in it, on its page in the admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runs.models import Run, RunStep, Status, ToolCall
from runs.waterfall import WHOLE, waterfall_of
from tests.factories import ApprovalFactory, RunFactory
from tests.runs.admin_support import path_of, queries_of, signed_in

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def made_run(workspace, **fields) -> Run:
    times = {
        "created_at": BEGIN,
        "queued_at": BEGIN,
        "started_at": at(1),
        "finished_at": at(10),
        "updated_at": at(10),
    }
    return RunFactory(workspace=workspace, **{**times, **fields})


def made_step(run, number, start, end, type="model", **fields) -> RunStep:
    own = {
        "node": "model" if type == "model" else "tools",
        "attempt": 1,
        "started_at": at(start),
        "finished_at": at(end),
    }
    return RunStep.objects.create(run=run, step_num=number, type=type, **{**own, **fields})


def made_call(run, number, start, end, **fields) -> ToolCall:
    own = {"call_id": f"call-{start}", "tool": "calculator", "attempt": 1, "status": "done"}
    ended = None if end is None else at(end)
    return ToolCall.objects.create(
        run=run, step_num=number, claimed_at=at(start), finished_at=ended, **{**own, **fields}
    )


def bars_of(run):
    return waterfall_of(run, Run.objects.all()).bars


def test_says_when_each_step_began_and_how_long_it_took(workspace):
    run = made_run(workspace)
    made_step(run, 1, 1, 3.5, metrics={"total_tokens": 43, "cost": "0.002"})
    queue, step = bars_of(run)
    assert (queue.kind, queue.start, queue.seconds) == ("queue", 0, 1)
    assert (step.title, step.start, step.seconds, step.tokens, step.cost) == (
        "1. Model call",
        1,
        2.5,
        43,
        "0.002",
    )


def test_says_when_the_first_token_came(workspace, olivia):
    run = made_run(workspace)
    made_step(run, 1, 1, 3.5, metrics={"time_to_first_token": 0.437})
    made_step(run, 2, 4, 5, type="tool")
    assert [bar.first_token for bar in bars_of(run)] == [None, 0.437, None]
    page = signed_in(olivia).get(path_of("runs.run", "change", run.pk)).content.decode()
    assert ("First token (s)" in page, "<td>0.44</td>" in page) == (True, True)


def test_draws_on_one_scale(workspace):
    run = made_run(workspace)
    made_step(run, 1, 2, 7)
    step = bars_of(run)[1]
    assert (step.x, step.width) == (WHOLE * 0.2, WHOLE * 0.5)


def test_a_moment_can_be_seen_and_stays_on_the_line(workspace):
    run = made_run(workspace)
    made_step(run, 1, 10, 10)
    step = bars_of(run)[1]
    assert step.width > 0
    assert step.x + step.width <= WHOLE


def test_puts_tool_calls_and_their_runs_into_their_step(workspace):
    run = made_run(workspace)
    child = made_run(workspace, parent=run, relation="child", agent_name="mathematician", input_tokens=30)
    made_step(run, 1, 1, 2)
    made_step(run, 2, 2, 5, type="tool")
    made_step(run, 3, 5, 6)
    made_call(run, 2, 2, 5, tool="ask_mathematician", child_run_id=child.pk)
    found = [(bar.kind, bar.depth, bar.title) for bar in bars_of(run)[1:]]
    assert found == [
        ("step", 0, "1. Model call"),
        ("step", 0, "2. Tool calls"),
        ("call", 1, "ask_mathematician"),
        ("run", 2, "mathematician"),
        ("step", 0, "3. Model call"),
    ]
    assert bars_of(run)[4].tokens == child.total_tokens


def test_shows_no_run_that_may_not_be_seen(workspace):
    run = made_run(workspace)
    child = made_run(workspace, parent=run, relation="child")
    made_call(run, 1, 2, 5, child_run_id=child.pk)
    assert [bar.kind for bar in waterfall_of(run, Run.objects.none()).bars] == ["queue", "call"]


def test_shows_how_long_a_person_took(workspace):
    run = made_run(workspace)
    ApprovalFactory(run=run, step=1, tool="pay", status="approved", created_at=at(2), decided_at=at(9))
    wait = bars_of(run)[1]
    assert (wait.kind, wait.title, wait.seconds) == ("wait", "pay waits for a person", 7)


def test_goes_on_as_long_as_the_run_does(workspace):
    run = made_run(workspace, status=Status.RUNNING, finished_at=None)
    made_call(run, 1, 2, None, status="claimed")
    call = bars_of(run)[1]
    assert call.is_open
    assert call.seconds > 1
    ended = made_run(workspace, status=Status.CANCELLED)
    made_call(ended, 1, 2, None, status="claimed")
    call = bars_of(ended)[1]
    assert (call.is_open, call.seconds) == (False, 8)


def test_names_the_nodes_of_a_workflow(workspace):
    run = made_run(workspace)
    made_step(run, 1, 1, 2, type="condition", node="is_urgent")
    assert bars_of(run)[1].title == "1. is_urgent · Condition"


def live(run) -> str:
    return path_of("runs.run", "live", run.pk)


def test_tells_what_was_said(workspace, olivia):
    run = made_run(workspace, input={"messages": [{"role": "user", "content": "What is <b>2 + 2</b>?"}]})
    call = {"id": "a", "name": "calculator", "args": {"expression": "2 + 2"}}
    made_step(run, 1, 1, 2, messages=[{"role": "assistant", "content": "", "tool_calls": [call]}])
    page = signed_in(olivia).get(live(run)).content.decode()
    assert "What is &lt;b&gt;2 + 2&lt;/b&gt;?" in page
    assert "calls calculator" in page


def test_reads_no_messages_that_are_too_large(workspace, olivia):
    run = made_run(workspace)
    made_step(run, 1, 1, 2, messages=[{"role": "assistant", "content": "x" * 60_000}])
    page = signed_in(olivia).get(live(run)).content.decode()
    assert "The messages of step 1 are too large to be shown here" in page
    assert "x" * 100 not in page


@pytest.mark.parametrize(("status", "said"), [(Status.COMPLETED, "final"), (Status.PAUSED, "goes on")])
def test_says_whether_there_is_more_to_come(workspace, olivia, status, said):
    assert signed_in(olivia).get(live(made_run(workspace, status=status))).headers["X-Fragment"] == said


@pytest.mark.parametrize(
    ("who", "status"), [("olivia", 200), ("vera", 200), ("alice", 200), ("audrey", 404), ("bob", 404)]
)
def test_is_for_those_who_may_read_the_run(request, workspace, alice, who, status):
    run = made_run(workspace, user=alice)
    assert signed_in(request.getfixturevalue(who)).get(live(run)).status_code == status


def test_costs_the_same_however_much_happened(workspace, olivia, django_assert_num_queries):
    run = made_run(workspace)
    client = signed_in(olivia)

    def happens(times: int, start: int) -> None:
        for number in range(start, start + times):
            child = made_run(workspace, parent=run, relation="child")
            made_step(
                run, number, number, number + 1, type="tool", messages=[{"role": "tool", "content": "4"}]
            )
            made_call(run, number, number, number + 1, child_run_id=child.pk)

    happens(1, 1)
    queries_of(client, live(run))
    few = queries_of(client, live(run))
    happens(5, 2)
    with django_assert_num_queries(few):
        client.get(live(run))
