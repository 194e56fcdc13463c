"""The functions of a client, and how the model is to choose among them, as a run binds them to its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentplatform.lib.errors import Invalid
from agents.tool_rules import TOOL_NAME
from agents.tools.base import MOST_LEVELS, is_too_deep
from runs.protocols.openai.errors import Refused

Json = dict[str, Any]

MAX_TOOLS = 128
CHOICES = {"auto": "", "required": "any"}
SHAPE = 'Send {"type": "function", "function": {"name", "description", "parameters"}}.'


def bound_tools(values: Mapping[str, Any]) -> Json:
    """`{"tools", "tool_choice"?, "one_call"?}` of `agents.pinned.load`; nothing where none is to be called."""
    tools = _tools(values.get("tools", []))
    names = {tool["function"]["name"] for tool in tools}
    choice = values.get("tool_choice", "auto")
    if not tools and choice not in ("auto", "none"):
        raise Invalid({"tool_choice": "Send tools to choose from."})
    if not tools or choice == "none":
        return {}
    bound: Json = {"tools": tools}
    if chosen := _choice(choice, names):
        bound["tool_choice"] = chosen
    if values.get("parallel_tool_calls") is False:
        bound["one_call"] = True
    return bound


def _tools(data: Any) -> list[Json]:
    if not isinstance(data, list) or len(data) > MAX_TOOLS:
        raise Invalid({"tools": f"Send a list of at most {MAX_TOOLS} tools."})
    tools = [_tool(tool, f"tools.{index}") for index, tool in enumerate(data)]
    names = [tool["function"]["name"] for tool in tools]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Invalid({"tools": f"There are two tools with the name {twice!r}."})
    return tools


def _tool(data: Any, path: str) -> Json:
    kind = data.get("type", "function") if isinstance(data, dict) else None
    if isinstance(kind, str) and kind != "function":
        message = f"Only tools of the type 'function' are supported, not {kind!r}."
        raise Refused(message, f"{path}.type", "unsupported_parameter")
    if kind is None or not isinstance(data.get("function"), dict):
        raise Invalid({path: SHAPE})
    return {"type": "function", "function": _function(data["function"], f"{path}.function")}


def _function(data: Json, path: str) -> Json:
    name, parameters = data.get("name"), data.get("parameters")
    if not isinstance(name, str) or not TOOL_NAME.match(name):
        raise Invalid({f"{path}.name": "Use 1 to 64 letters, digits, underscores and hyphens."})
    if not isinstance(data.get("description") or "", str):
        raise Invalid({f"{path}.description": "Send a text."})
    if parameters is not None and (not isinstance(parameters, dict) or is_too_deep(parameters)):
        raise Invalid(
            {f"{path}.parameters": f"Send a JSON Schema, nested at most {MOST_LEVELS} levels deep."}
        )
    function: Json = {
        "name": name,
        "description": data.get("description") or "",
        "parameters": parameters or {"type": "object", "properties": {}},
    }
    return function | ({"strict": True} if data.get("strict") is True else {})


def _choice(choice: Any, names: set[str]) -> str:
    """`any`, the name of a function, or nothing where it is left to the model."""
    if isinstance(choice, str) and choice in CHOICES:
        return CHOICES[choice]
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(name, str) or name not in names:
        message = (
            'Use auto, none, required, or {"type": "function", "function": {"name"}} with one of the tools.'
        )
        raise Refused(message, "tool_choice")
    return name
