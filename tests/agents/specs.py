"""Specifications for tests that need no database."""

from __future__ import annotations

import uuid
from typing import Any

from agents.specification import ModelSpecification, ToolSpecification
from agents.tools import functions


def model_spec(**values: Any) -> ModelSpecification:
    defaults = {"name": "fast", "provider": "openai", "model": "text-3", "timeout": 5.0}
    return ModelSpecification(version_id=uuid.uuid4(), id=uuid.uuid4(), **{**defaults, **values})


def function_spec(function: str = "calculator", **values: Any) -> ToolSpecification:
    registered = functions.registry.get(function)
    defaults = {"arguments_schema": registered.schema} if registered else {}
    return tool_spec(kind="function", function=function, **{**defaults, **values})


def http_spec(url: str, properties: tuple[str, ...] = (), **values: Any) -> ToolSpecification:
    schema = {"type": "object", "properties": {name: {} for name in properties}}
    request = {"method": "GET", "url": url, **values.pop("request", {})}
    return tool_spec(kind="http", request=request, **{"arguments_schema": schema, **values})


def agent_spec(**values: Any) -> ToolSpecification:
    return tool_spec(kind="agent", agent=uuid.uuid4(), **values)


def tool_spec(**values: Any) -> ToolSpecification:
    defaults = {"name": "tool", "description": "A tool."}
    return ToolSpecification(version_id=uuid.uuid4(), id=uuid.uuid4(), **{**defaults, **values})
