"""The checkpoint saver keeps LangGraph's contract."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from agentplatform.lib.concurrency import in_thread
from runs.engine.checkpointer import CheckpointSaver
from runs.engine.journal import Journal
from tests.factories import CheckpointFactory, RunFactory


@pytest.mark.django_db(transaction=True)
async def test_passes_the_whole_conformance_suite():
    @checkpointer_test(name="CheckpointSaver")
    async def saver():
        journal = Journal(publish=lambda run_id, events: None)
        yield CheckpointSaver(journal)
        await journal.stop()

    report = await validate(saver)

    assert report.passed_all(), report.to_dict()


@pytest.mark.django_db(transaction=True)
async def test_reads_no_persons_own_checkpoint(close_connections):
    run = await in_thread(RunFactory)
    automatic = await in_thread(CheckpointFactory, run=run)
    await in_thread(CheckpointFactory, run=run, manual=True)
    journal = Journal(publish=lambda run_id, events: None)
    saver = CheckpointSaver(journal)
    place = {"configurable": {"thread_id": run.thread_id}}

    head = await saver.aget_tuple(place)
    listed = [found.checkpoint["id"] async for found in saver.alist(place)]
    await journal.stop()
    assert (head.checkpoint["id"], listed) == (automatic.checkpoint_id, [automatic.checkpoint_id])
