"""Messages said otherwise and answered again: what is shown then, and what the model is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from runs.models import Checkpoint, Message, Run
from tests.factories import MessageFactory, RunFactory, SessionFactory, ToolFactory
from tests.runs.sse import stream

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def three(talk):
    """A conversation of three turns."""
    for content in ("One", "Two", "Three"):
        talk.say(content)
    return talk


# what is shown, and told


def test_edits_the_last_message(three):
    three.edit("Three", "Drei")

    assert three.texts == ["One", "One", "Two", "Two", "Drei", "Drei"]
    assert three.told == ["One", "One", "Two", "Two", "Drei"]


def test_edits_a_message_in_the_middle(three):
    three.edit("Two", "Zwei")

    assert three.texts == ["One", "One", "Zwei", "Zwei"]
    assert three.told == ["One", "One", "Zwei"]


def test_edits_the_first_message(three):
    three.edit("One", "Eins")

    assert three.texts == ["Eins", "Eins"]
    assert three.told == ["Eins"]


def test_goes_on_from_the_edited_message(three):
    three.edit("Two", "Zwei")
    three.say("Drei")

    assert three.told == ["One", "One", "Zwei", "Zwei", "Drei"]


def test_deletes_nothing(three):
    three.edit("One", "Eins")

    assert len(three.history(branch="all")) == 8
    assert Run.objects.count() == 4


def test_regenerates_by_the_answer(three):
    answer = three.message("Two", 1)["id"]
    three.ended(three.post(f"messages/{answer}/regenerate"))

    assert three.texts == ["One", "One", "Two", "Two"]
    assert three.told == ["One", "One", "Two"]


def test_regenerates_by_the_question(three):
    three.regenerate("One")

    assert three.texts == ["One", "One"]
    assert three.told == ["One"]


def test_selects_back_and_forth_and_goes_on_from_there(three):
    three.endpoint.say("Two", "first other", "second other")
    first = three.regenerate("Two")["message"]["id"]
    second = three.regenerate("Two")["message"]["id"]
    three.select(first)
    three.select(second)
    three.select(first)
    three.say("Then")

    assert three.texts == ["One", "One", "Two", "first other", "Then", "second other"]
    assert three.told == ["One", "One", "Two", "first other", "Then"]


def test_selects_down_to_the_newest_turn(three):
    old = three.id_of("Two")
    three.edit("Two", "Zwei")
    three.select(old)

    assert three.texts == ["One", "One", "Two", "Two", "Three", "Three"]


def test_leaves_what_is_shown_already_as_it_is(three):
    three.select(three.id_of("One"))

    assert three.texts == ["One", "One", "Two", "Two", "Three", "Three"]


def test_shows_the_agents_state_of_the_branch(three):
    run_id = three.message("Three")["run_id"]
    old = three.id_of("Three")
    three.edit("Two", "Zwei")

    assert three.select(old)["session"]["agent_state"]["run_id"] == run_id


def test_builds_the_state_from_the_texts_where_it_is_not_kept(three):
    before = three.message("Two")["run_id"]
    Checkpoint.objects.filter(run_id=before).delete()
    three.edit("Three", "Drei")

    assert three.told == ["One", "One", "Two", "Two", "Drei"]


def test_builds_the_state_of_a_selected_branch_from_its_texts(three):
    old = three.message("Three")
    three.edit("Two", "Zwei")
    Checkpoint.objects.filter(run_id=old["run_id"]).delete()
    three.select(old["id"])
    three.say("Four")

    assert three.told == ["One", "One", "Two", "Two", "Three", "Three", "Four"]


def test_keeps_the_answers_of_tools_in_the_state(talk, agent_on, workspace):
    calculator = ToolFactory(workspace=workspace, name="calculator")
    talk.session.agent = agent_on("echo", name="counting", tools=[calculator])
    talk.session.save()
    talk.say('call calculator {"expression": "6 * 7"}')
    talk.say("Thanks")
    talk.edit("Thanks", "So?")

    assert [message["role"] for message in talk.endpoint.requests[-1].body["messages"]] == [
        *("user", "assistant", "tool", "assistant"),
        "user",
    ]


def test_answers_what_chat_answers(three):
    answer = three.edit("Two", "Zwei")

    assert answer.keys() == {"run_id", "session", "message"}
    assert answer["message"]["content"] == "Zwei"
    assert len(answer["message"]["variants"]) == 2


@pytest.mark.parametrize(("verb", "body"), [("edit", {"content": "Zwei"}), ("regenerate", {})])
def test_streams_on_request(three, verb, body):
    path = f"{three.path}/messages/{three.id_of('Two')}/{verb}"
    sent = stream(three.client, "POST", path, json={**body, "stream": True})

    assert (sent[0].event, sent[-1].event) == ("run_queued", "run_completed")


def test_keeps_what_the_turn_was_asked_with(talk, http, alice):
    body = {
        "session_id": str(talk.session.pk),
        "input": {
            "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "One"}]
        },
        "metadata": {"order": 7},
    }
    run = http(alice).post("/runs", json=body).json()
    http(alice).get(f"/runs/{run['id']}/wait")
    talk.edit("One", "Eins")

    assert Run.objects.latest("id").metadata == {"order": 7}
    assert [one["content"] for one in talk.endpoint.requests[-1].body["messages"]] == ["Be brief", "Eins"]


# variants


def ids(messages):
    return [message["id"] for message in messages]


def test_has_itself_as_its_only_version(three):
    assert all(message["variants"] == [message["id"]] for message in three.history())


def test_shows_the_versions_of_a_question(three):
    first = three.id_of("Two")
    second = three.edit("Two", "Zwei")["message"]["id"]

    assert three.message("Zwei")["variants"] == [first, second]
    assert three.message("Zwei", 1)["variants"] == [three.message("Zwei", 1)["id"]]


def test_shows_the_versions_of_an_answer(three):
    first = three.message("Two", 1)["id"]
    three.regenerate("Two")
    question, answer = three.history()[2:]

    assert answer["variants"] == [first, answer["id"]]
    assert question["variants"] == [question["id"]]


def test_counts_a_question_that_was_asked_again_once(three):
    first = three.id_of("Two")
    three.edit("Two", "Zwei")
    three.regenerate("Zwei")

    assert three.history()[2]["variants"] == [first, three.history()[2]["id"]]
    assert len(three.history()[3]["variants"]) == 2


def test_shows_the_versions_of_the_first_message(three):
    first = three.id_of("One")
    second = three.edit("One", "Eins")["message"]["id"]

    assert three.message("Eins")["variants"] == [first, second]


def test_takes_a_few_queries_however_many_versions_there_are(
    three, api, alice, django_assert_max_num_queries
):
    for content in ("Zwei", "Deux", "Dos"):
        three.edit(three.texts[2], content)
    with django_assert_max_num_queries(7):
        api(alice).get(f"{three.path}/history")


# several at once


def test_knows_the_order_of_messages_sent_at_once(talk):
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda text: talk.post("chat", {"content": text}), "ABCD"))
    for answer in answers:
        talk.ended(answer)
    runs = list(Run.objects.order_by("created_at"))

    assert [run.previous_id for run in runs] == [None, *(run.pk for run in runs[:-1])]
    assert [run.pk for run in sorted(runs, key=lambda run: run.started_at)] == [run.pk for run in runs]
    talk.session.refresh_from_db()
    assert talk.session.head_id == runs[-1].pk


def test_gives_a_created_run_its_place_when_it_starts(talk, http, alice):
    created = http(alice).post(
        "/runs", json={"message": "Later", "session_id": str(talk.session.pk), "start": False}
    )
    talk.say("One")
    run_id = created.json()["id"]
    http(alice).post(f"/runs/{run_id}/start")
    http(alice).get(f"/runs/{run_id}/wait")
    talk.session.refresh_from_db()

    assert str(talk.session.head_id) == run_id
    assert Run.objects.get(pk=run_id).previous.input_query == "One"


def test_goes_on_before_what_was_rolled_back(talk):
    talk.say("One")
    talk.stalled("Two")
    talk.say("Three", multitask_strategy="rollback")

    assert Run.objects.get(input_query="Three").previous.input_query == "One"
    assert talk.told == ["One", "One", "Three"]


# while a run is under way


@pytest.mark.parametrize("strategy", [None, "enqueue", "reject"])
@pytest.mark.parametrize(
    ("verb", "body"), [("edit", {"content": "Eins"}), ("regenerate", {}), ("select", {})]
)
def test_refuses_while_a_run_is_under_way(talk, verb, body, strategy):
    talk.say("One")
    run_id = talk.stalled()
    wanted = {"multitask_strategy": strategy} if strategy else {}
    answer = talk.post(f"messages/{talk.id_of('One')}/{verb}", body | wanted)

    assert (answer.status_code, answer.json()["error"]["details"]["run_id"]) == (409, run_id)


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
def test_cancels_what_is_under_way(talk, strategy):
    talk.say("One")
    run_id = talk.stalled("Two")
    talk.edit("Two", "Zwei", multitask_strategy=strategy)

    assert Run.objects.get(pk=run_id).status == "cancelled"
    assert talk.texts == ["One", "One", "Zwei", "Zwei"]
    assert talk.told == ["One", "One", "Zwei"]
    assert Message.objects.filter(run_id=run_id, active=False).count() == 2


# refused


def error(answer):
    return answer.status_code, answer.json()["error"]["type"]


def test_does_not_edit_an_answer(three):
    answer = three.post(f"messages/{three.message('Two', 1)['id']}/edit", {"content": "Zwei"})

    assert error(answer) == (422, "ValidationError")
    assert "/regenerate" in answer.text


def test_does_not_edit_what_somebody_else_has_said(talk):
    message = talk.say("One", source="alice")["message"]

    assert error(talk.post(f"messages/{message['id']}/edit", {"content": "Eins"})) == (422, "ValidationError")


def test_does_not_edit_a_message_without_a_turn(talk):
    message = MessageFactory(session=talk.session)

    assert error(talk.post(f"messages/{message.pk}/edit", {"content": "Eins"})) == (422, "ValidationError")


@pytest.mark.parametrize("verb", ["edit", "regenerate", "select"])
@pytest.mark.parametrize("foreign", ["unknown", "other session", "other workspace"])
def test_finds_no_message_of_another_session(talk, verb, foreign, workspace, alice, other_workspace):
    of = {
        "unknown": lambda: RunFactory(workspace=workspace),
        "other session": lambda: MessageFactory(session=SessionFactory(workspace=workspace, user=alice)),
        "other workspace": lambda: MessageFactory(session=SessionFactory(workspace=other_workspace)),
    }
    answer = talk.post(f"messages/{of[foreign]().pk}/{verb}", {"content": "x"} if verb == "edit" else {})

    assert error(answer) == (404, "MessageNotFound")


@pytest.mark.parametrize(
    ("who", "code"), [("bob", 404), ("charlie", 404), ("vera", 403), ("audrey", 403), ("olivia", 202)]
)
def test_speaks_in_somebody_elses_session_only_with_a_permission(talk, http, request, who, code):
    talk.say("One")
    other = http(request.getfixturevalue(who))
    answer = other.post(f"{talk.path}/messages/{talk.id_of('One')}/edit", json={"content": "Eins"})

    assert answer.status_code == code


def test_changes_nothing_where_the_agent_is_disabled(talk):
    talk.say("One")
    talk.session.agent.enabled = False
    talk.session.agent.save()
    answer = talk.post(f"messages/{talk.id_of('One')}/edit", {"content": "Eins"})

    assert answer.status_code == 422
    assert talk.texts == ["One", "One"]
