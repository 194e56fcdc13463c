"""Knowledge bases in the admin: made, filled, searched, kept while they are used, and closed to strangers."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from agents.models import Document, KnowledgeBase
from tests.factories import AgentFactory, ChatModelFactory
from tests.runs.admin_support import signed_in

pytestmark = pytest.mark.django_db

LEAVE = "# Leave\n\nEverybody has thirty days of leave a year. <script>alert(1)</script>\n"
VALUES = {"name": "rules", "description": "", "chunk_size": 1000, "chunk_overlap": 150}


def page(base) -> str:
    return reverse("admin:agents_knowledgebase_documents", args=[base.pk])


def test_makes_a_base(olivia, workspace):
    values = {**VALUES, "workspace": workspace.pk}
    answer = signed_in(olivia).post(reverse("admin:agents_knowledgebase_add"), values)
    assert answer.status_code == 302
    assert KnowledgeBase.objects.get().name == "rules"


@pytest.mark.parametrize(
    "values",
    [{"chunk_overlap": 600}, {"chunk_size": 5}, {"embedding_model": "chat"}, {"name": "two words"}],
)
def test_obeys_the_rules_of_the_api(olivia, workspace, values):
    model = ChatModelFactory(workspace=workspace)
    values = {"embedding_model": model.pk} if "embedding_model" in values else values
    answer = signed_in(olivia).post(
        reverse("admin:agents_knowledgebase_add"), {**VALUES, "workspace": workspace.pk, **values}
    )
    assert (answer.status_code, KnowledgeBase.objects.count()) == (200, 0)


def test_uploads_searches_and_deletes(olivia, base, index_all):
    client = signed_in(olivia)
    file = SimpleUploadedFile("leave.md", LEAVE.encode())
    assert client.post(page(base), {"act": "upload", "file": file}).status_code == 302
    index_all()
    shown = client.get(page(base), {"q": "thirty days"}).content.decode()
    assert "thirty days of leave" in shown
    assert "<script>alert(1)" not in shown
    document = Document.objects.get()
    client.post(page(base), {"act": "reindex", "document": str(document.pk)})
    document.refresh_from_db()
    assert document.status == "pending"
    client.post(page(base), {"act": "delete", "document": str(document.pk)})
    assert Document.objects.count() == 0


def test_keeps_a_base_that_an_agent_uses(olivia, workspace, base):
    AgentFactory(workspace=workspace, name="helper", knowledge=["handbook"])
    path = reverse("admin:agents_knowledgebase_delete", args=[base.pk])
    client = signed_in(olivia)
    assert "agent helper" in client.get(path).content.decode()
    client.post(path, {"post": "yes"})
    assert KnowledgeBase.objects.count() == 1


def test_is_read_only_to_viewers_and_closed_to_strangers(vera, charlie, base):
    viewer = signed_in(vera)
    assert 'value="upload"' not in viewer.get(page(base)).content.decode()
    assert viewer.post(page(base), {"act": "reindex"}).status_code == 403
    assert signed_in(charlie).get(page(base)).status_code == 404


def test_an_agents_form_takes_names_of_bases(olivia, workspace, base):
    agent = AgentFactory(workspace=workspace, name="helper", knowledge=["handbook"])
    path = reverse("admin:agents_agent_change", args=[agent.pk])
    shown = signed_in(olivia).get(path).content.decode()
    assert 'value="handbook"' in shown
