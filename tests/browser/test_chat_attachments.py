"""The chat page: files are chosen, pasted and dropped, sent along, shown, and refused without loss."""

from __future__ import annotations

import base64

import pytest
from playwright.sync_api import expect

from runs.models import Attachment
from tests.browser.chat import Chat

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NOTES = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"The code is 4711."}
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURE = {"name": "pixel.png", "mimeType": "image/png", "buffer": PIXEL}
HAND_OVER = """([target, type, name, mime, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name, { type: mime }));
    const about = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
    const event = type === "paste" ? new ClipboardEvent(type, about) : new DragEvent(type, about);
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.fixture(autouse=True)
def _files_of_the_test(settings, tmp_path):
    settings.STORAGES = settings.STORAGES | {
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path},
        }
    }


@pytest.fixture
def echo(agent_on):
    """An agent that says what it is told."""
    return agent_on("echo", name="echo", is_default=True)


def chips(chat: Chat):
    return chat.page.locator("#chips li[aria-busy=false]")


def test_sends_a_chosen_file_along_and_shows_it(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.page.locator("#files").set_input_files(NOTES)
    expect(chips(chat)).to_contain_text("notes.txt")
    chat.ask("Read this", "Read this")
    expect(chat.questions.locator(".file")).to_contain_text("notes.txt")
    expect(chat.page.locator("#chips")).to_be_hidden()
    chat.page.reload()
    with chat.page.expect_download() as download:
        chat.questions.locator(".file").click()
    assert download.value.suggested_filename == "notes.txt"


@pytest.mark.parametrize(("target", "kind"), [("#message", "paste"), ("#thread", "drop")])
def test_takes_what_is_handed_over(page_of, olivia, echo, target, kind):
    chat = Chat(page_of(olivia))
    chat.page.evaluate(HAND_OVER, [target, kind, "notes.txt", "text/plain", "Hello"])
    expect(chips(chat)).to_contain_text("notes.txt")
    assert Attachment.objects.count() == 1


def test_takes_a_file_away_again(page_of, olivia, echo):
    chat = Chat(page_of(olivia))
    chat.page.locator("#files").set_input_files(NOTES)
    with chat.page.expect_response(lambda answer: answer.request.method == "DELETE"):
        chips(chat).get_by_role("button", name="Remove notes.txt").click()
    expect(chat.page.locator("#chips")).to_be_hidden()
    assert not Attachment.objects.exists()


def test_says_why_a_file_is_refused_and_keeps_the_rest(page_of, olivia, echo, problems):
    chat = Chat(page_of(olivia))
    chat.field.fill("Precious words")
    false = {"name": "page.png", "mimeType": "image/png", "buffer": b"<html><script>alert(1)</script>"}
    chat.page.locator("#files").set_input_files([NOTES, false])
    expect(chat.page.locator("#composer-fault")).to_contain_text("page.png was not attached")
    expect(chips(chat)).to_have_text(["notes.txt1 KB"])
    expect(chat.field).to_have_value("Precious words")
    problems.clear()


def test_keeps_a_message_whose_files_the_model_does_not_take(page_of, olivia, echo, problems):
    chat = Chat(page_of(olivia))
    chat.page.locator("#files").set_input_files(PICTURE)
    expect(chips(chat).locator("img")).to_be_visible()
    chat.field.fill("What is this?")
    chat.field.press("Enter")
    expect(chat.page.locator("#composer-fault")).not_to_be_empty()
    expect(chat.field).to_have_value("What is this?")
    expect(chips(chat)).to_contain_text("pixel.png")
    problems.clear()


def test_shows_a_picture_as_one(page_of, olivia, echo, http):
    http(olivia).patch(f"/models/{echo.model_id}", json={"inputs": ["image"]})
    chat = Chat(page_of(olivia))
    chat.page.locator("#files").set_input_files(PICTURE)
    expect(chips(chat)).to_have_count(1)
    chat.say("What is this?")
    expect(chat.questions.get_by_role("img", name="pixel.png")).to_be_visible()
