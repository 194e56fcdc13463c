"""The chat page: what people do with messages and conversations."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from runs.models import Message, Session
from tests.browser.chat import Chat
from tests.factories import MessageFactory, SessionFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def echo(agent_on):
    """An agent that says what it is told."""
    return agent_on("echo", name="echo", is_default=True)


def edit(chat: Chat, place: int, text: str) -> None:
    question = chat.questions.nth(place)
    question.hover()
    question.get_by_role("button", name="Edit").click()
    question.get_by_role("textbox").fill(text)
    question.get_by_role("textbox").press("Enter")


def versions(chat: Chat, message) -> str:
    return message.get_by_role("group", name="Versions").text_content()


def test_answers_again_and_moves_between_the_answers(page_of, olivia, echo, model_endpoint):
    chat = Chat(page_of(olivia))
    model_endpoint.say("Greet", "Good morning", "Good evening")
    chat.ask("Greet", "Good morning")
    chat.button("Answer again").click()
    expect(chat.answer).to_have_text("Good evening")
    chat.at_rest()
    expect(chat.answers).to_have_count(1)
    assert versions(chat, chat.answers.last) == "2/2"
    chat.button("Version before").last.click()
    expect(chat.answer).to_have_text("Good morning")
    assert versions(chat, chat.answers.last) == "1/2"


def test_edits_a_message_and_moves_between_the_branches(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.ask("Two", "Two")
    edit(chat, 0, "Three")
    expect(chat.answer).to_have_text("Three")
    chat.at_rest()
    expect(chat.questions).to_have_count(1)
    chat.button("Version before").first.click()
    expect(chat.answer).to_have_text("Two")
    expect(chat.questions).to_have_count(2)
    chat.button("Next version").first.click()
    expect(chat.answer).to_have_text("Three")


def test_edits_a_message_while_it_is_being_answered(page_of, olivia, echo, model_endpoint):
    chat = Chat(page_of(olivia))
    model_endpoint.script("stall-6")
    chat.say("Count")
    expect(chat.answer).to_contain_text("word1")
    edit(chat, 0, "Hello")
    expect(chat.answer).to_have_text("Hello")
    chat.at_rest()


def test_leaves_a_message_as_it_is_with_escape(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.questions.hover()
    chat.button("Edit").click()
    chat.page.keyboard.press("Escape")
    expect(chat.questions.get_by_role("textbox")).to_have_count(0)
    expect(chat.button("Edit")).to_be_focused()


def test_goes_on_in_a_new_conversation(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    first = chat.session_id
    chat.button("Go on in a new conversation").click()
    expect(chat.page).not_to_have_url(f"/c/{first}")
    expect(chat.answers).to_have_count(1)
    chat.ask("Two", "Two")
    assert [Message.objects.filter(session=key).count() for key in (first, chat.session_id)] == [2, 4]


def test_copies_an_answer(context, olivia, echo):
    browser = context(olivia, permissions=["clipboard-read", "clipboard-write"])
    chat = Chat(browser.new_page())
    chat.ask("**One**", "One")
    chat.answers.last.get_by_role("button", name="Copy", exact=True).click()
    expect(chat.page.locator("#announce")).to_have_text("Copied")
    assert chat.page.evaluate("navigator.clipboard.readText()") == "**One**"


def test_renames_in_place(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.button("Conversation menu").or_(chat.page.locator("#actions summary")).click()
    chat.button("Rename").click()
    chat.page.get_by_label("Name", exact=True).fill("Numbers")
    chat.page.keyboard.press("Enter")
    expect(chat.page.locator("#conversations")).to_have_text("Numbers")
    expect(chat.page).to_have_title("Numbers · agentplatform")
    assert Session.objects.get().title == "Numbers"


def test_deletes_after_asking(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.page.locator("#actions summary").click()
    chat.button("Delete").click()
    chat.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(chat.page.get_by_text("No conversations yet.")).to_be_visible()
    expect(chat.page.get_by_role("heading", name="What can I do for you?")).to_be_visible()
    assert not Session.objects.exists()


def test_exports_a_conversation(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.page.locator("#actions summary").click()
    with chat.page.expect_download() as download:
        chat.button("Export as Markdown").click()
    assert download.value.suggested_filename == "One.md"
    assert "One" in Path(download.value.path()).read_text()


def test_finds_words_and_leads_to_the_message(page_of, olivia, workspace, echo):
    session = SessionFactory(workspace=workspace, user=olivia, agent=echo, title="Long ago")
    hit = MessageFactory(session=session, content="The blue elephant sleeps.")
    for _ in range(120):
        MessageFactory(session=session)
    chat = Chat(page_of(olivia))
    chat.page.keyboard.press("Control+k")
    chat.page.keyboard.type("elephant")
    expect(chat.page.locator("#found mark")).to_have_text("elephant")
    chat.page.locator("#found-list a").click()
    expect(chat.page.locator(f'[data-id="{hit.pk}"]')).to_be_in_viewport()


def test_lists_conversations_page_by_page(page_of, olivia, workspace, echo):
    for number in range(70):
        SessionFactory(workspace=workspace, user=olivia, agent=echo, title=f"Talk {number}")
    SessionFactory(workspace=workspace, agent=echo, title="Somebody else's")
    page = Chat(page_of(olivia)).page
    expect(page.locator("#conversations li").first).to_have_text("Talk 69")
    page.locator(".lists").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(page.locator("#conversations li").nth(59)).to_have_text("Talk 10")
    page.locator(".lists").evaluate("list => list.scrollTop = list.scrollHeight")
    expect(page.locator("#conversations li")).to_have_count(70)


def test_can_be_used_by_keyboard_alone(page_of, olivia, agent):
    chat = Chat(page_of(olivia))
    keys = chat.page.keyboard
    expect(chat.field).to_be_focused()
    keys.type("What is")
    keys.press("Shift+Enter")
    keys.type("17 * 23?")
    keys.press("Enter")
    expect(chat.answer).to_contain_text("391")
    chat.at_rest()
    expect(chat.field).to_be_focused()
    assert Message.objects.filter(source="user").get().content == "What is\n17 * 23?"
    # Backwards from the field: the usage link, then the answer's buttons, and before them the tool call.
    for _ in range(20):
        keys.press("Shift+Tab")
        if chat.page.evaluate("document.activeElement.matches('.call summary')"):
            break
    keys.press("Enter")
    expect(chat.page.locator(".call .result")).to_be_visible()
    keys.press("?")
    expect(chat.page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    keys.press("Escape")
    keys.press("/")
    expect(chat.page.locator("#search")).to_be_focused()
    keys.press("Escape")
    keys.press("Control+Shift+O")
    expect(chat.page.get_by_role("heading", name="What can I do for you?")).to_be_visible()


def test_goes_back_to_the_conversation_before(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.ask("One", "One")
    chat.page.get_by_role("link", name="New chat").click()
    expect(chat.questions).to_have_count(0)
    chat.page.go_back()
    expect(chat.answer).to_have_text("One")


def test_a_viewer_reads_and_finds_no_field(page_of, vera, olivia, workspace, echo):
    session = SessionFactory(workspace=workspace, user=olivia, agent=echo, title="Theirs")
    MessageFactory(session=session, content="Hello")
    page = page_of(vera)
    chat = Chat(page)
    expect(page.locator("#title")).to_have_text("Conversations")
    page.get_by_role("link", name="Theirs").click()
    expect(chat.questions).to_contain_text("Hello")
    expect(chat.field).to_have_count(0)
    expect(page.get_by_text("Writing needs another role")).to_be_visible()
    expect(chat.button("Edit")).to_have_count(0)
