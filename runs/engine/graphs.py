"""What runs are compiled to: the graph of an agent or a workflow, kept for the next run of the same versions."""

from __future__ import annotations

import asyncio
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from langchain.agents.middleware import AgentMiddleware

from agentplatform.lib.concurrency import in_thread
from agents.compiler import CompiledAgent, compile_agent
from agents.pinned import load, secret_values
from agents.specification import AgentSpecification
from agents.workflows.compiler import CompiledWorkflow, compile_workflow
from agents.workflows.specification import WorkflowSpecification, load_workflow
from runs.engine.middleware import RunMiddleware
from runs.engine.nodes import NodeEffects
from runs.engine.recorder import Recorder
from runs.engine.remembering import Remembering
from runs.engine.summaries import summarize
from runs.models import Run

Compiled = CompiledAgent | CompiledWorkflow
Specification = AgentSpecification | WorkflowSpecification
Key = tuple[Any, ...]


class Graphs:
    """Shared by all runs of a worker. The least recently used go first."""

    def __init__(self) -> None:
        self._middleware = RunMiddleware()
        self._kept: OrderedDict[Key, Compiled] = OrderedDict()
        self._under_way: dict[Key, asyncio.Task[Compiled]] = {}

    async def of(self, run: Run) -> Compiled:
        """The run's graph. Versions are immutable, so what is kept is never stale. Raises InvalidConfig."""
        changes = orjson.dumps([run.config, run.overrides], option=orjson.OPT_SORT_KEYS)
        key = (run.agent_version_id or run.workflow_version_id, tuple(run.pins), changes)
        if kept := self._kept.get(key):
            self._kept.move_to_end(key)
            return kept
        if (task := self._under_way.get(key)) is None:
            task = self._under_way[key] = asyncio.create_task(self._make(run, key))
        # Others may wait for it, so it goes on where this run is cancelled.
        return await asyncio.shield(task)

    async def _make(self, run: Run, key: Key) -> Compiled:
        try:
            specification, secrets = await in_thread(_load, run)
            if isinstance(specification, WorkflowSpecification):
                # A large one takes a second, for which no other run should wait.
                compiled: Compiled = await asyncio.to_thread(self._compile, specification, secrets)
            else:
                compiled = self._compile(specification, secrets)
        finally:
            del self._under_way[key]
        self._kept[key] = compiled
        if len(self._kept) > settings.AGENT_RUNNER_POOL_SIZE:
            self._kept.popitem(last=False)
        return compiled

    def _compile(self, specification: Specification, secrets: Mapping[uuid.UUID, str]) -> Compiled:
        if isinstance(specification, WorkflowSpecification):
            return compile_workflow(specification, secrets, NodeEffects(secrets), context_schema=Recorder)
        middleware: list[AgentMiddleware[Any, Any]] = [self._middleware]
        if specification.long_term:
            # Around the calls that are recorded: the cache of answers has to know what was remembered.
            middleware.insert(0, Remembering({tool.name for tool in specification.tools}))
        return compile_agent(
            specification,
            secrets,
            middleware=middleware,
            context_schema=Recorder,
            summarizer=summarize,
        )


def _load(run: Run) -> tuple[Specification, Mapping[uuid.UUID, str]]:
    specification: Specification
    if run.workflow_version_id:
        specification = load_workflow(run.workflow_version_id, run.pins, run.config)
    else:
        assert run.agent_version_id is not None
        specification = load(run.agent_version_id, run.pins, run.config, run.overrides)
    return specification, secret_values(run.workspace_id, specification.secret_ids)
