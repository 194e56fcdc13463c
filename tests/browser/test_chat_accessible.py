"""The chat page for everybody: what axe finds, dark colours, motion, narrow screens."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.chat import Chat, fits, obstacles
from tests.factories import AgentFactory, ToolFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
PROSE = """# Title

Some `code`, a [link](https://example.com).

> quoted

```py
print(1)
```

|a|b|
|-|-|
|1|2|"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signing_in_keeps_nobody_out(page_of, scheme):
    page = page_of(color_scheme=scheme)
    page.goto("/")
    assert obstacles(page) == []


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {**PHONE}], ids=["light", "dark", "phone"])
def test_the_page_keeps_nobody_out(page_of, olivia, agent_on, workspace, options):
    agent_on("echo", name="echo", is_default=True)
    careful = ToolFactory(workspace=workspace, name="calculator", requires_approval=True)
    AgentFactory(workspace=workspace, name="careful", tools=[careful])
    page = page_of(olivia, reduced_motion="reduce", **options)
    chat = Chat(page)
    found = {"empty": obstacles(page)}
    chat.ask(PROSE, "Title")
    found["prose"] = obstacles(page)
    assert fits(page)
    Chat(page)
    page.get_by_label("Agent", exact=True).select_option("careful")
    chat.say("What is 17 * 23?")
    expect(chat.button("Approve")).to_be_visible()
    found["approval"] = obstacles(page)
    chat.button("Approve").click()
    expect(chat.answer).to_contain_text("391")
    page.locator(".call summary").click()
    found["call"] = obstacles(page)
    if "is_mobile" in options:
        chat.button("Conversations").click()
    page.locator("#account > summary").click()
    found["menu"] = obstacles(page)
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_keeps_the_colours_that_somebody_has_chosen(page_of, olivia, agent):
    page = Chat(page_of(olivia, color_scheme="light")).page
    page.locator("#account > summary").click()
    page.get_by_label("Dark").check()
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 23)"


def test_switches_the_language_and_stays_on_the_page(page_of, olivia, agent):
    page = Chat(page_of(olivia)).page
    page.locator("#account > summary").click()
    page.get_by_label("Language").select_option("zh-hans")
    expect(page.get_by_role("heading", name="有什么可以帮您？")).to_be_visible()
