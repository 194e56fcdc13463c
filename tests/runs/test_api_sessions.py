"""/sessions: made, listed, changed, deleted, and their history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from runs.models import Checkpoint, CheckpointBlob, CheckpointWrite, Message, Run, Session, Status
from tests.factories import AgentFactory, ApiKeyFactory, MessageFactory, RunFactory, SessionFactory

CONTRACT = {"id", "name", "created_at", "updated_at", "agent_state"}


@pytest.fixture
def session(workspace, alice):
    return SessionFactory(workspace=workspace, user=alice)


def checkpoint(session, number=1, run=None):
    return Checkpoint.objects.create(
        thread_id=str(session.pk),
        checkpoint_id=f"{number:04}",
        run=run,
        step_num=number,
        checkpoint={},
        created_at=timezone.now(),
    )


# made


def test_needs_no_body(api, alice, agent):
    assert api(alice).post("/sessions").status_code == 201


def test_has_the_fields_of_the_contract(api, alice, agent):
    assert api(alice).post("/sessions").json().keys() >= CONTRACT


def test_is_called_new_session(api, alice, agent):
    assert api(alice).post("/sessions").json()["name"] == "New session"


def test_gets_the_default_agent(api, alice, agent):
    assert api(alice).post("/sessions").json()["agent"] == "assistant"


def test_can_be_made_without_a_default_agent(api, alice):
    assert api(alice).post("/sessions").json()["agent"] is None


@pytest.mark.parametrize("field", ["pk", "name"])
def test_takes_an_agent_by(api, alice, workspace, field):
    other = AgentFactory(workspace=workspace, name="other")

    assert api(alice).post("/sessions", {"agent": str(getattr(other, field))}).json()["agent"] == "other"


def test_takes_a_name_and_an_end_user(api, alice):
    made = api(alice).post("/sessions", {"name": "Parcels", "user_id": "customer-81"}).json()

    assert (made["name"], made["user_id"]) == ("Parcels", "customer-81")


def test_knows_that_a_person_has_named_it(api, alice):
    made = api(alice).post("/sessions", {"name": "Parcels"}).json()

    assert Session.objects.get(pk=made["id"]).named_by_person


def test_takes_a_name_of_a_hundred_characters(api, alice):
    assert api(alice).post("/sessions", {"name": "x" * 100}).status_code == 201


@pytest.mark.parametrize(
    "body", [{"name": "x" * 101}, {"name": ""}, {"title": "x"}, {"agent": "nobody"}, {"user_id": "x" * 201}]
)
def test_refuses_what_makes_no_sense(api, alice, body):
    assert api(alice).post("/sessions", body).status_code == 422


def test_does_not_take_an_agent_of_another_workspace(api, alice, other_workspace):
    foreign = AgentFactory(workspace=other_workspace)

    assert api(alice).post("/sessions", {"agent": str(foreign.pk)}).status_code == 422


def test_cannot_be_made_by_a_viewer(api, vera):
    assert api(vera).post("/sessions").status_code == 403


# listed and read


def test_lists_the_newest_first(api, alice, workspace):
    older, newer = (SessionFactory(workspace=workspace, user=alice) for _ in range(2))

    assert [item["id"] for item in api(alice).get("/sessions").json()["items"]] == [
        str(newer.pk),
        str(older.pk),
    ]


def test_asks_as_often_for_many_as_for_one(api, alice, workspace, session, django_assert_max_num_queries):
    for _ in range(5):
        checkpoint(SessionFactory(workspace=workspace, user=alice))

    with django_assert_max_num_queries(2):
        api(alice).get("/sessions")


def test_finds_a_name(api, alice, workspace, session):
    found = SessionFactory(workspace=workspace, user=alice, title="Parcels of June")

    assert [item["id"] for item in api(alice).get("/sessions", {"search": "parcel"}).json()["items"]] == [
        str(found.pk)
    ]


def test_finds_the_sessions_of_an_end_user(api, alice, workspace, session):
    found = SessionFactory(workspace=workspace, user=alice, end_user="customer-81")
    items = api(alice).get("/sessions", {"user_id": "customer-81"}).json()["items"]

    assert [item["id"] for item in items] == [str(found.pk)]


def test_has_no_state_before_the_agents_first_step(api, alice, session):
    assert api(alice).get(f"/sessions/{session.pk}").json()["agent_state"] == {}


def test_shows_the_newest_checkpoint_as_the_agents_state(api, alice, session, workspace):
    run = RunFactory(workspace=workspace, session=session)
    checkpoint(session, 1, run)
    head = checkpoint(session, 2, run)
    state = api(alice).get(f"/sessions/{session.pk}").json()["agent_state"]

    assert (state["checkpoint_id"], state["run_id"], state["step_num"]) == (str(head.pk), str(run.pk), 2)


@pytest.mark.parametrize("who", ["bob", "charlie"])
@pytest.mark.parametrize("path", ["", "/history"])
def test_is_hidden_from(api, session, request, who, path):
    caller = request.getfixturevalue(who)

    assert api(caller).get(f"/sessions/{session.pk}{path}").json()["error"]["type"] == "SessionNotFound"


def test_is_shown_to_a_viewer(api, session, vera):
    assert api(vera).get(f"/sessions/{session.pk}").status_code == 200


def test_is_not_for_auditors(api, session, audrey):
    assert api(audrey).get(f"/sessions/{session.pk}").status_code == 403


# changed


@pytest.mark.parametrize("method", ["put", "patch"])
def test_is_renamed(api, alice, session, method):
    getattr(api(alice), method)(f"/sessions/{session.pk}", {"name": "Parcels"})
    session.refresh_from_db()

    assert (session.title, session.named_by_person) == ("Parcels", True)


def test_moves_its_time_of_change(api, alice, session):
    assert api(alice).patch(f"/sessions/{session.pk}", {"name": "Parcels"}).json()["updated_at"] > (
        session.updated_at.isoformat()
    )


def test_can_be_sent_back_as_it_was_read(api, alice, session):
    shown = api(alice).get(f"/sessions/{session.pk}").json()

    assert api(alice).put(f"/sessions/{session.pk}", shown).status_code == 200


def test_gets_another_agent(api, alice, session, agent):
    assert api(alice).patch(f"/sessions/{session.pk}", {"agent": "assistant"}).json()["agent"] == "assistant"


def test_is_not_changed_by_a_stranger(api, session, charlie):
    assert api(charlie).patch(f"/sessions/{session.pk}", {"name": "Mine"}).status_code == 404


@pytest.mark.parametrize(("method", "verb"), [("patch", "write"), ("delete", "delete")])
def test_is_not_touched_by_an_api_key_that_may_only_see_others_sessions(
    api, session, workspace, olivia, method, verb
):
    scopes = ["read:session", "read:all-sessions", f"{verb}:session"]
    key = ApiKeyFactory(workspace=workspace, user=olivia, scopes=scopes)

    assert getattr(api(key), method)(f"/sessions/{session.pk}", {}).status_code == 403


# deleted


def test_is_deleted(api, alice, session):
    assert api(alice).delete(f"/sessions/{session.pk}").status_code == 204


def test_takes_its_messages_along(api, alice, session):
    MessageFactory(session=session)
    api(alice).delete(f"/sessions/{session.pk}")

    assert not Message.objects.exists()


def test_takes_the_agents_state_along(api, alice, session):
    checkpoint(session)
    place = {"thread_id": str(session.pk), "type": "msgpack", "channel": "messages", "blob": b""}
    CheckpointBlob.objects.create(version="1", **place)
    CheckpointWrite.objects.create(checkpoint_id="0001", task_id="t", index=0, **place)
    api(alice).delete(f"/sessions/{session.pk}")

    assert not any(table.objects.exists() for table in (Checkpoint, CheckpointBlob, CheckpointWrite))


def test_leaves_the_state_of_others(api, alice, session, workspace):
    checkpoint(SessionFactory(workspace=workspace))
    api(alice).delete(f"/sessions/{session.pk}")

    assert Checkpoint.objects.count() == 1


def test_leaves_its_runs(api, alice, session, workspace):
    run = RunFactory(workspace=workspace, session=session)
    api(alice).delete(f"/sessions/{session.pk}")

    assert Run.objects.get(pk=run.pk).session_id is None


@pytest.mark.parametrize("status", [Status.CREATED, Status.QUEUED, Status.RUNNING, Status.PAUSED])
def test_is_not_deleted_while_a_run_has_not_ended(api, alice, session, workspace, status):
    RunFactory(workspace=workspace, session=session, status=status)

    assert api(alice).delete(f"/sessions/{session.pk}").json()["error"]["type"] == "Conflict"


@pytest.mark.parametrize(("who", "code"), [("bob", 404), ("vera", 403), ("charlie", 404)])
def test_is_not_deleted_by(api, session, request, who, code):
    assert api(request.getfixturevalue(who)).delete(f"/sessions/{session.pk}").status_code == code


# history


def test_shows_the_messages_in_their_order(api, alice, session):
    start = timezone.now()
    for minutes in (2, 1, 3):
        MessageFactory(session=session, content=str(minutes), created_at=start + timedelta(minutes=minutes))
    items = api(alice).get(f"/sessions/{session.pk}/history").json()["items"]

    assert [message["content"] for message in items] == ["1", "2", "3"]


def test_shows_a_message_in_the_shape_of_the_contract(api, alice, session):
    MessageFactory(session=session)
    [message] = api(alice).get(f"/sessions/{session.pk}/history").json()["items"]

    assert message.keys() == {
        *("id", "session_id", "run_id", "source", "content", "type", "thought", "created_at"),
        *("models_usage", "metadata", "variants", "attachments"),
    }


def test_pages_the_history(api, alice, session):
    MessageFactory.create_batch(3, session=session)
    page = api(alice).get(f"/sessions/{session.pk}/history", {"limit": 2}).json()

    assert (page["total"], page["has_more"], len(page["items"])) == (3, True, 2)
