"""A knowledge base of this project's own documents answers questions about the project."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile

from agents.knowledge import documents
from agents.knowledge.search import search
from agents.models import ChunkVector, Document
from agents.providers import local_embeddings
from tests.agents.knowledge.questions import LOOKED_AT, QUESTIONS, SOURCES, rank_of
from tests.factories import ChatModelFactory

pytestmark = pytest.mark.django_db


def misses(base) -> dict[str, int]:
    """The questions whose right passage is not among the first, and where it is."""
    ranks = {
        question: rank_of(search(base.workspace_id, [base.pk], question, 10).passages, answers)
        for question, answers in QUESTIONS
    }
    return {question: rank for question, rank in ranks.items() if not 0 < rank <= LOOKED_AT}


@pytest.fixture
def filled(base, index_all):
    """`filled()`: the base with all documents indexed."""

    def fill():
        for source in SOURCES:
            documents.add(base, source.name, ContentFile(source.read_bytes()), None)
        index_all()
        assert set(base.documents.values_list("status", flat=True)) == {Document.Status.READY}
        return base

    return fill


def test_finds_eighteen_of_twenty_by_words(filled):
    missed = misses(filled())
    print("missed by words:", missed)
    assert len(missed) <= 2


@pytest.mark.slow
@pytest.mark.skipif(
    bool(local_embeddings.missing()), reason="the extra for local embeddings is not installed"
)
def test_finds_eighteen_of_twenty_with_a_local_embedding_model(base, workspace, filled):
    base.embedding_model = ChatModelFactory(
        workspace=workspace, provider="local", model=local_embeddings.MODEL, purpose="embedding"
    )
    documents.save_base(base, {"embedding_model": base.embedding_model}, None)
    filled()
    assert ChunkVector.objects.filter(knowledge_base_id=base.pk).count() > 100
    missed = misses(base)
    print("missed with vectors:", missed)
    assert len(missed) <= 2
