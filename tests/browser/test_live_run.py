"""The live page of a run: words as they come, tool calls, cancelling, reloading, who may look."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from runs.models import Run, Status
from tests.factories import AgentFactory, ChatModelFactory, RunFactory, ToolFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUESTION = "What is 17 * 23?"
# What a page asks for itself; its icon may come late.
DATA = ("fetch", "xhr")


@pytest.fixture
def slow_agent(workspace):
    """An agent whose model says a word every 60 ms."""
    return agent_with_delay(workspace, 60)


@pytest.fixture
def endless_agent(workspace):
    """An agent whose model takes half a minute for its answer: a test ends it before."""
    return agent_with_delay(workspace, 500)


def agent_with_delay(workspace, milliseconds: int):
    model = ChatModelFactory(workspace=workspace, parameters={"delay_ms": milliseconds})
    return AgentFactory(workspace=workspace, name="slow", model=model)


@pytest.fixture
def start(http, olivia):
    """`start(agent, "question")`: the id of a run that olivia has started over the API."""
    return lambda agent, text=QUESTION: start_run(http(olivia), agent, text)


def start_run(client, agent, text: str) -> str:
    response = client.post("/runs", json={"agent_id": agent.name, "input": text})
    assert response.status_code == 202, response.text
    return response.json()["id"]


def ended(page, status: str):
    expect(page.locator("#status")).to_have_attribute("data-status", status)


def test_streams_the_answer_word_by_word(page_of, olivia, slow_agent, start):
    page = page_of(olivia)
    page.goto(f"/runs/{start(slow_agent, 'Tell me something.')}/")
    expect(page.locator("#answer")).to_contain_text("You said")
    assert page.locator("#status").get_attribute("data-status") == "running"


def test_shows_the_whole_answer_in_the_end(page_of, olivia, agent, start):
    page = page_of(olivia)
    run_id = start(agent, "Tell me something.")
    page.goto(f"/runs/{run_id}/")
    ended(page, "completed")
    expect(page.locator("#answer")).to_have_text(Run.objects.get(pk=run_id).response_content)


def test_shows_a_tool_call_with_its_result(page_of, olivia, agent, start):
    page = page_of(olivia)
    page.goto(f"/runs/{start(agent)}/")
    ended(page, "completed")
    page.locator(".call").get_by_text("calculator", exact=True).click()
    expect(page.locator(".call .result")).to_have_text("391")


def test_shows_what_was_used(page_of, olivia, agent, start):
    page = page_of(olivia)
    run_id = start(agent)
    page.goto(f"/runs/{run_id}/")
    ended(page, "completed")
    expect(page.locator("#tokens-out")).to_have_text(str(Run.objects.get(pk=run_id).output_tokens))


def test_draws_the_time_line_while_the_run_goes(page_of, olivia, slow_agent, agent, start):
    page = page_of(olivia)
    run_id = start(slow_agent, "Tell me something.")
    asked = []
    page.goto(f"/runs/{run_id}/")
    page.on("request", lambda request: asked.append(request.url) if request.resource_type in DATA else None)
    growing = page.locator("#waterfall li[data-kind=step][data-state=open]")
    expect(growing.locator(".what")).to_have_text("1. Model call")
    expect(growing.locator(".time")).to_contain_text("…")
    ended(page, "completed")
    done = page.locator("#waterfall li[data-kind=step][data-state=done]")
    expect(done.locator(".time")).to_contain_text("first token after")
    assert asked == []  # It is drawn of the events.


def test_the_time_line_has_tool_calls_in_their_step(page_of, olivia, agent, start):
    page = page_of(olivia)
    page.goto(f"/runs/{start(agent)}/")
    ended(page, "completed")
    kinds = page.locator("#waterfall li").evaluate_all("rows => rows.map((row) => row.dataset.kind)")
    assert kinds == ["queue", "step", "step", "call", "step"]


def test_goes_on_after_a_reload_without_repeating_a_word(page_of, olivia, slow_agent, start):
    page = page_of(olivia)
    run_id = start(slow_agent, "Tell me something.")
    page.goto(f"/runs/{run_id}/")
    expect(page.locator("#answer")).to_contain_text("You said")
    page.reload()
    ended(page, "completed")
    expect(page.locator("#answer")).to_have_text(Run.objects.get(pk=run_id).response_content)


def test_goes_on_from_the_last_event_when_the_connection_drops(page_of, olivia, slow_agent, start):
    page = page_of(olivia)
    sockets: list[str] = []

    def cut_the_first(socket):
        sockets.append(socket.url)
        upstream = socket.connect_to_server()
        if len(sockets) == 1:
            upstream.on_message(lambda frame: drop_at(socket, frame, "content_delta"))

    page.route_web_socket(re.compile("/ws/runs/"), cut_the_first)
    run_id = start(slow_agent, "Tell me something.")
    page.goto(f"/runs/{run_id}/")
    ended(page, "completed")
    run = Run.objects.get(pk=run_id)
    expect(page.locator("#answer")).to_have_text(run.response_content)
    expect(page.locator("#log-count")).to_have_text(str(run.last_seq))
    assert not sockets[1].endswith("after=0")


def drop_at(socket, frame: str, event_type: str) -> None:
    """Passes frames on up to the first one of a type, and then loses the connection."""
    socket.send(frame)
    if f'"type":"{event_type}"' in frame:
        socket.close(code=4999)


def test_pauses_and_resumes_a_run(page_of, olivia, workspace, agent_on, start):
    # The first model call outlasts the opening of the page on a busy machine; in the last one nothing can pause.
    agent = agent_on("slow-10-500", tools=[ToolFactory(workspace=workspace, name="calculator")])
    page = page_of(olivia)
    run_id = start(agent, 'call calculator {"expression": "6 * 7"}')
    page.goto(f"/runs/{run_id}/")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#status")).to_have_attribute("data-status", "paused")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    page.get_by_role("button", name="Resume").click()
    ended(page, "completed")
    expect(page.get_by_role("button", name="Resume")).to_have_count(0)


def test_cancels_a_run_after_asking(page_of, olivia, endless_agent, start):
    page = page_of(olivia)
    run_id = start(endless_agent, "Tell me something.")
    page.goto(f"/runs/{run_id}/")
    page.get_by_role("button", name="Cancel the run").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the run").click()
    ended(page, "cancelled")
    assert Run.objects.get(pk=run_id).status == Status.CANCELLED


def test_cancels_nothing_when_the_question_is_left_with_escape(page_of, olivia, endless_agent, start, http):
    page = page_of(olivia)
    run_id = start(endless_agent, "Tell me something.")
    page.goto(f"/runs/{run_id}/")
    page.get_by_role("button", name="Cancel the run").press("Enter")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert Run.objects.get(pk=run_id).status != Status.CANCELLED
    http(olivia).post(f"/runs/{run_id}/cancel")
    ended(page, "cancelled")


def test_offers_no_cancelling_to_a_viewer(page_of, vera, workspace):
    page = page_of(vera)
    page.goto(f"/runs/{RunFactory(workspace=workspace, status=Status.CREATED).pk}/")
    expect(page.locator("#connection")).to_have_attribute("data-state", "open")
    expect(page.get_by_role("button", name="Cancel the run")).to_have_count(0)


def test_hides_a_run_from_a_stranger(page_of, charlie, workspace, problems):
    response = page_of(charlie).goto(f"/runs/{RunFactory(workspace=workspace).pk}/")
    assert response.status == 404
    problems.clear()


def test_asks_to_sign_in_first(page_of, workspace):
    page = page_of()
    page.goto(f"/runs/{RunFactory(workspace=workspace).pk}/")
    expect(page.get_by_label("Password")).to_be_visible()


def test_speaks_chinese(page_of, olivia, agent, start):
    page = page_of(olivia, locale="zh-CN")
    page.goto(f"/runs/{start(agent)}/")
    expect(page.locator("#status")).to_have_text("已完成")


def test_fits_a_phone(page_of, olivia, agent, start):
    page = page_of(olivia, viewport={"width": 360, "height": 740})
    page.goto(f"/runs/{start(agent)}/")
    ended(page, "completed")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
