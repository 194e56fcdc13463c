"""The chat page: answers as they come, tools, approvals, stopping, several tabs and messages."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from runs.models import Message, Run, Status
from tests.browser.chat import Chat, fits
from tests.factories import AgentFactory, AgentToolFactory, ChatModelFactory, SessionFactory, ToolFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

QUESTION = "What is 17 * 23?"


@pytest.fixture
def echo(agent_on):
    """An agent that says what it is told."""
    return agent_on("echo", name="echo", is_default=True)


@pytest.fixture
def endless(agent_on):
    """An agent that says half of what it has to say, and then nothing until it is stopped."""
    return agent_on("stall-6", name="endless", is_default=True)


@pytest.fixture
def slow(workspace):
    """An agent that says a word every 60 ms."""
    model = ChatModelFactory(workspace=workspace, parameters={"delay_ms": 60})
    return AgentFactory(workspace=workspace, name="slow", model=model, is_default=True)


@pytest.fixture
def careful(workspace):
    """An agent whose calculator requires an approval."""
    calculator = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    return AgentFactory(workspace=workspace, name="careful", tools=[calculator], is_default=True)


def test_a_first_visit_begins_with_an_example(page_of, olivia, agent):
    chat = Chat(page_of(olivia))
    expect(chat.page.get_by_role("heading", name="What can I do for you?")).to_be_visible()
    chat.button(QUESTION).click()
    chat.field.press("Enter")
    expect(chat.answer).to_contain_text("391")
    expect(chat.page.get_by_role("heading", name=QUESTION, level=1)).to_be_visible()
    expect(chat.page.locator("#conversations a[aria-current=page]")).to_have_text(QUESTION)


def test_streams_an_answer_word_by_word_and_says_when_it_is_done(page_of, olivia, slow):
    chat = Chat(page_of(olivia))
    chat.say("Tell me something.")
    expect(chat.answer).to_contain_text("You said")
    assert chat.answers.last.get_attribute("aria-busy") == "true"
    expect(chat.page.locator("#announce")).to_contain_text("slow has answered")
    expect(chat.answer).to_have_text(Message.objects.get(source="slow").content)


def test_shows_a_tool_call_folded_with_what_it_was_told_and_said(page_of, olivia, agent):
    chat = Chat(page_of(olivia))
    chat.ask(QUESTION, "391")
    expect(chat.page.locator(".call .result")).to_be_hidden()
    chat.page.locator(".call summary").click()
    expect(chat.page.locator(".call .result")).to_have_text("391")
    # After a reload the steps are told again when somebody asks for them.
    chat.page.reload()
    chat.button("Show the steps").click()
    chat.page.locator(".call summary").click()
    expect(chat.page.locator(".call .result")).to_have_text("391")


def test_links_to_the_run_and_names_what_it_has_used(page_of, olivia, agent):
    chat = Chat(page_of(olivia))
    chat.ask(QUESTION, "391")
    run = Run.objects.get()
    usage = chat.answers.last.locator(".usage")
    expect(usage).to_contain_text(f"{run.total_tokens} tokens")
    expect(usage).to_have_attribute("href", f"/runs/{run.pk}/")


def test_names_the_agent_that_is_asked_by_a_tool(page_of, olivia, workspace):
    helper = AgentFactory(workspace=workspace, name="mathematician")
    tool = AgentToolFactory(workspace=workspace, name="ask_mathematician", agent=helper)
    AgentFactory(workspace=workspace, tools=[tool], is_default=True)
    chat = Chat(page_of(olivia))
    chat.ask(QUESTION, "I asked the tool")
    chat.page.locator(".call summary").click()
    expect(chat.page.locator(".call .child")).to_have_text("mathematician · Watch its run")


def test_goes_on_after_an_approval(page_of, olivia, careful):
    chat = Chat(page_of(olivia))
    chat.say(QUESTION)
    expect(chat.page.locator(".approvals pre")).to_contain_text("17 * 23")
    chat.button("Approve").click()
    expect(chat.answer).to_contain_text("391")
    expect(chat.answers.last).to_contain_text("approved by olivia")


def test_tells_the_agent_why_a_call_is_rejected(page_of, olivia, careful):
    chat = Chat(page_of(olivia))
    chat.say(QUESTION)
    chat.button("Reject").click()
    chat.page.get_by_label("Reason").fill("too easy")
    chat.page.get_by_role("dialog").get_by_role("button", name="Reject").click()
    expect(chat.answer).to_contain_text("too easy")


def test_makes_a_call_with_other_arguments(page_of, olivia, careful):
    chat = Chat(page_of(olivia))
    chat.say(QUESTION)
    chat.page.locator(".approvals").get_by_role("button", name="Edit").click()
    chat.page.get_by_label("Arguments").fill('{"expression": "6 * 7"}')
    chat.button("Approve with changes").click()
    expect(chat.answer).to_contain_text("42")


def test_asks_here_for_what_a_run_below_waits_for(page_of, olivia, workspace, careful):
    tool = AgentToolFactory(workspace=workspace, name="ask_mathematician", agent=careful)
    asking = AgentFactory(workspace=workspace, name="asking", tools=[tool])
    chat = Chat(page_of(olivia))
    chat.page.get_by_label("Agent", exact=True).select_option(asking.name)
    chat.say(QUESTION)
    expect(chat.page.locator(".approvals:visible h3")).to_have_text("Waits for your decision · careful")
    chat.button("Approve").click()
    expect(chat.answer).to_contain_text("391")


def test_stops_an_answer_and_keeps_what_was_said(page_of, olivia, endless):
    chat = Chat(page_of(olivia))
    chat.say("Count.")
    expect(chat.answer).to_contain_text("word1")
    chat.field.press("Escape")
    expect(chat.answers.last.locator(".status")).to_have_text("Stopped.")
    expect(chat.page.locator("#stop")).to_be_hidden()
    expect(chat.answer).to_contain_text("word1")
    assert Run.objects.get().status == Status.CANCELLED


def test_goes_on_where_it_was_after_a_reload(page_of, olivia, slow):
    chat = Chat(page_of(olivia))
    chat.say("Tell me something.")
    expect(chat.answer).to_contain_text("You said")
    chat.page.reload()
    expect(chat.answer).to_contain_text("You said")
    chat.at_rest()
    expect(chat.answer).to_have_text(Message.objects.get(source="slow").content)
    expect(chat.questions).to_have_count(1)


def test_goes_on_from_the_last_event_when_the_connection_drops(page_of, olivia, slow):
    page = page_of(olivia)
    sockets: list[str] = []

    def cut_the_first(socket):
        sockets.append(socket.url)
        upstream = socket.connect_to_server()
        if len(sockets) == 1:
            upstream.on_message(
                lambda frame: (socket.send(frame), "content_delta" in frame and socket.close(code=4999))
            )

    page.route_web_socket(re.compile("/ws/runs/"), cut_the_first)
    chat = Chat(page)
    chat.say("Tell me something.")
    chat.at_rest()
    expect(chat.answer).to_have_text(Message.objects.get(source="slow").content)
    assert not sockets[1].endswith("after=0")


def test_two_tabs_show_the_same(context, olivia, slow):
    browser = context(olivia)
    one = Chat(browser.new_page())
    one.ask("First.", "You said")
    other = Chat(browser.new_page(), one.session_id)
    expect(other.answers).to_have_count(1)
    other.say("Second.")
    expect(one.questions.last).to_contain_text("Second.")
    expect(one.answer).to_contain_text("You said: “Second.”")
    one.at_rest()
    other.at_rest()
    assert one.answer.text_content() == other.answer.text_content()


def test_hears_of_what_another_browser_says(page_of, olivia, http, agent):
    chat = Chat(page_of(olivia))
    chat.ask("First.", "You said")
    http(olivia).post(f"/sessions/{chat.session_id}/chat", json={"content": "From elsewhere."})
    expect(chat.questions.last).to_contain_text("From elsewhere.")
    expect(chat.answer).to_contain_text("You said: “From elsewhere.”")


def test_answers_two_messages_at_once_in_their_order(page_of, olivia, slow):
    chat = Chat(page_of(olivia))
    chat.say("One.")
    chat.say("Two.")
    expect(chat.answers.last.locator(".status")).to_have_text("Waits for its turn")
    expect(chat.answers.nth(0)).to_contain_text("You said: “One.”")
    expect(chat.answer).to_contain_text("You said: “Two.”")
    chat.at_rest()
    texts = chat.page.locator(".message").all_text_contents()
    assert [("One." in text, "Two." in text) for text in texts] == [(True, False)] * 2 + [(False, True)] * 2


def test_shows_why_an_answer_has_failed_and_tries_again(page_of, olivia, agent_on, model_endpoint):
    agent_on("echo", name="echo", is_default=True)
    model_endpoint.script("error-401")
    chat = Chat(page_of(olivia))
    chat.say("Hello again")
    expect(chat.answers.last.locator(".fault")).to_contain_text("authentication")
    chat.button("Try again").click()
    expect(chat.answer).to_have_text("Hello again")


def test_loses_nothing_that_was_typed_when_it_is_refused(page_of, olivia, agent, problems):
    chat = Chat(page_of(olivia))
    chat.page.route("**/chat", lambda route: route.abort())
    chat.field.fill("Precious words")
    chat.field.press("Enter")
    expect(chat.page.locator("#composer-fault")).to_contain_text("does not answer")
    expect(chat.field).to_have_value("Precious words")
    chat.page.reload()
    expect(chat.field).to_have_value("Precious words")
    expect(chat.questions).to_have_count(0)
    problems.clear()


def test_opens_a_long_conversation_at_its_end_and_reads_back(page_of, olivia, workspace, agent):
    session = SessionFactory(workspace=workspace, user=olivia, agent=agent)
    rows = [
        Message(session=session, source="user", content=f"message {number}", created_at=session.created_at)
        for number in range(5_000)
    ]
    Message.objects.bulk_create(rows)
    chat = Chat(page_of(olivia), session)
    expect(chat.questions.last).to_contain_text("message 4999")
    assert chat.questions.count() < 200
    chat.page.locator("#thread").evaluate("thread => thread.scrollTop = 0")
    expect(chat.page.get_by_text("message 4930", exact=True)).to_be_attached()
    # What was read stays where it was.
    assert chat.page.locator("#thread").evaluate("thread => thread.scrollTop") > 400


def test_fits_a_phone_with_the_list_as_a_drawer(page_of, olivia, agent):
    phone = {"width": 390, "height": 844}
    chat = Chat(page_of(olivia, viewport=phone, has_touch=True, is_mobile=True))
    chat.ask(QUESTION, "391")
    assert fits(chat.page)
    expect(chat.page.locator("#sidebar")).to_be_hidden()
    chat.button("Conversations").click()
    expect(chat.page.get_by_role("link", name=QUESTION)).to_be_visible()
    chat.page.keyboard.press("Escape")
    expect(chat.page.locator("#sidebar")).to_be_hidden()


def test_speaks_chinese(page_of, olivia, agent):
    chat = Chat(page_of(olivia, locale="zh-CN"))
    expect(chat.page.get_by_role("heading", name="有什么可以帮您？")).to_be_visible()
    chat.ask("17 * 23 等于多少？", "391")
    expect(chat.page.locator(".call .state")).to_have_text("完成")


def test_a_message_stays_with_its_conversation_when_another_is_opened(page_of, olivia, workspace, agent):
    """Also while the request that makes the conversation is still on its way."""
    other = SessionFactory(workspace=workspace, user=olivia, agent=agent, title="Another")
    chat = Chat(page_of(olivia))
    expect(chat.page.get_by_role("link", name="Another")).to_be_visible()
    held = []
    chat.page.route("**/api/v1/sessions", lambda route: held.append(route))
    chat.field.fill("Mine")
    with chat.page.expect_request(lambda request: request.method == "POST"):
        chat.field.press("Enter")
    chat.page.get_by_role("link", name="Another").click()
    expect(chat.page).to_have_url(re.compile(str(other.pk)))
    with chat.page.expect_response(lambda answer: answer.url.endswith("/chat")):
        for route in held:
            route.continue_()
    message = Message.objects.get(source="user")
    assert (message.content, message.session_id == other.pk) == ("Mine", False)
    expect(chat.questions).to_have_count(0)
    expect(chat.page.get_by_role("heading", name="Another")).to_be_visible()
