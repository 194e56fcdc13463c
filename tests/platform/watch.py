"""Everything that the platform says while a test runs, and whether a secret is in it."""

from __future__ import annotations

import base64
import functools
import html
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client

from accounts.models import User
from agentplatform.lib.logs import json_formatter, levels
from tests.platform.pages import pages_of
from tests.platform.stored import rows_by_table

# The tests' own ends of the wire, which the platform has no part in.
OF_CLIENTS = ("httpx.", "httpcore.", "websockets.client")


@dataclass
class Said:
    """A text, where it was said, and the secrets that it is there to show."""

    place: str
    text: str
    shows: set[str] = field(default_factory=set)


@dataclass
class Watch:
    """`hide(name, text)` names a secret; `leaks()` says where one stands, by place."""

    secrets: dict[str, str] = field(default_factory=dict)
    """Their names, by their texts."""
    said: list[Said] = field(default_factory=list)
    log: io.StringIO = field(default_factory=io.StringIO)

    def hide(self, name: str, text: str) -> str:
        assert len(text) >= 8, "It would be found by chance."
        self.secrets[text] = name
        return text

    def shown(self, answer: httpx.Response, *names: str) -> list[str]:
        """The secrets in these fields of the last answer, which is the one place that shows them."""
        last, texts = self.said[-1], [answer.json()[name] for name in names]
        last.shows.update(texts)
        return [self.hide(f"{name} of {last.place}", text) for name, text in zip(names, texts, strict=True)]

    def hear(self, answer: httpx.Response) -> None:
        """A hook for httpx: every answer as it came, headers included."""
        answer.read()
        request = answer.request
        self.add(
            f"{request.method} {request.url.path} {answer.status_code}", f"{answer.headers}\n{answer.text}"
        )

    def add(self, place: str, text: str) -> None:
        self.said.append(Said(place, text))

    def open_pages(self, superuser: User, *, empty: bool = False) -> None:
        """Every page of the admin, for every kind of row that there is; those that show no row only if `empty`."""
        browser = Client()
        browser.force_login(superuser)
        for path in pages_of(rows(), empty=empty):
            answer = browser.get(path)
            assert answer.status_code < 500, path
            self.add(f"page {path}", f"{answer.headers}\n{b''.join(answer).decode()}")

    def leaks(self) -> dict[str, list[str]]:
        """By place, the names of the secrets in it: answers and pages, the database, the log."""
        stored = [Said(f"table {table}", "\n".join(found)) for table, found in rows_by_table().items()]
        written = [Said(f"log line {line[:300]}", line) for line in self.log.getvalue().splitlines()]
        found = {said.place: self._in(said) for said in [*self.said, *stored, *written]}
        return {place: names for place, names in found.items() if names}

    def _in(self, said: Said) -> list[str]:
        return [
            name
            for secret, name in self.secrets.items()
            if secret not in said.shows and any(form in said.text for form in forms(secret))
        ]


@functools.cache
def forms(secret: str) -> set[str]:
    """How a secret may be written: as it is, in JSON, HTML, a URL, base64, and as tables show bytes."""
    raw, in_json = secret.encode(), json.dumps(secret)[1:-1]
    return {
        *(secret, in_json, html.escape(secret), html.escape(in_json), quote(secret)),
        *(base64.b64encode(raw).decode().rstrip("="), raw.hex()),
    }


def rows() -> list[Model]:
    """The newest row of each kind that the admin shows."""
    newest = [
        model._base_manager.order_by("-pk").first()
        for model in apps.get_models()
        if admin.site.is_registered(model)
    ]
    return [row for row in newest if row is not None]


@contextmanager
def watching(**secrets: str) -> Iterator[Watch]:
    """Listens to the log as an operator with LOG_LEVEL=DEBUG would see it."""
    watch = Watch({text: name for name, text in secrets.items()})
    handler = logging.StreamHandler(watch.log)
    handler.setFormatter(json_formatter())
    handler.addFilter(lambda record: not f"{record.name}.".startswith(OF_CLIENTS))
    chosen = {logging.getLogger(name): level for name, level in levels("DEBUG").items()}
    before = {logger: logger.level for logger in chosen}
    logging.getLogger().addHandler(handler)
    for logger, level in chosen.items():
        logger.setLevel(level)
    try:
        yield watch
    finally:
        logging.getLogger().removeHandler(handler)
        for logger, number in before.items():
            logger.setLevel(number)
