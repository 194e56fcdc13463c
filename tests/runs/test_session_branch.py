"""POST /sessions/{id}/branch: a session that goes another way from a message."""

from __future__ import annotations

import pytest

from runs.models import Checkpoint, Run, Session
from tests.runs.talking import Talk

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def branched(talk):
    """`branched("Two", 1)`: the conversation that begins at the second message with this content."""
    for content in ("One", "Two", "Three"):
        talk.say(content)

    def make(content: str, place: int = 0, **body) -> Talk:
        answer = talk.post("branch", {"message_id": talk.message(content, place)["id"], **body})
        assert answer.status_code == 201, answer.text
        return Talk(talk.client, Session.objects.get(pk=answer.json()["id"]), talk.endpoint)

    return make


def test_has_the_history_up_to_an_answer(branched):
    other = branched("Two", 1)

    assert other.texts == ["One", "One", "Two", "Two"]
    assert {message["run_id"] for message in other.history()} == {None}


def test_has_the_agents_state_there(branched):
    other = branched("Two", 1)
    other.say("Four")

    assert other.told == ["One", "One", "Two", "Two", "Four"]


def test_goes_up_to_a_question(branched):
    other = branched("Two")
    other.say("Four")

    assert other.told == ["One", "One", "Two", "Four"]


def test_leaves_the_other_session_as_it_is(branched, talk):
    branched("Two", 1).say("Four")

    assert talk.texts == ["One", "One", "Two", "Two", "Three", "Three"]
    assert Run.objects.filter(session=talk.session).count() == 3


def test_outlives_the_other_session(branched, talk):
    other = branched("Two", 1)
    talk.client.delete(talk.path)
    other.say("Four")

    assert other.told == ["One", "One", "Two", "Two", "Four"]


def test_begins_on_a_branch_that_is_not_shown(talk, branched):
    old = talk.message("Two", 1)["id"]
    talk.edit("Two", "Zwei")
    answer = talk.post("branch", {"message_id": old})
    other = Talk(talk.client, Session.objects.get(pk=answer.json()["id"]), talk.endpoint)
    other.say("Four")

    assert other.told == ["One", "One", "Two", "Two", "Four"]


def test_edits_its_own_first_message(branched):
    other = branched("Two", 1)
    other.say("Four")
    other.edit("Four", "Vier")

    assert other.texts == ["One", "One", "Two", "Two", "Vier", "Vier"]
    assert other.told == ["One", "One", "Two", "Two", "Vier"]


def test_can_be_branched_itself(branched, talk):
    first = branched("Two", 1)
    answer = first.post("branch", {"message_id": first.message("Two", 1)["id"]})
    other = Talk(talk.client, Session.objects.get(pk=answer.json()["id"]), talk.endpoint)
    other.say("Four")

    assert other.told == ["One", "One", "Two", "Two", "Four"]


@pytest.mark.parametrize(("body", "name"), [({"name": "Another way"}, "Another way"), ({}, "One")])
def test_is_called(branched, body, name):
    assert branched("Two", **body).session.title == name


def test_belongs_to_whoever_has_made_it(branched, talk, http, olivia):
    branched("One")
    answer = http(olivia).post(f"{talk.path}/branch", json={"message_id": talk.id_of("One")})

    assert Session.objects.get(pk=answer.json()["id"]).user == olivia


def test_refuses_where_the_state_is_not_kept(branched, talk):
    Checkpoint.objects.filter(run_id=talk.message("Two")["run_id"]).delete()
    answer = talk.post("branch", {"message_id": talk.message("Two", 1)["id"]})

    assert answer.status_code == 409
    assert Session.objects.count() == 1


@pytest.mark.parametrize(("who", "code"), [("bob", 404), ("charlie", 404), ("vera", 403), ("audrey", 403)])
def test_is_not_made_by(talk, http, request, who, code):
    talk.say("One")
    other = http(request.getfixturevalue(who))

    assert other.post(f"{talk.path}/branch", json={"message_id": talk.id_of("One")}).status_code == code
