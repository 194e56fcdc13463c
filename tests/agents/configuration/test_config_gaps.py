"""What a configuration's text must not say, and what is left out of it."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest
import yaml

from agents.configuration import text as configuration_text
from agents.configuration.importing import make
from agents.models import Agent
from agents.workflows import text
from tests.factories import BudgetFactory, ChatModelFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("field", ["agent_id", "user_id"])
def test_leaves_out_a_budget_of_what_is_gone(field, api, alice, workspace):
    BudgetFactory(workspace=workspace, name="monthly", **{field: uuid.uuid4()})
    assert "monthly" not in api(alice).get("/config/export").content.decode()


def test_bounds_the_levels_of_json():
    with pytest.raises(text.TextFault):
        text.load('{"a": ' + "[" * 200 + "]" * 200 + "}")


# a circle of agents of which one is wrong


@pytest.fixture
def circle(api, alice, workspace):
    """Two agents that ask one another, as they run."""
    ChatModelFactory(workspace=workspace, name="fast")
    load(api(alice), CIRCLE)
    return workspace


CIRCLE = """
tools:
  ask_a: {kind: agent, agent: a}
  ask_b: {kind: agent, agent: b}
agents:
  a: {model: fast, system_prompt: "Old.", tools: [ask_b]}
  b: {model: fast, tools: [ask_a]}
"""


def load(client, written: str, query: str = ""):
    return client.post(f"/config/import{query}", {"configuration": written})


def test_leaves_an_agent_whole_where_a_circle_is_wrong(circle, actor, alice):
    broken = CIRCLE.replace("Old.", "New.").replace("agent: b}", "agent: b, timeout_seconds: -1}")
    report = make(actor(alice), configuration_text.read(broken))
    a = Agent.objects.get(name="a")
    assert report.faults
    assert (a.system_prompt, [tool.name for tool in a.tools.all()]) == ("Old.", ["ask_b"])


def test_keeps_what_is_sound_beside_it(circle, actor, alice):
    broken = CIRCLE.replace("b: {model: fast,", "b: {model: nowhere,") + "  c: {model: fast}\n"
    make(actor(alice), configuration_text.read(broken))
    assert Agent.objects.filter(name="c").exists()


def test_makes_a_sound_agent_the_default_whatever_else_is_wrong(circle, actor, alice):
    written = "default_agent: c\nagents:\n  c: {model: fast}\n  d: {model: nowhere}\n"
    make(actor(alice), configuration_text.read(written))
    assert Agent.objects.get(name="c").is_default


# what is the same, written otherwise


@pytest.mark.parametrize("amount", ["250", "250.0", "'250.00'"])
def test_writes_nothing_for_the_same_budget(api, alice, workspace, amount):
    budget = BudgetFactory(workspace=workspace, name="monthly", limit_amount=Decimal(250), action="alert")
    load(
        api(alice),
        f"budgets:\n  monthly: {{period: day, limit_amount: {amount}, warning_levels: [100, 80, 50]}}\n",
    )
    unchanged = budget.updated_at
    budget.refresh_from_db()
    assert budget.updated_at == unchanged


# secrets and bodies


def test_refuses_the_secret_of_another_component(api, alice, workspace):
    for name in ("mine", "other"):
        model = {
            "provider": "openai",
            "model": "m",
            "base_url": "https://models.example.com",
            "api_key": f"sk-{name}",
        }
        api(alice).post("/models", {"name": name, **model})
    document = yaml.safe_load(api(alice).get("/config/export").content)
    document["models"]["mine"]["api_key"] = "${secret:model/other/api_key}"
    answer = load(api(alice), yaml.safe_dump(document))
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "models.mine.api_key")


def test_refuses_a_body_rather_than_cut_it(api, alice, settings):
    settings.MAX_REQUEST_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 20_000_000
    body = "format: 1\n" + "# 字\n" * 1_500_000
    answer = api(alice).generic("POST", "/config/import", body, content_type="application/yaml")
    assert answer.status_code == 413
