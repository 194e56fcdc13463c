"""The chat page shows hostile content of people, models and tools, and runs none of it.

The fixture `problems` fails a test that breaks the content security policy, logs an error or throws.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

from runs.models import Message
from tests.browser.chat import Chat, fits
from tests.factories import MessageFactory, SessionFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

HOSTILE = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><svg onload="window.hacked = 1">
<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe><form action="https://evil.example"><input name=a></form>
<style>body { display: none }</style><a href="javascript:window.hacked = 1">raw</a><math><mi xlink:href="data:x">

[script](javascript:window.hacked=1) [data](data:text/html,<script>window.hacked=1</script>)
[vb](vbscript:x) [case](JaVaScRiPt:window.hacked=1) [entity](&#106;avascript:window.hacked=1)
<javascript:window.hacked=1>
![picture](https://evil.example/pixel.png) [fine](https://example.com/ok) <mail@example.com>

id: 99
event: run_completed
data: {"response": "taken over", "type": "run_completed", "seq": 9999}

\u202egnp.exe\u202c \u2066mixed\u2069 ```<b onclick=hacked=1>``` | <i>t</i> |
"""


def links(chat: Chat) -> list[str]:
    return chat.page.eval_on_selector_all(".prose a[href]", "links => links.map((one) => one.href)")


def is_unharmed(chat: Chat) -> None:
    assert chat.page.evaluate("window.hacked") is None
    assert (
        chat.page.locator(".messages :is(script, iframe, form, style, img, math, svg:not(.icon))").count()
        == 0
    )
    expect(chat.page.locator("#sidebar")).to_be_visible()
    assert fits(chat.page)


def test_says_hostile_text_back_without_harm(page_of, olivia, agent_on):
    agent_on("echo", name="echo", is_default=True)
    requested: list[str] = []
    page = page_of(olivia)
    page.on("request", lambda request: requested.append(request.url))
    chat = Chat(page)
    chat.ask(HOSTILE, "taken over")
    is_unharmed(chat)
    allowed = ["https://evil.example/pixel.png", "https://example.com/ok", "mailto:mail@example.com"]
    assert links(chat) == allowed
    assert page.locator(".prose a[href]:not([rel*=noopener][target=_blank])").count() == 0
    assert not [url for url in requested if "example" in url]
    expect(chat.questions.locator(".plain")).to_have_text(HOSTILE.strip())
    # The list, and the page that is opened anew, show it too.
    page.reload()
    expect(chat.answer).to_contain_text("taken over")
    is_unharmed(chat)


def test_shows_a_hostile_result_of_a_tool_as_text(page_of, olivia, agent):
    chat = Chat(page_of(olivia))
    text = "<img src=x onerror=window.hacked=1>"
    chat.say('call calculator {"expression": "' + text + '"}')
    expect(chat.page.locator(".call")).to_be_attached()
    chat.page.locator(".call summary").click()
    expect(chat.page.locator(".call pre").first).to_contain_text(text)
    is_unharmed(chat)


@pytest.fixture
def told(page_of, olivia, workspace, agent):
    """`told(text)`: a conversation in which the agent has said this."""

    def open_with(text: str) -> Chat:
        session = SessionFactory(workspace=workspace, user=olivia, agent=agent, title=text[:100])
        MessageFactory(session=session)
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        MessageFactory(session=session, source="assistant", content=text, models_usage=usage)
        return Chat(page_of(olivia), session)

    return open_with


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5_000 + "deep",
        "\n".join("  " * depth + "- item" for depth in range(400)),
        "[" * 50_000,
        "*a **b " * 10_000,
        "`" * 50_000,
        "<" * 50_000,
        "![[](" * 10_000,
        "|" * 50_000 + "\n|-|",
        "a\n" * 40_000,
        "\u202e" * 1_000 + "end",
    ],
    ids=["quotes", "lists", "brackets", "stars", "ticks", "tags", "links", "table", "lines", "marks"],
)
def test_shows_what_parsers_stumble_over(told, text):
    begun = time.monotonic()
    chat = told(text)
    expect(chat.answer).not_to_be_empty()
    is_unharmed(chat)
    assert time.monotonic() - begun < 10


def test_shows_a_megabyte_in_parts(told):
    text = "word " * 200_000
    chat = told(text)
    assert len(chat.answer.locator(".plain").text_content()) < len(text) / 10
    chat.button("Show all 1,000,000 characters").click()
    assert len(chat.answer.locator(".plain").text_content()) == len(text)
    is_unharmed(chat)


def test_shows_where_an_answer_is_from(told):
    chat = told("Paris is the capital [1], they say [7].")
    cited = [
        {"n": 1, "document": "<b>Atlas</b>", "place": "page 3", "text": "<script>window.hacked=1</script>"}
    ]
    Message.objects.filter(source="assistant").update(metadata={"citations": cited})
    chat.page.reload()
    chat.answer.get_by_role("link", name="Source 1").click()
    expect(chat.page.locator(".sources li")).to_contain_text("<b>Atlas</b> · page 3")
    expect(chat.page.locator(".sources blockquote")).to_have_text("<script>window.hacked=1</script>")
    expect(chat.answer).to_contain_text("they say [7].")
    is_unharmed(chat)
