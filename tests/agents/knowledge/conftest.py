"""A knowledge base whose documents are indexed in the test's own thread."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.files.storage import storages

from agents.knowledge import documents, indexing
from agents.models import Document, KnowledgeBase
from tests.factories import ChatModelFactory, KnowledgeBaseFactory


@pytest.fixture(autouse=True)
def _own_storage(settings, tmp_path):
    """Files of one test are not another's."""
    options = {**settings.STORAGES["default"]["OPTIONS"], "location": tmp_path / "files"}
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {**settings.STORAGES["default"], "OPTIONS": options},
    }
    storages._storages.clear()
    yield
    storages._storages.clear()


@pytest.fixture
def base(workspace) -> KnowledgeBase:
    return KnowledgeBaseFactory(workspace=workspace, name="handbook")


@pytest.fixture
def index_all(one_thread) -> Callable[[], None]:
    """Does what a worker does when it is woken."""
    return async_to_sync(indexing.work)


@pytest.fixture
def add(index_all) -> Callable[..., Document]:
    """`add(base, "leave.md", "# Leave …")`: a document that has been indexed, or has failed."""

    def make(base: KnowledgeBase, name: str, content: str | bytes, actor=None) -> Document:
        data = content.encode() if isinstance(content, str) else content
        document = documents.add(base, name, ContentFile(data), actor)
        index_all()
        document.refresh_from_db()
        return document

    return make


@pytest.fixture
def embedding_model(workspace, model_endpoint) -> Callable[..., object]:
    """`embedding_model("embed-8")`: a model at the fake endpoint whose vectors have 8 dimensions."""

    def make(behaviour: str = "embed-8", **values):
        return ChatModelFactory(
            **{
                "workspace": workspace,
                "name": "embedder",
                "provider": "openai",
                "purpose": "embedding",
                "model": behaviour,
                "base_url": model_endpoint.base_url,
                **values,
            }
        )

    return make
