"""Any configuration goes into a text, into an empty workspace and out again, byte for byte."""

from __future__ import annotations

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.actors import superuser_actor
from accounts.models import User, Workspace
from agents.configuration import text as configuration
from agents.configuration.exporting import export
from agents.configuration.importing import import_text
from agents.configuration.sections import registry, written
from agents.models import Version
from tests.examples import examples
from tests.factories import UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

# What people call things, and what YAML could take for something else.
NAMES = st.sampled_from(["a", "b-1", "no", "null", "1e3", "0x1F", "2026-11-27", "x.y", "Z_9", "true", "007"])
TEXTS = st.one_of(
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=40),
    st.sampled_from(
        [
            "yes",
            "",
            " a",
            "a\n\nb\n",
            "a: b",
            "# no comment",
            "- x",
            "\t",
            "'",
            '"',
            "…",
            "🙂\r\n",
            "${secret:x}",
        ]
    ),
)
PLAIN = TEXTS.map(lambda text: text.strip())
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        # The database writes those that are whole and larger as integers, which 64 bits can't hold.
        st.floats(min_value=-1e15, max_value=1e15, allow_nan=False),
        TEXTS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(PLAIN, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def configurations(draw):
    """Models with fallbacks, agents and tools that refer to one another at will, servers, and bodies of requests."""
    models, agents, tools, servers = (draw(st.lists(NAMES, unique=True, max_size=3)) for _ in range(4))
    tools = [name for name in tools if "." not in name]
    common = st.fixed_dictionaries({}, optional={"description": PLAIN, "enabled": st.booleans()})

    def some(names, besides=""):
        return draw(st.lists(st.sampled_from(names), unique=True, max_size=2)) if names else []

    made = {
        "models": {
            name: draw(common)
            | {
                "provider": "demo",
                "model": "scripted",
                "fallbacks": [one for one in some(models) if one != name],
            }
            for name in models
        },
        "mcp_servers": {
            name: draw(common) | {"transport": "http", "url": "https://mcp.example.com/"} for name in servers
        },
        "tools": {
            name: draw(common)
            | draw(st.sampled_from([{"kind": "function", "function": "calculator"}, _request(draw(VALUES))]))
            for name in tools
        },
        "agents": {},
    }
    for name in agents if models else []:
        made["agents"][name] = draw(common) | {
            "model": draw(st.sampled_from(models)),
            "system_prompt": draw(TEXTS),
            "tools": some(tools),
            "tags": draw(st.lists(PLAIN.filter(bool), unique=True, max_size=2)),
        }
    asked = {one for agent in made["agents"].values() for one in agent["tools"]}
    for name, tool in made["tools"].items():
        # A tool that asks an agent which does not have it itself.
        askable = [one for one, agent in made["agents"].items() if name not in agent["tools"]]
        if name in asked and askable and draw(st.booleans()):
            made["tools"][name] = {
                "kind": "agent",
                "agent": draw(st.sampled_from(askable)),
                "description": tool.get("description", ""),
            }
    made["default_agent"] = draw(st.sampled_from([None, *made["agents"]]))
    return made


def _request(body):
    return {
        "kind": "http",
        "request": {"method": "POST", "url": "https://api.example.com/", "body": {"value": body}},
    }


def actor() -> object:
    return superuser_actor(User.objects.first() or UserFactory(), WorkspaceFactory())


@pytest.mark.properties
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(wanted=configurations())
def test_comes_out_as_it_went_in(db, wanted):
    with transaction.atomic():
        first, second = actor(), actor()
        import_text(first, configuration.text.dump(wanted))
        text = export(first)
        import_text(second, text)
        versions = Version.objects.count()
        again = import_text(second, text)
        assert (export(second), again.changes, Version.objects.count()) == (text, [], versions)
        transaction.set_rollback(True)


@settings(max_examples=60, deadline=None)
@given(documents=st.dictionaries(NAMES, st.dictionaries(PLAIN, VALUES, max_size=4), max_size=4))
def test_reads_what_it_writes(documents):
    text = configuration.text.dump(documents)
    assert configuration.text.load(text, configuration.LONGEST, configuration.LEVELS) == (documents or {})


def test_leaves_nothing_out_that_has_no_default():
    section = registry["model"]
    document = {**section.defaults, "provider": "demo", "model": "x", "api_key": None, "description": "d"}
    assert written(section, document) == {"provider": "demo", "model": "x", "description": "d"}


def test_makes_workspaces_apart(db):
    first, second = actor(), actor()
    import_text(first, "models:\n  fast: {provider: demo, model: x}\n")
    assert ("fast" in export(second), Workspace.objects.count()) == (False, 2)
