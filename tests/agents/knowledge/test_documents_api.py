"""Documents over the API: uploaded, replaced, searched, deleted."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile

from agents.knowledge import documents, indexing
from agents.models import Chunk, Document, KnowledgeBase
from tests.factories import AgentFactory, DocumentFactory, KnowledgeBaseFactory, KnowledgeToolFactory

pytestmark = pytest.mark.django_db

LEAVE = (
    "# Leave\n\nEverybody has thirty days of leave a year.\n\n# Sickness\n\nCall in before nine o'clock.\n"
)


@pytest.fixture
def client(api, olivia):
    return api(olivia)


def upload(client, base, name="leave.md", data: bytes | str = LEAVE, **form):
    file = SimpleUploadedFile(name, data.encode() if isinstance(data, str) else data)
    return client.post(f"/knowledge-bases/{base.name}/documents", {"file": file, **form}, format="multipart")


def stored_files() -> list[str]:
    found, pending = [], ["knowledge"]
    while pending:
        folder = pending.pop()
        folders, files = default_storage.listdir(folder) if default_storage.exists(folder) else ([], [])
        pending += [f"{folder}/{name}" for name in folders]
        found += [f"{folder}/{name}" for name in files]
    return found


def found(client, base, question, **more):
    answer = client.get(f"/knowledge-bases/{base.name}/search", {"q": question, **more})
    assert answer.status_code == 200, answer.json()
    return answer.json()["items"]


def test_takes_a_file_and_indexes_it(client, base, index_all):
    answer = upload(client, base)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    index_all()
    document = client.get(f"/knowledge-bases/handbook/documents/{answer.json()['id']}").json()
    assert (document["status"], document["progress"], document["chunk_count"]) == ("ready", 1.0, 2)
    assert (document["media_type"], document["size"]) == ("text/markdown", len(LEAVE))


def test_takes_a_text_as_json(client, base, index_all):
    body = {"name": "leave.md", "content": LEAVE}
    assert client.post("/knowledge-bases/handbook/documents", body).status_code == 202
    index_all()
    assert len(found(client, base, "thirty days")) == 1


def test_finds_a_passage_with_its_place(client, base, add):
    document = add(base, "leave.md", LEAVE)
    [item] = found(client, base, "How many days of leave are there?")
    assert (item["document"], item["document_id"]) == ("leave.md", str(document.pk))
    assert item["place"] == {"heading": "Leave", "lines": [3, 3]}
    assert item["text"] == "Everybody has thirty days of leave a year."
    shown = item["highlight"]
    assert {shown["text"][one:other] for one, other in shown["matches"]} == {"days", "leave"}


def test_finds_chinese_by_parts_of_its_words(client, base, add):
    add(base, "休假.md", "# 休假制度\n\n每位员工每年有三十天的带薪休假。\n\n# 办公时间\n\n九点上班。\n")
    assert found(client, base, "带薪休假有多少天？")[0]["place"]["heading"] == "休假制度"
    assert found(client, base, "员工")[0]["text"] == "每位员工每年有三十天的带薪休假。"


def test_says_nothing_to_words_that_nobody_has(client, base, add):
    add(base, "leave.md", LEAVE)
    assert found(client, base, "xylophone") == []
    assert found(client, base, "the of and") == []


def test_replaces_a_document_of_the_same_name(client, base, add):
    first = add(base, "leave.md", LEAVE)
    second = add(base, "leave.md", "# Leave\n\nEverybody has forty days.")
    assert (first.pk, second.chunk_count) == (second.pk, 1)
    assert Chunk.objects.count() == 1
    assert found(client, base, "thirty") == []
    assert len(stored_files()) == 1


def test_finds_the_old_version_until_the_new_one_is_ready(client, base, add):
    add(base, "leave.md", LEAVE)
    documents.add(base, "leave.md", ContentFile(b"# Leave\n\nForty."), None)
    assert client.get("/knowledge-bases/handbook/documents/leave.md").json()["status"] == "pending"
    assert len(found(client, base, "thirty days")) == 1


def test_keeps_the_old_version_where_the_new_one_cannot_be_read(client, base, add):
    add(base, "leave.md", LEAVE)
    failed = add(base, "leave.md", b"%PDF-1.7 nothing")
    assert (failed.status, "damaged" in failed.error) == ("failed", True)
    assert len(found(client, base, "thirty days")) == 1


def test_deletes_a_document_with_all_that_it_has(client, base, add, django_capture_on_commit_callbacks):
    add(base, "leave.md", LEAVE)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.delete("/knowledge-bases/handbook/documents/leave.md").status_code == 204
    assert (Document.objects.count(), Chunk.objects.count(), stored_files()) == (0, 0, [])


def test_deletes_a_base_with_all_that_it_has(client, base, add, django_capture_on_commit_callbacks):
    add(base, "leave.md", LEAVE)
    with django_capture_on_commit_callbacks(execute=True):
        assert client.delete("/knowledge-bases/handbook").status_code == 204
    assert (Document.objects.count(), Chunk.objects.count(), stored_files()) == (0, 0, [])


@pytest.mark.parametrize("user", ["agent", "tool"])
def test_keeps_a_base_that_is_used(client, workspace, base, user):
    if user == "agent":
        AgentFactory(workspace=workspace, name="helper", knowledge=["handbook"])
    else:
        KnowledgeToolFactory(workspace=workspace, name="helper", knowledge_base=base)
    refused = client.delete("/knowledge-bases/handbook")
    assert (refused.status_code, refused.json()["error"]["details"]) == (
        409,
        {"used_by": [f"{user} helper"]},
    )


def test_keeps_the_name_of_a_base_that_an_agent_names(client, workspace, base):
    AgentFactory(workspace=workspace, name="helper", knowledge=["handbook"])
    assert client.patch("/knowledge-bases/handbook", {"name": "rules"}).status_code == 409
    assert client.patch("/knowledge-bases/handbook", {"description": "Rules"}).status_code == 200


def test_indexes_again_when_chunks_are_to_be_others(client, base, add):
    document = add(base, "leave.md", LEAVE)
    client.patch("/knowledge-bases/handbook", {"chunk_size": 500})
    document.refresh_from_db()
    assert document.status == "pending"


def test_lists_bases_with_their_counts_in_few_queries(
    client, workspace, base, add, django_assert_max_num_queries
):
    add(base, "leave.md", LEAVE)
    for number in range(5):
        DocumentFactory(knowledge_base=KnowledgeBaseFactory(workspace=workspace, name=f"b{number}"))
    with django_assert_max_num_queries(6):
        items = client.get("/knowledge-bases?search=handbook").json()["items"]
    assert [(item["document_count"], item["chunk_count"]) for item in items] == [(1, 2)]


# --- what is refused ---


def error_of(answer) -> tuple[int, str]:
    error = answer.json()["error"]
    details = error.get("details") or [{}]
    return answer.status_code, details[0].get("field", "") if isinstance(details, list) else ""


def test_refuses_a_file_that_is_too_large(client, base, settings):
    settings.DOCUMENT_MAX_SIZE = 100
    answer = upload(client, base, data="x" * 101)
    assert answer.status_code == 413
    assert "DOCUMENT_MAX_SIZE" in answer.json()["error"]["message"]
    assert stored_files() == []


def test_takes_files_that_are_larger_than_other_bodies(client, base, settings):
    settings.MAX_REQUEST_BYTES = 1_000
    assert upload(client, base, data="word " * 1_000).status_code == 202
    body = {"name": "a.txt", "content": "word " * 1_000}
    assert client.post("/knowledge-bases/handbook/documents", body).status_code == 413


@pytest.mark.parametrize(
    ("data", "field"), [(b"", "file"), (b"\x89PNG\r\n\x1a\n\0\0\0", "file"), (b"PK\x03\x04zip", "file")]
)
def test_refuses_a_file_of_another_kind(client, base, data, field):
    assert error_of(upload(client, base, name="report.pdf", data=data)) == (422, field)


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "x" * 256, "safe\u202egpj.exe", "   "])
def test_refuses_names_that_are_none(client, base, name):
    body = {"name": name, "content": LEAVE}
    assert error_of(client.post("/knowledge-bases/handbook/documents", body)) == (422, "name")


def test_never_uses_a_name_as_a_path(client, base, index_all):
    body = {"name": "../../../escape.md", "content": LEAVE}
    assert client.post("/knowledge-bases/handbook/documents", body).status_code == 202
    [file] = stored_files()
    assert "escape" not in file


def test_wants_either_a_file_or_a_text(client, base):
    assert error_of(client.post("/knowledge-bases/handbook/documents", {"name": "a"})) == (422, "file")
    assert error_of(client.post("/knowledge-bases/handbook/documents", {"content": "a"})) == (422, "name")


def test_limits_the_number_of_documents(client, base, settings):
    settings.DOCUMENTS_PER_BASE = 1
    assert upload(client, base).status_code == 202
    assert upload(client, base, name="other.md").status_code == 409
    assert upload(client, base).status_code == 202


@pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "x" * 1001}, {"q": "x", "limit": 51}])
def test_refuses_a_search_without_sense(client, base, query):
    assert client.get("/knowledge-bases/handbook/search", query).status_code == 422


def test_finds_what_looks_like_sql_or_a_query(client, base, add):
    add(base, "odd.md", "It's a test & more | or \\ less: 'quoted' (terms) ! <-> *")
    assert found(client, base, "test' & ! ( ) :* \\ | 'quoted") != []


# --- who may ---


def test_users_and_viewers_read_and_do_not_write(api, base, bob, vera, audrey):
    for user in (bob, vera):
        assert api(user).get("/knowledge-bases/handbook/search", {"q": "leave"}).status_code == 200
        assert upload(api(user), base).status_code == 403
    assert api(audrey).get("/knowledge-bases").status_code == 403


def test_is_nothing_to_another_workspace(api, base, charlie, add):
    document = add(base, "leave.md", LEAVE)
    stranger = api(charlie)
    for path in (str(base.pk), f"{base.pk}/documents", f"{base.pk}/documents/{document.pk}"):
        assert stranger.get(f"/knowledge-bases/{path}").status_code == 404
    own = KnowledgeBaseFactory(workspace=charlie.memberships.get().workspace, name="handbook")
    assert found(stranger, own, "thirty days") == []
    path = f"/knowledge-bases/{own.pk}/documents/{document.pk}"
    assert stranger.delete(path).status_code == 404


def test_takes_both_shapes_of_the_path(client, base):
    assert client.get("/api/knowledge-bases/handbook/documents/").status_code == 200


def test_the_search_of_many_bases_leaves_foreign_ones_out(workspace, other_workspace, base, add):
    from agents.knowledge.search import search

    foreign = KnowledgeBaseFactory(workspace=other_workspace)
    add(foreign, "leave.md", LEAVE)
    assert search(workspace.pk, [base.pk, foreign.pk], "thirty days", 5).passages == []


def test_all_of_a_bases_documents_can_be_indexed_again(client, base, add):
    add(base, "leave.md", LEAVE)
    assert client.post("/knowledge-bases/handbook/reindex").status_code == 202
    assert set(Document.objects.values_list("status", flat=True)) == {"pending"}


def test_a_job_that_was_lost_is_found_by_the_sweep(base, monkeypatch):
    woken = []
    monkeypatch.setattr(indexing.backlog, "wake", lambda: woken.append(1))
    monkeypatch.setattr(indexing.backlog, "_woken_at", -1e9)
    DocumentFactory(knowledge_base=base, status="pending", due_at="2026-01-01T00:00:00Z")
    indexing.backlog.wake_overdue()
    indexing.backlog.wake_overdue()
    assert woken == [1]
    assert KnowledgeBase.objects.count() == 1
