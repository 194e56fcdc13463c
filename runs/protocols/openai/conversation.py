"""The messages of a request, in the shapes in which runs keep theirs (`runs.engine.messages.as_json`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from agentplatform.lib.errors import Invalid
from agents.tools.base import MOST_LEVELS, is_too_deep
from runs.api.fields import MAX_MESSAGE, MAX_MESSAGES
from runs.api.modification_serializers import MAX_CALLS, call_fault
from runs.protocols.openai.errors import Refused

Json = dict[str, Any]

LONGEST_ID = 255
role_by_name = {"system": "system", "developer": "system", "user": "user"}
TEXT_PARTS = {"text": "text", "refusal": "refusal"}
"""The kinds of parts that a content may have, and where the text of each stands."""
UNSUPPORTED = {"audio", "function_call"}


def parse_messages(data: Any) -> list[Json]:
    """Raises Invalid or Refused, which name the place."""
    if not isinstance(data, list) or not 1 <= len(data) <= MAX_MESSAGES:
        raise Invalid({"messages": f"Send a list of 1 to {MAX_MESSAGES} messages."})
    messages = [_message(message, f"messages.{index}") for index, message in enumerate(data)]
    if fault := call_fault(messages):
        raise Invalid({"messages": fault})
    return _with_names_of_tools(messages)


def _message(data: Any, path: str) -> Json:
    role = data.get("role") if isinstance(data, dict) else None
    if unsupported := [name for name in UNSUPPORTED if isinstance(data, dict) and data.get(name)]:
        raise Refused(
            "This is not supported; leave it out.", f"{path}.{unsupported[0]}", "unsupported_parameter"
        )
    if role == "assistant":
        return _assistant(data, path)
    if role == "tool":
        call_id = _text(data.get("tool_call_id"), f"{path}.tool_call_id", LONGEST_ID)
        return {"role": role, "content": _content(data, path), "tool_call_id": call_id}
    if role not in role_by_name:
        known = ", ".join([*role_by_name, "assistant", "tool"])
        raise Invalid({f"{path}.role": f"Use one of: {known}."})
    return {"role": role_by_name[role], "content": _content(data, path)}


def _assistant(data: Json, path: str) -> Json:
    """What an assistant has said before, with the calls that it asked for."""
    calls = data.get("tool_calls") or []
    if not isinstance(calls, list) or len(calls) > MAX_CALLS:
        raise Invalid({f"{path}.tool_calls": f"Send a list of at most {MAX_CALLS} calls."})
    is_blank = data.get("content") is None and (calls or data.get("refusal"))
    message: Json = {"role": "assistant", "content": "" if is_blank else _content(data, path)}
    if calls:
        message["tool_calls"] = [
            _call(call, f"{path}.tool_calls.{index}") for index, call in enumerate(calls)
        ]
    if thought := data.get("reasoning_content"):
        message["thought"] = _text(thought, f"{path}.reasoning_content", MAX_MESSAGE)
    return message


def _call(data: Any, path: str) -> Json:
    function = data.get("function") if isinstance(data, dict) else None
    if not isinstance(function, dict):
        raise Invalid({path: 'Send {"id", "type": "function", "function": {"name", "arguments"}}.'})
    return {
        "id": _text(data.get("id"), f"{path}.id", LONGEST_ID),
        "name": _text(function.get("name"), f"{path}.function.name", LONGEST_ID),
        "args": _arguments(function.get("arguments"), f"{path}.function.arguments"),
    }


def _arguments(text: Any, path: str) -> Json:
    try:
        arguments = orjson.loads(text or "{}") if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        arguments = None
    if not isinstance(arguments, dict) or is_too_deep(arguments):
        raise Invalid({path: f"Send a JSON object as a text, nested at most {MOST_LEVELS} levels deep."})
    return arguments


def _content(data: Mapping[str, Any], path: str) -> str:
    """A text, or parts that are texts, each on a line of its own."""
    content = data.get("content")
    if not isinstance(content, list):
        return _text(content, f"{path}.content", MAX_MESSAGE, may_be_empty=True)
    parts = [_part(part, f"{path}.content.{index}") for index, part in enumerate(content)]
    return _text("\n".join(parts), f"{path}.content", MAX_MESSAGE, may_be_empty=True)


def _part(data: Any, path: str) -> str:
    kind = data.get("type") if isinstance(data, dict) else None
    if kind not in TEXT_PARTS:
        raise Refused(
            f"Only parts of the type 'text' are supported, not {kind!r}.", path, "unsupported_content"
        )
    return _text(data.get(TEXT_PARTS[kind]), f"{path}.{TEXT_PARTS[kind]}", MAX_MESSAGE, may_be_empty=True)


def _text(value: Any, path: str, longest: int, *, may_be_empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > longest or not (value or may_be_empty):
        raise Invalid({path: f"Send a text of at most {longest} characters."})
    return value


def _with_names_of_tools(messages: list[Json]) -> list[Json]:
    """The answers of tools with the names of their tools, which some models want to be told."""
    names: dict[str, str] = {}
    for message in messages:
        names |= {call["id"]: call["name"] for call in message.get("tool_calls", ())}
        if message["role"] == "tool":
            message["name"] = names[message["tool_call_id"]]
    return messages
