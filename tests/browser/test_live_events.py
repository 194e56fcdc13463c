"""What the live page makes of events: void words, lost workers, failures, hostile text, large results."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from runs.models import Status
from tests.factories import RunEventFactory, RunFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

METRICS = {"total_tokens": 10, "total_steps": 1, "duration": 1.5, "cost": None}


@pytest.fixture
def happened(workspace):
    """`happened(("step_started", {…}), …)`: a run that ended like this. All events are of step 1."""

    def make(*events, status=Status.CANCELLED):
        run = RunFactory(workspace=workspace, status=status, response_content="")
        last = ("run_cancelled", {"run_id": str(run.pk), "reason": ""})
        for kind, data in (*events, *([last] if status == Status.CANCELLED else [])):
            RunEventFactory(run=run, type=kind, step=data.pop("in_step", 1), data=data)
        return run

    return make


@pytest.fixture
def shown(page_of, olivia):
    """`shown(run)`: the run's page after its last event."""

    def show(run):
        page = page_of(olivia)
        page.goto(f"/runs/{run.pk}/")
        expect(page.locator("#log-count")).to_have_text(str(run.last_seq))
        return page

    return show


def said(*words):
    return [("content_delta", {"content": word}) for word in words]


STEP = ("step_started", {"step": 1, "type": "model"})


def usage(cost):
    return ("usage_recorded", {"input_tokens": 7, "output_tokens": 3, "cost": cost, "currency": "USD"})


def test_takes_back_what_a_repeated_model_call_had_said(happened, shown):
    retrying = (
        "retrying",
        {"reason": "rate_limited", "message": "Too fast.", "retry": 1, "delay": 0.1, "model": "m"},
    )
    page = shown(happened(STEP, *said("Half an "), retrying, *said("A whole ", "answer.")))
    expect(page.locator("#answer")).to_have_text("A whole answer.")


def test_takes_back_what_a_lost_worker_had_said_after_its_checkpoint(happened, shown):
    checkpoint = ("checkpoint_created", {"checkpoint_id": "1", "step": 1})
    again = ("attempt_started", {"attempt": 2, "resumed_from": "1", "supersedes_after_seq": 3, "in_step": 0})
    second = {"step": 2, "type": "model", "in_step": 2}
    lost = ("content_delta", {"content": "Lost words", "in_step": 2})
    kept = ("content_delta", {"content": "The answer.", "in_step": 2})
    run = happened(
        STEP,
        *said("Kept. "),
        checkpoint,
        ("step_started", {**second}),
        lost,
        again,
        ("step_started", second),
        kept,
    )
    page = shown(run)
    expect(page.locator("#answer")).to_have_text("The answer.")
    expect(page.locator(".step")).to_have_count(2)


def called(call_id):
    return ("tool_call_started", {"tool": f"tool-{call_id}", "args": {}, "call_id": call_id})


def answered(call_id):
    return (
        "tool_call_completed",
        {"tool": f"tool-{call_id}", "result": "x", "call_id": call_id, "duration": 0.1},
    )


TOOLS = ("step_started", {"step": 1, "type": "tool"})
ASKED = (
    "approval_required",
    {"approval_id": "1", "kind": "tool_call", "tool": "refund", "args": {}, "call_id": "r", "deadline": None},
)


def test_keeps_the_calls_of_a_lost_worker_that_had_ended(happened, shown):
    again = ("attempt_started", {"attempt": 2, "resumed_from": None, "supersedes_after_seq": 0, "in_step": 0})
    page = shown(
        happened(TOOLS, called("a"), answered("a"), called("b"), again, TOOLS, called("b"), answered("b"))
    )
    expect(page.locator(".step")).to_have_count(1)
    expect(page.locator(".call .tool")).to_have_text(["tool-a", "tool-b"])


def test_takes_back_the_calls_of_a_lost_worker_that_had_not_ended(happened, shown):
    again = ("attempt_started", {"attempt": 2, "resumed_from": None, "supersedes_after_seq": 0, "in_step": 0})
    page = shown(happened(TOOLS, called("a"), again))
    expect(page.locator(".note")).to_have_count(1)
    expect(page.locator(".call")).to_have_count(0)


def test_keeps_what_a_person_has_decided(happened, shown):
    resolved = (
        "approval_resolved",
        {"approval_id": "1", "status": "edited", "decided_by": "olivia", "reason": ""},
    )
    again = ("attempt_started", {"attempt": 2, "resumed_from": None, "supersedes_after_seq": 0, "in_step": 0})
    page = shown(happened(TOOLS, ASKED, resolved, again))
    expect(page.locator(".approval-note")).to_contain_text("changed and approved by olivia")


def test_says_that_the_deadline_has_decided(happened, shown):
    late = {
        "approval_id": "1",
        "status": "rejected",
        "decided_by": "",
        "reason": "Nobody has decided in time.",
    }
    page = shown(happened(TOOLS, ASKED, ("approval_resolved", late)))
    expect(page.locator(".approval-note")).to_contain_text("rejected by the deadline")


def test_forgets_what_came_after_the_checkpoint_that_a_run_is_set_back_to(happened, shown):
    back = {"checkpoint_id": "2", "restored_from": "1", "supersedes_after_seq": 2, "step": 0, "in_step": 0}
    paused = ("run_paused", {"run_id": "1", "reason": "restored", "in_step": 0})
    run = happened(
        STEP,
        *said("Kept."),
        *said(" Gone."),
        called("a"),
        answered("a"),
        ("checkpoint_created", back),
        paused,
    )
    page = shown(run)
    expect(page.locator("#answer")).to_have_text("Kept.")
    expect(page.locator(".call")).to_have_count(0)
    expect(page.locator(".note")).to_have_text("Set back to a checkpoint.")


def test_says_which_part_of_the_budget_is_spent(happened, shown):
    spent = {"run_id": "1", "reason": "budget_exceeded", "limit": "max_tokens", "value": 100, "used": 110}
    page = shown(happened(STEP, ("run_paused", spent)))
    expect(page.locator(".note")).to_have_text("Paused, because its budget of tokens is spent: 110 of 100.")


def test_follows_an_agent_that_is_asked(happened, shown):
    child = "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e"
    progress = {"tool": "tool-a", "call_id": "a", "child_run_id": child, "status": "waiting"}
    page = shown(happened(TOOLS, called("a"), ("tool_call_progress", progress)))
    expect(page.locator(".call .state")).to_have_text("Waiting")
    expect(page.locator(".call .child a")).to_have_attribute("href", f"/runs/{child}/")


def test_says_that_another_worker_went_on(happened, shown):
    again = ("attempt_started", {"attempt": 2, "resumed_from": None, "supersedes_after_seq": 0, "in_step": 0})
    page = shown(happened(STEP, *said("Lost"), again))
    expect(page.locator(".note")).to_contain_text("A worker went on")


def test_keeps_what_a_lost_attempt_has_used(happened, shown):
    again = ("attempt_started", {"attempt": 2, "resumed_from": None, "supersedes_after_seq": 0, "in_step": 0})
    page = shown(happened(STEP, usage("2.1E-7"), again, STEP, usage("0.0001")))
    expect(page.locator("#cost")).to_have_text("0.00010021 USD")


def test_says_that_a_price_is_missing(happened, shown):
    expect(shown(happened(STEP, usage(None))).locator("#cost")).to_have_text("without a price")


def test_folds_thoughts(happened, shown):
    page = shown(happened(STEP, ("thought_delta", {"content": "Let me think."}), *said("Done.")))
    expect(page.get_by_text("Let me think.")).to_be_hidden()
    page.get_by_text("Thoughts").click()
    expect(page.get_by_text("Let me think.")).to_be_visible()


def test_shows_why_a_run_has_failed(happened, shown):
    error = {"class": "timeout", "message": "The run has not ended within its 5 seconds."}
    failed = ("run_failed", {"run_id": "1", "error": error, "metrics": METRICS, "in_step": 0})
    page = shown(happened(STEP, failed, status=Status.FAILED))
    expect(page.locator("#error")).to_contain_text("timeout The run has not ended")


def test_shows_markup_as_text(happened, shown):
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    call = ("tool_call_started", {"tool": hostile, "args": {"a": hostile}, "call_id": "1"})
    page = shown(happened(STEP, *said(hostile), call))
    expect(page.locator("#answer")).to_have_text(hostile)
    assert page.locator("main img, main script").count() == 0


def test_shows_the_beginning_of_a_result_that_is_stored_apart(happened, shown):
    call = ("tool_call_started", {"tool": "search", "args": {}, "call_id": "1"})
    large = ("tool_call_completed", {"payload_id": "1", "size": 70000, "preview": "It begins"})
    page = shown(happened(STEP, call, large))
    page.locator(".call").get_by_text("search", exact=True).click()
    expect(page.locator(".call .result")).to_contain_text("It begins")


def test_shows_a_failed_tool_call(happened, shown):
    call = ("tool_call_started", {"tool": "search", "args": {}, "call_id": "1"})
    failed = ("tool_call_failed", {"tool": "search", "error": "No answer.", "call_id": "1", "duration": 0.5})
    expect(shown(happened(STEP, call, failed)).locator(".call .state")).to_have_text("failed")


def test_lists_the_raw_events_on_demand(happened, shown):
    page = shown(happened(STEP, *said("Hello")))
    page.get_by_text("Events").click()
    expect(page.locator("#log li").nth(1)).to_contain_text('content_delta {"content":"Hello"}')
