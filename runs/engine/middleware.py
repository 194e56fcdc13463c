"""Where an agent's graph is watched: around every model call and every tool call.

One instance serves all runs; the run's `Recorder` is the graph's runtime context.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast
from uuid import UUID

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.tracers._streaming import _StreamingCallbackHandler
from langgraph.prebuilt.tool_node import ToolCallRequest

from agents.compiler import CompiledModel
from agents.tools.knowledge import first_number
from runs.engine import attached, model_calls, tool_calls
from runs.engine.answer_cache import AnswerCache
from runs.engine.children import AGENT, Asked
from runs.engine.citations import next_number
from runs.engine.faults import RunFault
from runs.engine.messages import as_json, text_of, thought_of
from runs.engine.recorder import Recorder
from runs.events import EventType
from runs.models import ErrorClass, RunStep


class DeltaHandler(AsyncCallbackHandler, _StreamingCallbackHandler):
    """Hands each piece of a model's stream to the recorder, at once and in order.

    Its second base makes chat models stream. LangGraph's own "messages" stream would put a queue between the
    pieces and the events of their step, which could then overtake them.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    async def on_llm_new_token(
        self,
        token: str | list[str | dict[str, Any]],
        *,
        chunk: GenerationChunk | ChatGenerationChunk | None = None,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(chunk, ChatGenerationChunk):
            return
        message = chunk.message
        thought, text = thought_of(message), text_of(message)
        if thought or text or getattr(message, "tool_call_chunks", None):
            self.recorder.token()
        if thought:
            await self.recorder.delta(EventType.THOUGHT_DELTA, thought)
        if text:
            await self.recorder.delta(EventType.CONTENT_DELTA, text)

    def tap_output_aiter(self, run_id: UUID, output: Any) -> Any:
        return output

    def tap_output_iter(self, run_id: UUID, output: Any) -> Any:
        return output


def require_step(recorder: Recorder) -> None:
    """Raises RunFault where the agent may not call its model again."""
    config = recorder.agent.specification.config
    limit = min(config.max_steps, recorder.run.limits.get("max_steps") or config.max_steps)
    if recorder.model_steps >= limit:
        message = f"The agent has made {limit} model calls without coming to an end (max_steps)."
        raise RunFault(ErrorClass.MAX_STEPS, message)


class RunMiddleware(AgentMiddleware[Any, Any]):
    """Counts an agent's model calls; `model_calls` and `tool_calls` look after each call."""

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse]]
    ) -> ModelResponse:
        recorder = cast(Recorder, request.runtime.context)
        config = recorder.agent.specification.config
        require_step(recorder)
        recorder.model_steps += 1
        step = recorder.enter_step(RunStep.StepType.MODEL, "model")

        async def ask(model: CompiledModel) -> ModelResponse:
            session_id, taken = recorder.run.session_id, model.specification
            messages = await attached.with_files(request.messages, session_id, taken, recorder.files)
            return await handler(request.override(model=model.chat, messages=cast(Any, messages)))

        question = model_calls.Question(
            request.messages,
            config.retries,
            ask,
            lambda response: response.result,
            _cache_for(recorder, request),
        )
        return await model_calls.ask(recorder, step, recorder.agent.models, question)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Any]]
    ) -> ToolMessage | Any:
        recorder = cast(Recorder, request.runtime.context)
        call: tool_calls.Call = {**request.tool_call}
        tool = recorder.agent.specification.tool(call["name"])

        async def carry_out(call: tool_calls.Call) -> ToolMessage | Any:
            if tool and tool.knowledge:
                first_number.set(next_number(request.state["messages"], call["id"]))
            return await handler(request.override(tool_call=cast(ToolCall, call)))

        asked = Asked(AGENT, str(tool.agent)) if tool and tool.agent else None
        step = recorder.enter_step(RunStep.StepType.TOOL, "tools")
        return await tool_calls.make(recorder, step, tool_calls.Deed(tool, call, carry_out, asked))


def _cache_for(recorder: Recorder, request: ModelRequest[Any]) -> AnswerCache[ModelResponse] | None:
    """None for agents that keep no answers, and for runs whose caller has tools of its own."""
    specification = recorder.agent.specification
    if not specification.config.cache_ttl or specification.bindings.tools:
        return None
    asked = [request.system_prompt, [_without_ids(as_json(message)) for message in request.messages]]
    tools = sorted((tool.name, tool.description, str(tool.version_id)) for tool in specification.tools)
    return AnswerCache(
        (str(recorder.run.workspace_id), asked, tools, dict(request.model_settings)),
        specification.config.cache_ttl,
        lambda response: response.result[0],
        lambda message: ModelResponse(result=[message]),
    )


def _without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """Calls and their answers by what they say: their ids are new each time."""
    calls = [(call["name"], call["args"]) for call in message.get("tool_calls", ())]
    return {name: value for name, value in message.items() if name != "tool_call_id"} | {"tool_calls": calls}
