"""Names of conversations by their agent's model."""

from __future__ import annotations

import pytest
from django.utils import timezone

from agents.versions import record
from billing import ledger
from billing.models import UsageRecord
from runs.conversations import naming
from runs.conversations.naming import INSTRUCTION, clean
from runs.models import Run, Session

pytestmark = pytest.mark.django_db(transaction=True)
ASKS = INSTRUCTION[:40]


@pytest.fixture
def named(talk, lent_platform):
    """`named("One")`: the conversation's name after its first answer, and after the model was asked for one."""
    agent = talk.session.agent
    agent.config = {"naming": "model", "retries": 0}
    agent.save()
    record(agent, None, "updated")

    def say(content="Where is my parcel?"):
        talk.say(content)
        lent_platform.settle()
        return Session.objects.get(pk=talk.session.pk).title

    return say


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Lost parcel", "Lost parcel"),
        ('"Lost parcel."', "Lost parcel"),
        ("\n\n**Lost parcel**\nAnd more", "Lost parcel"),
        ("“我的包裹在哪里？”", "我的包裹在哪里？"),
        ("one two three four five six seven", "one two three four five six"),
        ("a\u202eb\x00c", "abc"),
        ("x" * 500, "x" * 100),
        ('"" \n', ""),
    ],
)
def test_cleans_what_the_model_says(text, name):
    assert clean(text) == name


def test_asks_the_model_after_the_first_answer(talk, named):
    talk.endpoint.say(ASKS, "Lost parcel")

    assert named() == "Lost parcel"
    asked = talk.endpoint.requests[-1].body
    assert "Where is my parcel?" in asked["messages"][-1]["content"]
    assert asked.get("max_tokens") or asked.get("max_completion_tokens") == 40


def test_asks_once(talk, named):
    talk.endpoint.say(ASKS, "Lost parcel", "Another name")
    named()

    assert named("And now?") == "Lost parcel"


def test_asks_nobody_by_the_rule(talk, lent_platform):
    talk.say("Where is my parcel?")
    lent_platform.settle()

    assert Session.objects.get().title == "Where is my parcel?"
    assert len(talk.endpoint.requests) == 1


@pytest.mark.parametrize("failure", ["error-500", "garbage", "cut"])
def test_keeps_the_rules_name_where_the_model_fails(talk, named, failure):
    talk.endpoint.script("text-3", failure)

    assert named() == "Where is my parcel?"


def test_keeps_the_rules_name_where_the_model_takes_too_long(talk, named, monkeypatch):
    monkeypatch.setattr(naming, "SECONDS", 0.2)
    talk.endpoint.script("text-3", "hang")

    assert named() == "Where is my parcel?"


def test_never_replaces_a_persons_name(talk, named):
    talk.client.patch(talk.path, json={"name": "Mine"})

    assert named() == "Mine"
    assert len(talk.endpoint.requests) == 1


def test_never_replaces_a_name_that_came_while_the_model_was_asked(talk, named, monkeypatch):
    talk.endpoint.say(ASKS, "Lost parcel")
    give = naming._give

    def renamed_before(run, title):
        Session.objects.update(title="Where is my parcel?", named_by_person=True)
        give(run, title)

    monkeypatch.setattr(naming, "_give", renamed_before)

    assert named() == "Where is my parcel?"


def test_is_accounted_for_to_its_run(talk, named):
    talk.endpoint.say(ASKS, "Lost parcel")
    named()
    run = Run.objects.get()
    calls = UsageRecord.objects.filter(entry="settled", run_id=run.pk, session_id=talk.session.pk)

    assert [call.status for call in calls] == ["ok", "ok"]
    assert run.input_tokens == sum(call.input_tokens for call in calls)


def test_is_accounted_for_where_it_fails(talk, named):
    talk.endpoint.script("text-3", "error-500")
    named()

    assert sorted(UsageRecord.objects.values_list("entry", "status")) == [
        ("opened", "pending"),
        ("opened", "pending"),
        ("settled", "failed"),
        ("settled", "ok"),
    ]


def test_what_a_lost_process_leaves_open_is_settled(talk, named, monkeypatch):
    monkeypatch.setattr(naming, "_settle", lambda *_: None)
    named()
    later = timezone.now() + ledger.LONGEST_CALL * 2

    assert ledger.settle_forgotten(later) == 1


def test_an_agents_config_takes_it(api, olivia, agent):
    answer = api(olivia).patch(f"/agents/{agent.pk}", {"config": {"naming": "model"}})

    assert answer.json()["config"] == {"naming": "model"}
    assert api(olivia).patch(f"/agents/{agent.pk}", {"config": {"naming": "dice"}}).status_code == 422
