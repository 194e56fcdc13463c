"""A chat model that needs no key: it streams scripted answers word by word, and really calls tools."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agents.providers.demo_json import filled, schema_in
from agents.providers.demo_script import Reply, reply
from agents.specification import ModelSpecification

DEFAULT_DELAY_MS = 15.0
WORDS = re.compile(r"\s*\S+\s*?(?=\s|$)|\s+")


class DemoChatModel(BaseChatModel):
    """Answers by rules (`demo_script`), always the same to the same; `delay_ms` passes between words."""

    model: str = "demo"
    delay_ms: float = DEFAULT_DELAY_MS

    @property
    def _llm_type(self) -> str:
        return "demo"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model}

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = _answer(messages, kwargs.get("tools") or [])
        message = AIMessage(
            content=answer.text,
            tool_calls=[
                ToolCall(name=call.name, args=call.arguments, id=_call_id(messages, index))
                for index, call in enumerate(answer.calls)
            ],
            usage_metadata=_usage(messages, answer),
            response_metadata=self._finish(answer),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, **kwargs):
            time.sleep(self.delay_ms / 1000)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks(messages, **kwargs):
            if self.delay_ms:
                await asyncio.sleep(self.delay_ms / 1000)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _chunks(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        answer = _answer(messages, kwargs.get("tools") or [])
        for word in WORDS.findall(answer.text):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        for index, call in enumerate(answer.calls):
            arguments = json.dumps(call.arguments, ensure_ascii=False)
            piece = tool_call_chunk(name=call.name, args=arguments, id=_call_id(messages, index), index=index)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[piece]))
        yield self._last_chunk(messages, answer)

    def _last_chunk(self, messages: list[BaseMessage], answer: Reply) -> ChatGenerationChunk:
        last = AIMessageChunk(content="", usage_metadata=_usage(messages, answer), chunk_position="last")
        return ChatGenerationChunk(message=last, generation_info=self._finish(answer))

    def _finish(self, answer: Reply) -> dict[str, Any]:
        return {"finish_reason": "tool_calls" if answer.calls else "stop", "model_name": self.model}


def _call_id(messages: Sequence[BaseMessage], index: int) -> str:
    """Unique in a conversation, because the number of messages grows, and always the same."""
    return f"call_{len(messages)}_{index}"


def _answer(messages: Sequence[BaseMessage], tools: Sequence[dict[str, Any]]) -> Reply:
    questions = [message for message in messages if isinstance(message, HumanMessage)]
    question = questions[-1].text if questions else ""
    instructions = "\n".join(message.text for message in messages if isinstance(message, SystemMessage))
    if (schema := schema_in(instructions)) is not None:
        return Reply(filled(schema, question))
    offered = {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}
    return reply(question, _results(messages), offered, turn=len(questions))


def _results(messages: Sequence[BaseMessage]) -> list[tuple[str, str]]:
    """The tools' answers at the conversation's end, in their order."""
    results: list[tuple[str, str]] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.insert(0, (message.name or "tool", message.text))
    return results


def _usage(messages: Sequence[BaseMessage], answer: Reply) -> UsageMetadata:
    """Counted as models do on average: four characters make a token."""
    read = sum(_tokens(message.text) for message in messages)
    written = _tokens(answer.text) + sum(_tokens(json.dumps(call.arguments)) + 4 for call in answer.calls)
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


def _tokens(text: str) -> int:
    return -(-len(text) // 4)


def make(spec: ModelSpecification, api_key: str) -> DemoChatModel:
    return DemoChatModel(model=spec.model, delay_ms=spec.parameters.get("delay_ms", DEFAULT_DELAY_MS))
