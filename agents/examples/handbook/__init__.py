"""A small handbook of an invented company: the demo workspace's knowledge base, and the agent that answers from it."""

from __future__ import annotations

from pathlib import Path

from django.core.files.base import ContentFile

from accounts.models import Workspace
from agents.knowledge import documents
from agents.models import KnowledgeBase

BASE = "handbook"
BASE_DESCRIPTION = (
    "The handbook of Harbour & Hill, a company that does not exist: leave, expenses, working from home."
)
NAME = "handbook-assistant"
DESCRIPTION = "Answers questions about the handbook of an invented company, and cites where it says so."
SYSTEM_PROMPT = (
    "You answer questions of people who work at Harbour & Hill, from their handbook and from nothing else."
)


def create(workspace: Workspace) -> KnowledgeBase:
    """The base with its documents, which a worker then indexes."""
    base = KnowledgeBase(workspace=workspace)
    documents.save_base(base, {"name": BASE, "description": BASE_DESCRIPTION}, None)
    for source in sorted(Path(__file__).parent.glob("*.md")):
        documents.add(base, source.name, ContentFile(source.read_bytes()), None)
    return base
