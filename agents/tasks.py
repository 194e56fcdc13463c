"""The jobs of this room."""

from __future__ import annotations

import uuid

from agentplatform.lib import queue
from agents.knowledge import indexing


@queue.task(name=indexing.INDEX, queue=indexing.QUEUE)
async def index_documents() -> None:
    """Indexes the documents that wait for it."""
    await indexing.work()


@queue.task(name=indexing.MAKE_VECTOR_INDEX, queue=indexing.QUEUE)
async def make_vector_index(base_id: str, space: str) -> None:
    """Makes the index of a knowledge base that has become large."""
    await indexing.make_vector_index(uuid.UUID(base_id), uuid.UUID(space))
