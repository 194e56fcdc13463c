"""Files that are sent along with messages: taken, refused, shown, deleted, and what the model gets of them."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, default_storage
from django.utils import timezone

from agents.models import ChatModel
from agents.versions import record
from runs.conversations import attachments
from runs.conversations.file_types import clean_name, media_type_of
from runs.models import Attachment, Checkpoint, CheckpointBlob, Message, Run, RunEvent, RunStep, Session
from tests.factories import AgentFactory, SessionFactory
from tests.runs import files

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def stored(settings, tmp_path) -> Path:
    """The folder that files are kept in."""
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": backend, "OPTIONS": {"location": str(tmp_path)}},
    }
    return tmp_path


def kept(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def session(workspace, alice):
    return SessionFactory(workspace=workspace, user=alice)


@pytest.fixture
def upload(http, alice, session):
    """`upload(content, "a.png")`: what alice is answered for a file to her session."""

    def post(content=None, name="a.png", said="image/png", caller=alice, to=session):
        content = files.png() if content is None else content
        return http(caller).post(f"/sessions/{to.pk}/attachments", files={"file": (name, content, said)})

    return post


# taken and refused


@pytest.mark.parametrize(
    ("content", "name", "said", "found"),
    [
        (files.png(), "a.png", "image/png", "image/png"),
        (files.JPEG, "a.JPG", "image/jpg", "image/jpeg"),
        (files.GIF, "a.gif", "image/gif", "image/gif"),
        (files.WEBP, "a.webp", "image/webp", "image/webp"),
        (files.PDF, "a.pdf", "application/pdf", "application/pdf"),
        (b"a,b\n1,2", "a.csv", "application/vnd.ms-excel", "text/csv"),
        (b"# Title", "a.md", "application/octet-stream", "text/markdown"),
        ("你好 < 3".encode(), "a.txt", "text/plain", "text/plain"),
        (b'{"a": 1}', "a.json", "application/json", "application/json"),
        (files.png(), "pasted", "", "image/png"),
        (files.png() + files.HTML, "polyglot.png", "image/png", "image/png"),
    ],
)
def test_finds_the_type_by_the_bytes(content, name, said, found):
    assert media_type_of(content, name, said) == found


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (files.HTML, "a.png", "image/png"),
        (files.HTML, "a.txt", "text/plain"),
        (b"\n  <svg/>", "a.txt", "text/plain"),
        (files.SVG, "a.svg", "image/svg+xml"),
        (files.ZIP, "a.docx", "application/octet-stream"),
        (files.png(), "a.html", "text/html"),
        (files.png(), "a.png", "text/html"),
        (files.png(), "a.jpg", "image/jpeg"),
        (files.PDF, "a.png", "image/png"),
        (b"MZ\x90\x00" + b"\x00" * 60, "a.exe", ""),
        (b"#!/bin/sh", "a.sh", "text/plain"),
        (b"text", "a.html", "text/html"),
        (b"\xff\xfe\x00bad", "a.txt", "text/plain"),
        (b"a\x00b", "a.txt", "text/plain"),
        (b"{", "a.json", "application/json"),
        (b"", "a.txt", "text/plain"),
        (files.png(100_000, 100_000), "a.png", "image/png"),
        (files.png(15_000, 15_000), "a.png", "image/png"),
        (files.png(0, 5), "a.png", "image/png"),
        (files.png()[:12], "a.png", "image/png"),
    ],
)
def test_refuses(upload, stored, content, name, said):
    answer = upload(content, name, said)

    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "file")
    assert kept(stored) == []


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\a.png", "a.png"),
        ("a\x00.png", "a.png"),
        ("\u202egnp.exe.png", "gnp.exe.png"),
        ("a\nb.png", "a b.png"),
        ("...", "file"),
        ("", "file"),
        ("报告.pdf", "报告.pdf"),
    ],
)
def test_cleans_names(name, clean):
    assert clean_name(name) == clean


def test_cuts_long_names_and_keeps_their_ending():
    name = clean_name("a" * 5000 + ".png")

    assert (len(name), name[-4:]) == (200, ".png")


def test_names_what_is_stored_by_itself(upload, stored, workspace):
    answer = upload(name="../../../evil.png")
    [path] = kept(stored)

    assert answer.json()["name"] == "evil.png"
    assert path.parent == stored / "attachments" / str(workspace.pk)
    assert "evil" not in path.name


def test_answers_what_it_has_kept(upload):
    answer = upload()

    assert answer.status_code == 201
    assert answer.json().keys() == {"id", "name", "media_type", "size", "created_at"}


def test_refuses_what_is_too_large(upload, settings, stored):
    settings.ATTACHMENT_MAX_SIZE = 50

    assert upload().status_code == 413
    assert kept(stored) == []


def test_takes_bodies_that_are_larger_than_others(upload):
    assert upload(b"a" * 3_000_000, "a.txt", "text/plain").status_code == 201


def test_reads_no_body_that_is_larger_still(http, alice, session):
    answer = http(alice).post(
        f"/sessions/{session.pk}/attachments", files={"file": ("a.txt", b"a" * 12_000_000, "text/plain")}
    )

    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "PayloadTooLarge")
    assert "ATTACHMENT_MAX_SIZE" in answer.text


def test_counts_what_a_session_has_in_all(upload, settings, stored):
    settings.ATTACHMENT_SESSION_SIZE = len(files.png()) + 10

    assert [upload().status_code, upload().status_code] == [201, 413]
    assert len(kept(stored)) == 1


@pytest.mark.parametrize("form", [{}, {"other": ("a.png", files.png(), "image/png")}])
def test_wants_one_file(http, alice, session, form):
    answer = http(alice).post(f"/sessions/{session.pk}/attachments", files=form or None, data={"x": "y"})

    assert answer.status_code in (415, 422)


@pytest.mark.parametrize(
    ("who", "code"), [("bob", 404), ("charlie", 404), ("vera", 403), ("audrey", 403), ("olivia", 201)]
)
def test_is_uploaded_by_whoever_may_speak_there(upload, request, who, code):
    assert upload(caller=request.getfixturevalue(who)).status_code == code


@pytest.mark.parametrize("verb", ["save", "open", "delete"])
def test_says_that_the_storage_does_not_answer(upload, http, alice, monkeypatch, verb, stored):
    def fail(*_args, **_kwargs):
        raise OSError("disk on fire")

    key = None if verb == "save" else upload().json()["id"]
    monkeypatch.setattr(FileSystemStorage, verb, fail)
    client = http(alice)
    answer = {
        "save": lambda: upload(),
        "open": lambda: client.get(f"/attachments/{key}/content"),
        "delete": lambda: client.delete(f"/attachments/{key}"),
    }[verb]()

    assert (answer.status_code, "disk" in answer.text) == (503, False)
    assert Attachment.objects.count() == len(kept(stored)) == (0 if verb == "save" else 1)


# read


@pytest.mark.parametrize(
    ("content", "name", "kind", "disposition"),
    [
        (files.png(), "a.png", "image/png", "inline"),
        (files.PDF, "a.pdf", "application/pdf", "attachment"),
        (b"<b>text", "a.txt", "text/plain; charset=utf-8", "attachment"),
    ],
)
def test_gives_a_file_so_that_nothing_in_it_can_act(upload, http, alice, content, name, kind, disposition):
    key = upload(content, name, "").json()["id"]
    answer = http(alice).get(f"/attachments/{key}/content")

    assert (answer.content, answer.headers["content-type"]) == (content, kind)
    assert answer.headers["content-disposition"] == f'{disposition}; filename="{name}"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"].startswith("private")


@pytest.mark.parametrize("path", ["", "/content"])
@pytest.mark.parametrize(("who", "code"), [("alice", 200), ("bob", 404), ("charlie", 404), ("olivia", 200)])
def test_is_read_by_whoever_may_read_the_session(upload, http, request, path, who, code):
    key = upload().json()["id"]

    assert http(request.getfixturevalue(who)).get(f"/attachments/{key}{path}").status_code == code


# deleted


def test_is_withdrawn_while_it_has_not_been_sent(upload, http, alice, stored):
    key = upload().json()["id"]

    assert http(alice).delete(f"/attachments/{key}").status_code == 204
    assert (kept(stored), Attachment.objects.count()) == ([], 0)


def test_goes_after_a_day_if_it_is_never_sent(upload, stored):
    old, _ = upload(), upload()
    long_ago = timezone.now() - timedelta(hours=25)
    Attachment.objects.filter(pk=old.json()["id"]).update(created_at=long_ago)
    attachments.remove_unsent()

    assert len(kept(stored)) == Attachment.objects.count() == 1


# with messages


@pytest.fixture
def seeing(talk):
    """The conversation's agent, whose model takes pictures and files."""
    takes(talk, ["image", "file"])
    return talk


def takes(talk, inputs):
    model = talk.session.agent.model
    ChatModel.objects.filter(pk=model.pk).update(inputs=inputs)
    model.refresh_from_db()
    record(model, None, "updated")


@pytest.fixture
def attach(talk, upload):
    """`attach(content, name)`: the id of a file that is uploaded to the conversation."""

    def post(content=None, name="a.png", said=""):
        return upload(content, name, said, to=talk.session).json()["id"]

    return post


def blocks(talk):
    """What the model was told in the last message of its last call."""
    return talk.endpoint.requests[-1].body["messages"][-1]["content"]


def data_url(content, kind):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def test_the_model_gets_the_picture(seeing, attach):
    seeing.say("What is this?", attachments=[attach()])

    assert blocks(seeing) == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": data_url(files.png(), "image/png")}},
    ]


def test_the_model_gets_the_file(seeing, attach):
    seeing.say("Sum it up", attachments=[attach(files.PDF, "a.pdf")])

    assert blocks(seeing)[1] == {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": data_url(files.PDF, "application/pdf")},
    }


def test_every_model_gets_texts(talk, attach):
    talk.say("Sum it up", attachments=[attach(b"1,2,3", "a.csv")])

    assert "1,2,3" in blocks(talk)[1]["text"]


def test_the_model_gets_the_files_of_earlier_messages(seeing, attach):
    seeing.say("What is this?", attachments=[attach()])
    seeing.say("And now?")

    assert seeing.endpoint.requests[-1].body["messages"][0]["content"][1]["type"] == "image_url"
    assert blocks(seeing) == "And now?"


def test_a_model_that_takes_none_hears_that_there_were_some(seeing, attach):
    seeing.say("What is this?", attachments=[attach()])
    takes(seeing, [])
    seeing.say("And now?")

    assert "does not take image/png" in seeing.endpoint.requests[-1].body["messages"][0]["content"][1]["text"]


def test_keeps_the_bytes_out_of_states_events_and_steps(seeing, attach):
    seeing.say("What is this?", attachments=[attach()])
    needle = base64.b64encode(files.png())[:40]

    for blob in CheckpointBlob.objects.all():
        assert files.png()[:20] not in bytes(blob.blob)
        assert needle not in bytes(blob.blob)
    for table in (Checkpoint, RunEvent, RunStep, Run, Message):
        assert needle.decode() not in str(list(table.objects.values()))


def test_refuses_what_the_model_does_not_take(talk, attach):
    answer = talk.post("chat", {"content": "What is this?", "attachments": [attach()]})

    assert answer.status_code == 422
    assert talk.session.agent.model.name in answer.text
    assert "takes texts" in answer.text
    assert Message.objects.count() == 0


def test_shows_them_with_their_message(seeing, attach):
    key = attach()
    said = seeing.say("What is this?", attachments=[key])

    assert [one["id"] for one in said["message"]["attachments"]] == [key]
    assert [one["id"] for one in seeing.history()[0]["attachments"]] == [key]
    assert seeing.history()[1]["attachments"] == []


@pytest.mark.parametrize("wrong", ["unknown", "other session", "sent", "too many"])
def test_refuses_attachments_that_cannot_be_sent(seeing, attach, upload, session, wrong):
    sent = attach(b"x", "a.txt")
    seeing.say("One", attachments=[sent])
    ids = {
        "unknown": [str(session.pk)],
        "other session": [upload().json()["id"]],
        "sent": [sent],
        "too many": [str(session.pk)[:-2] + f"{number:02}" for number in range(11)],
    }[wrong]
    answer = seeing.post("chat", {"content": "Two", "attachments": ids})

    assert answer.status_code == 422
    assert "attachments" in answer.json()["error"]["details"][0]["field"]


def test_cannot_be_withdrawn_once_it_is_sent(seeing, attach):
    key = attach()
    seeing.say("One", attachments=[key])

    assert seeing.client.delete(f"/attachments/{key}").status_code == 409


def test_regenerating_sends_them_again(seeing, attach):
    seeing.say("What is this?", attachments=[attach()])
    said = seeing.regenerate("What is this?")

    assert len(said["message"]["attachments"]) == 1
    assert blocks(seeing)[1]["type"] == "image_url"


@pytest.mark.parametrize(("given", "count"), [(None, 1), ("none", 0), ("new", 1), ("both", 2)])
def test_editing_keeps_or_replaces_them(seeing, attach, given, count):
    own = attach()
    seeing.say("What is this?", attachments=[own])
    wanted = {"none": lambda: [], "new": lambda: [attach()], "both": lambda: [own, attach()]}
    body = {"attachments": wanted[given]()} if given else {}
    said = seeing.edit("What is this?", "Describe it", **body)

    assert len(said["message"]["attachments"]) == count
    assert len(Message.objects.get(content="What is this?", source="user").attachments.all()) == 1
    assert (len(blocks(seeing)) - 1 if count else 0) == count


def test_a_branched_session_has_copies_that_share_the_file(seeing, attach, stored):
    seeing.say("What is this?", attachments=[attach()])
    answer = seeing.post("branch", {"message_id": seeing.history()[1]["id"]})
    copy = Session.objects.get(pk=answer.json()["id"])
    seeing.client.delete(seeing.path)
    attachments.delete_files([f"attachments/{copy.workspace_id}/{Attachment.objects.get().key}"])
    run_id = seeing.client.post(f"/sessions/{copy.pk}/chat", json={"content": "And now?"}).json()["run_id"]
    seeing.client.get(f"/runs/{run_id}/wait")

    assert len(kept(stored)) == 1
    assert seeing.endpoint.requests[-1].body["messages"][0]["content"][1]["type"] == "image_url"


def test_go_with_their_session(seeing, attach, stored, lent_platform):
    seeing.say("What is this?", attachments=[attach()])
    attach(b"x", "never-sent.txt")
    seeing.client.delete(seeing.path)
    lent_platform.settle()

    assert (kept(stored), Attachment.objects.count()) == ([], 0)


def test_stay_where_the_deletion_is_rolled_back(session, alice, actor, upload, stored, monkeypatch):
    from runs import sessions

    upload()
    monkeypatch.setattr(Checkpoint.objects, "filter", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sessions.delete_session(actor(alice), session)

    assert len(kept(stored)) == Attachment.objects.count() == 1


def test_lists_them_in_one_query(seeing, attach, api, alice, django_assert_max_num_queries):
    for number in range(3):
        seeing.say(str(number), attachments=[attach(b"x", "a.txt"), attach(b"y", "b.txt")])
    with django_assert_max_num_queries(8):
        api(alice).get(f"{seeing.path}/history")


def test_models_say_what_they_take(api, olivia, workspace):
    agent = AgentFactory(workspace=workspace)
    answer = api(olivia).patch(f"/models/{agent.model.pk}", {"inputs": ["image", "file"]})

    assert answer.json()["inputs"] == ["file", "image"]
    assert api(olivia).patch(f"/models/{agent.model.pk}", {"inputs": ["sound"]}).status_code == 422


def test_uses_the_storage_of_the_settings(stored):
    assert default_storage.location == str(stored)
