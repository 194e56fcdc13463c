"""What is heavy is imported when it is used: by a web process never, and of the vendors only whose model is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SDKS = {"openai": "openai", "anthropic": "anthropic", "google": "google.genai", "demo": ""}
REPORTING = {"opentelemetry.sdk", "sentry_sdk"}
HEAVY = {"langchain", "langchain_core", "langgraph", "mcp", *REPORTING, *SDKS.values()} - {""}

ENVIRONMENT = {"DJANGO_SETTINGS_MODULE": "agentplatform.settings", "AGENTPLATFORM_EMBEDDED_WORKER": "false"}

REPORT = """
import json, sys
print(json.dumps([name for name in sys.modules if name in {names}]))
"""
SETUP = "import django; django.setup()"
URLS = f"{SETUP}; import django.urls; django.urls.get_resolver().url_patterns"
SERVER = """
import asyncio
from agentplatform.asgi import process
async def start_and_stop():
    await process.start()
    await process.stop()
asyncio.run(start_and_stop())
"""
COMPILE = """
import uuid, django; django.setup()
from agents.compiler import compile_agent
from agents.specification import AgentConfig, AgentSpecification, ModelSpecification
one = uuid.uuid4()
model = ModelSpecification(one, one, "any", "{provider}", "any", secret=one)
compile_agent(AgentSpecification(one, one, one, "any", "", AgentConfig(), None, model), {{one: "any key"}})
"""


def imported_by(code: str) -> set[str]:
    """Which heavy libraries a process of its own has imported once it has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code + REPORT.format(names=HEAVY)],
        cwd=PROJECT,
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", [SETUP, URLS, SERVER], ids=["django", "urls", "web server"])
def test_loads_no_library_of_models_without_a_worker(code):
    assert imported_by(code) == set()


@pytest.mark.parametrize("provider", SDKS)
def test_loads_the_library_of_one_vendor_for_an_agent(provider):
    assert imported_by(COMPILE.format(provider=provider)) & set(SDKS.values()) == {SDKS[provider]} - {""}
