"""The only module that builds graphs: an agent's specification becomes a LangGraph graph."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelRequest,
    ModelResponse,
    SummarizationMiddleware,
)
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph

from agents.caller_tools import CallerTools
from agents.providers.base import make
from agents.specification import AgentSpecification, ModelSpecification, ToolSpecification
from agents.tools.call import arguments_schema, call, call_key
from agents.tools.knowledge import CITING

Secrets = Mapping[uuid.UUID, str]


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A chat model ready to be called, with what it was made of."""

    specification: ModelSpecification
    chat: BaseChatModel


@dataclass(frozen=True, slots=True)
class CompiledAgent:
    """An agent's graph. `models` are the agent's own model and then its fallbacks, in order."""

    specification: AgentSpecification
    graph: CompiledStateGraph[Any, Any, Any, Any]
    models: tuple[CompiledModel, ...]
    writers: tuple[CompiledModel, ...] = ()
    """Who writes summaries: the model that was chosen for it, and then the agent's."""


Summarizer = Callable[[list[AnyMessage]], Coroutine[Any, Any, str]]
"""Makes one text of messages."""


def compile_agent(
    specification: AgentSpecification,
    secrets: Secrets,
    *,
    middleware: Sequence[AgentMiddleware[Any, Any]] = (),
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    context_schema: type[Any] | None = None,
    summarizer: Summarizer | None = None,
) -> CompiledAgent:
    """Builds the agent's graph. `secrets` are the plain values of `specification.secret_ids`.

    `summarizer` is needed by agents that summarize. Tools that `middleware` brings along give way to the agent's own.
    Raises InvalidConfig where a provider or function is unknown. The result holds no state of a run and
    serves any number of them at once.
    """
    models = tuple(
        CompiledModel(model, make_chat(model, secrets))
        for model in (specification.model, *specification.fallbacks)
    )
    shortening = _shortening(specification, models, summarizer)
    chosen = specification.summarize.model if specification.summarize else None
    writers = (CompiledModel(chosen, make_chat(chosen, secrets)), *models) if chosen else models
    # Innermost, so that what is recorded of the model's answer is what becomes of it.
    callers = [CallerTools(specification.bindings)] if specification.bindings.tools else []
    graph = create_agent(
        models[0].chat,
        tools=[_tool(tool, secrets) for tool in specification.tools],
        system_prompt=_system_prompt(specification) or None,
        middleware=[*shortening, *middleware, *callers],
        checkpointer=checkpointer,
        context_schema=context_schema,
        name=specification.name,
    )
    return CompiledAgent(specification, graph, models, writers)


def _shortening(
    specification: AgentSpecification, models: Sequence[CompiledModel], summarizer: Summarizer | None
) -> list[AgentMiddleware[Any, Any]]:
    """What keeps a conversation from growing for ever, in the eyes of the model."""
    if specification.memory_window:
        return [MemoryWindow(specification.memory_window)]
    if (policy := specification.summarize) is None:
        return []
    assert summarizer
    triggers: list[Any] = []
    if policy.trigger_tokens:
        triggers.append(("tokens", policy.trigger_tokens))
    if policy.trigger_messages:
        triggers.append(("messages", policy.trigger_messages))
    return [
        SummarizationMiddleware(
            models[0].chat,
            trigger=triggers,
            keep=("messages", policy.keep_messages),
            # LangChain would leave out what is older than 4,000 tokens.
            trim_tokens_to_summarize=None,
            summarizer=summarizer,
        )
    ]


def _system_prompt(specification: AgentSpecification) -> str:
    """The agent's own; one that searches knowledge bases is told how to cite."""
    said = [specification.system_prompt, CITING if specification.has_knowledge else ""]
    return "\n\n".join(part for part in said if part)


def make_chat(model: ModelSpecification, secrets: Secrets) -> BaseChatModel:
    """The client of a model, with its key."""
    return make(model, secrets.get(model.secret, "") if model.secret else "")


def _tool(tool: ToolSpecification, secrets: Secrets) -> BaseTool:
    async def run(**arguments: Any) -> tuple[str, Any]:
        result = await call(tool, arguments, secrets, call_key.get())
        return result.text, result.content

    return StructuredTool.from_function(
        coroutine=run,
        name=tool.name,
        description=tool.description or tool.name,
        args_schema=dict(arguments_schema(tool)),
        infer_schema=False,
        response_format="content_and_artifact",
    )


class MemoryWindow(AgentMiddleware[Any, Any]):
    """Shows the model the last messages only; what is stored stays whole."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Any) -> ModelResponse:
        return await handler(request.override(messages=cast(Any, self.trim(request.messages))))

    def trim(self, messages: Sequence[BaseMessage]) -> list[BaseMessage]:
        """The last `size` messages, and as many more as it takes not to begin with a tool's answer."""
        start = max(0, len(messages) - self.size)
        while start > 0 and isinstance(messages[start], ToolMessage):
            start -= 1
        return list(messages[start:])
