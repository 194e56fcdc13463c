"""`.env.example` documents what the settings read."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
EXAMPLE = (PROJECT / ".env.example").read_text()
DOCUMENTED = set(re.findall(r"^#([A-Z_]+)=", EXAMPLE, re.MULTILINE))
READ = set(re.findall(r'env\.\w+\("([A-Z_]+)"', (PROJECT / "agentplatform" / "settings.py").read_text()))


def test_documents_every_setting() -> None:
    assert not READ - DOCUMENTED


def test_documents_nothing_that_does_not_exist() -> None:
    assert {"POSTGRES_PASSWORD", "SITE_ADDRESS", "OUTER_PROXIES"} == DOCUMENTED - READ


def test_sets_nothing_by_itself() -> None:
    assert re.findall(r"^[^#\n].*", EXAMPLE, re.MULTILINE) == []
