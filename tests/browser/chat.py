"""The chat page as a person uses it."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from runs.models import Session


class Chat:
    """`Chat(page)` is the page with an empty conversation; `Chat(page, session)` with that one."""

    def __init__(self, page: Page, session: Session | str | None = None) -> None:
        self.page = page
        key = getattr(session, "pk", session)
        page.goto(f"/c/{key}" if key else "/")
        expect(page.locator("#messages:not([aria-busy=true])")).to_be_attached()

    @property
    def field(self) -> Locator:
        return self.page.locator("#message")

    @property
    def questions(self) -> Locator:
        return self.page.locator(".question")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".answer")

    @property
    def answer(self) -> Locator:
        """The text of the last answer."""
        return self.answers.last.locator(".body")

    @property
    def session_id(self) -> str:
        return self.page.url.split("/c/")[1][:36]

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    def say(self, text: str) -> None:
        """Sends a message; the answer is not waited for."""
        self.field.fill(text)
        self.field.press("Enter")
        expect(self.page.locator(".sending")).to_have_count(0)

    def ask(self, text: str, answer: str) -> None:
        """Sends a message and waits for an answer that holds this."""
        before = self.answers.count()
        self.say(text)
        expect(self.answers).to_have_count(before + 1)
        expect(self.answer).to_contain_text(answer)
        self.at_rest()

    def at_rest(self) -> None:
        """Returns when the last answer is kept."""
        expect(self.answers.last).to_have_attribute("data-id", re.compile("."))
        expect(self.page.locator("#stop")).to_be_hidden()


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def obstacles(page: Page, within: str | None = None) -> list[str]:
    """What axe finds on a page, or `within` a part of it, that keeps people from using it: serious and critical."""
    found = Axe().run(page, within).response["violations"]
    return [
        f"{one['id']}: {[node['target'] for node in one['nodes']]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
