"""LangChain's messages as the platform shows and stores them."""

from __future__ import annotations

import hashlib
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from runs.models import ToolCall

# Characters of a call's id that rows keep.
LONGEST_KEY = 200
# Where a message of a user has the references to its files: providers get none of it.
ATTACHMENTS = "attachments"

role_by_type = {
    "human": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "system": "system",
    "tool": "tool",
}
message_by_role: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "system": SystemMessage,
}


finish_by_word = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
}


def text_of(message: BaseMessage) -> str:
    """The plain text of a message or of a piece of one."""
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(
        block if isinstance(block, str) else block.get("text", "")
        for block in content
        if isinstance(block, str) or block.get("type") in ("text", "text_delta")
    )


def thought_of(message: BaseMessage) -> str:
    """The model's reasoning, as far as the provider shows it."""
    if isinstance(message.content, list):
        parts = [block for block in message.content if isinstance(block, dict)]
        return "".join(str(part.get("thinking") or part.get("reasoning") or "") for part in parts)
    return str(message.additional_kwargs.get("reasoning_content") or "")


def finish_reason(message: AIMessage) -> str:
    """Why the model has come to its end: `stop`, `tool_calls`, `length` (its limit of tokens) or `content_filter`."""
    said = message.response_metadata
    word = str(said.get("finish_reason") or said.get("stop_reason") or "").lower()
    return "tool_calls" if message.tool_calls else finish_by_word.get(word, "stop")


def content_of(message: ToolMessage) -> Any:
    """A tool's result: its structured content where it has one, otherwise its text."""
    return message.artifact if message.artifact is not None else message.text


def as_json(message: BaseMessage) -> dict[str, Any]:
    """`{"role", "content"}`, and what says something of `thought`, `tool_calls`, `tool_call_id`, `name`, `status` and
    `attachments`.
    """
    shown: dict[str, Any] = {
        "role": role_by_type.get(message.type, message.type),
        "content": text_of(message),
    }
    if attached := message.additional_kwargs.get(ATTACHMENTS):
        shown["attachments"] = attached
    if isinstance(message, AIMessage):
        if thought := thought_of(message):
            shown["thought"] = thought
        if message.tool_calls:
            shown["tool_calls"] = [
                {"id": call["id"], "name": call["name"], "args": call["args"]} for call in message.tool_calls
            ]
    if isinstance(message, ToolMessage):
        shown |= {"tool_call_id": message.tool_call_id, "name": message.name, "status": message.status}
    return shown


def key_of(call_id: str) -> str:
    """A call's id as rows have it: some providers put whole signatures into theirs, and want them back as they are."""
    return call_id if len(call_id) <= LONGEST_KEY else hashlib.sha256(call_id.encode()).hexdigest()


def tool_message(call: ToolCall, call_id: str) -> ToolMessage:
    """The answer of a call that was done, as it was; `call_id` is the call's as the model has given it."""
    assert call.message
    return ToolMessage(
        content=call.message["content"],
        artifact=call.message["artifact"],
        status=call.message["status"],
        tool_call_id=call_id,
        name=call.tool,
    )


def from_json(data: dict[str, Any]) -> BaseMessage:
    """A message of the shape that `as_json` writes."""
    match data["role"]:
        case "assistant":
            thought = data.get("thought")
            return AIMessage(
                content=data["content"],
                tool_calls=[tool_call(**call) for call in data.get("tool_calls", ())],
                additional_kwargs={"reasoning_content": thought} if thought else {},
            )
        case "tool":
            return ToolMessage(
                content=data["content"],
                tool_call_id=data["tool_call_id"],
                name=data.get("name"),
                status=data.get("status", "success"),
            )
        case role:
            attached = data.get("attachments")
            return message_by_role[role](
                content=data["content"], additional_kwargs={ATTACHMENTS: attached} if attached else {}
            )
