"""An agent's long-term memory in its graph: what the model is told, and the tools by which it saves, finds and forgets.

The tools work on the graph's store, which is the run's own view. They are called like all others: claimed, made and
recorded once. Saving under the key of the call, and forgetting, may be repeated after a crash.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore, SearchItem

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.ids import uuid7
from agents.tools.base import ToolFault
from agents.tools.call import call_key
from agents.tools.schemas import check_arguments
from runs.engine.recorder import Recorder
from runs.memory.owners import owner_of
from runs.memory.prompt import prompt_of
from runs.memory.rows import NAMESPACE

FOUND = 10
Schema = dict[str, Any]
Body = Callable[..., Awaitable[Any]]


class Remembering(AgentMiddleware[Any, Any]):
    """Shows the model what is remembered, and offers the tools but those `taken` by tools of the agent's own."""

    def __init__(self, taken: set[str]) -> None:
        super().__init__()
        self.tools = [tool for tool in _tools if tool.name not in taken]

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        told = await _told(cast(Recorder, request.runtime.context))
        whole = "\n\n".join(filter(None, (request.system_prompt, told)))
        return await handler(request.override(system_message=SystemMessage(whole)))


async def _told(recorder: Recorder) -> str:
    """Read once in an attempt: a prompt that stays the same is cheaper, and what is new stands in the messages."""
    if recorder.memories is None:
        owner = owner_of(recorder.run, recorder.agent.specification.long_term)
        query = recorder.run.input_query
        recorder.memories = await in_thread(prompt_of, owner, query) if owner else ""
    return recorder.memories


def _store() -> BaseStore:
    if (store := get_runtime().store) is None:
        raise ToolFault("Nothing can be remembered: the account that has started this run is gone.")
    return store


async def _save(content: str, topic: str = "") -> dict[str, Any]:
    key = call_key.get() or str(uuid7())
    await _store().aput(NAMESPACE, key, {"content": content, **({"topic": topic} if topic else {})})
    return {"saved": key}


async def _search(query: str) -> dict[str, Any]:
    found = await _store().asearch(NAMESPACE, query=query, limit=FOUND)
    return {"memories": [_shown(item) for item in found]}


async def _forget(id: str) -> dict[str, Any]:
    await _store().adelete(NAMESPACE, id)
    return {"forgotten": id}


def _shown(item: SearchItem) -> dict[str, Any]:
    return {"id": item.key, "saved": item.updated_at.date().isoformat(), **item.value}


def _tool(name: str, description: str, properties: Schema, required: list[str], body: Body) -> BaseTool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }

    async def run(**arguments: Any) -> tuple[str, Any]:
        check_arguments(schema, arguments)
        try:
            result = await body(**arguments)
        except PlatformError as error:
            raise ToolFault(error.message) from error
        return json.dumps(result, ensure_ascii=False), result

    return StructuredTool.from_function(
        coroutine=run,
        name=name,
        description=description,
        args_schema=schema,
        infer_schema=False,
        response_format="content_and_artifact",
    )


def _text(longest: int, description: str) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest, "description": description}


_tools = [
    _tool(
        "save_memory",
        "Remembers a fact or a wish of the user for later conversations.",
        {
            "content": _text(4000, "One fact, as a whole sentence that is understood by itself."),
            "topic": _text(100, "A word or two that say what it is about."),
        },
        ["content"],
        _save,
    ),
    _tool(
        "search_memory",
        "Finds what you remember about the user by the words in it.",
        {"query": _text(200, "Words that stand in it.")},
        ["query"],
        _search,
    ),
    _tool(
        "forget_memory",
        "Forgets one thing that you remember, because it is wrong, or because the user wants it.",
        {"id": _text(200, "The id of the memory.")},
        ["id"],
        _forget,
    ),
]
