"""The checkpoint saver keeps LangGraph's contract."""

from __future__ import annotations

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from runs.engine.checkpointer import CheckpointSaver
from runs.engine.journal import Journal


@pytest.mark.django_db(transaction=True)
async def test_passes_the_whole_conformance_suite():
    @checkpointer_test(name="CheckpointSaver")
    async def saver():
        journal = Journal(publish=lambda run_id, events: None)
        yield CheckpointSaver(journal)
        await journal.stop()

    report = await validate(saver)

    assert report.passed_all(), report.to_dict()
