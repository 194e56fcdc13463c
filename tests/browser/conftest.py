"""A real Chromium, signed in as whoever a test names, in front of the real platform with its worker.

A page that logs an error, throws, or breaks the content security policy fails its test by itself. Where a
test provokes one, it clears `problems`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from accounts.models import User
from tests.runs.conftest import (
    _model_endpoint,
    agent,
    agent_on,
    http,
    lent_platform,
    model_endpoint,
    platform,
    server,
)

__all__ = [
    "_model_endpoint",
    "agent",
    "agent_on",
    "http",
    "lent_platform",
    "model_endpoint",
    "platform",
    "server",
]

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What the window around a page would start anew for each context, in processes of its own; pages do without.
FEATURES_OF_WINDOWS = ("WebUIOmniboxPopup", "WebUIOmniboxFullPopup", "WebUIOmniboxAimPopup")
# Those that Playwright disables. Chromium heeds only the last list of them, and that is ours.
FEATURES_OF_PLAYWRIGHT = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
)
ARGUMENTS.append(f"--disable-features={','.join((*FEATURES_OF_PLAYWRIGHT, *FEATURES_OF_WINDOWS))}")
# Generous: it is spent only where something is wrong, and machines of continuous integration are slow.
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)


def chromium() -> str:
    """The path of a Chromium. Without one these tests fail: silence would look like success."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        pytest.fail("There is no Chromium. Install it (apt-get install chromium) or name one in CHROMIUM.")
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for this folder. Playwright's event loop runs in this thread meanwhile, and ends with it."""
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Django takes that loop for a sign of asynchronous code; these tests are not.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What went wrong in the pages of a test; has to be empty in the end."""
    found: list[str] = []
    yield found
    assert not found


@pytest.fixture
def context(browser, server, problems) -> Iterator[Callable[..., BrowserContext]]:
    """`context(alice, locale="zh-CN")`: a browser of somebody who is signed in; `context()`: of nobody."""
    opened: list[BrowserContext] = []

    def make(user: User | None = None, **options: Any) -> BrowserContext:
        made = browser.new_context(base_url=server, **options)
        made.set_default_timeout(TIMEOUT_MS)
        made.on(
            "console", lambda message: message.type in ("error", "warning") and problems.append(message.text)
        )
        made.on("weberror", lambda error: problems.append(str(error.error)))
        if user is not None:
            made.add_cookies([session_cookie(user, server)])
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def page_of(context) -> Callable[..., Page]:
    """`page_of(alice)`: an empty page of somebody who is signed in."""
    return lambda user=None, **options: context(user, **options).new_page()


def session_cookie(user: User, server: str) -> Any:
    """The cookie of somebody who may enter the admin and has signed in."""
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return {
        "name": name,
        "value": client.cookies[name].value,
        "domain": urlsplit(server).hostname,
        "path": "/",
    }
