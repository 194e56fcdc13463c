"""What every tool gives back, and how it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agentplatform.lib.json import is_deeper

RESULT_LIMIT = 1_000_000
"""Characters of a result that are kept."""
MOST_LEVELS = 50
"""How deep a schema, a request or a model's parameters may be nested."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool said: `text` for the model, and the structured value behind it, where there is one.

    A value that is nested too deep to be kept is left out; its text says the same.
    """

    text: str
    content: Any = None

    def __post_init__(self) -> None:
        if is_too_deep(self.content):
            object.__setattr__(self, "content", None)


class ToolFault(Exception):
    """A tool call that failed.

    `message` is written for the model and the operator; `retryable` says whether the same call may succeed
    later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than code that walks them can be trusted with."""
    return is_deeper(value, MOST_LEVELS)


def result_of(value: Any) -> ToolResult:
    """A plain Python value as a result. Raises ToolFault for what has no JSON form or is too long."""
    if isinstance(value, ToolResult):
        return value
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolFault("The tool's result has no JSON form.") from error
    if len(text) > RESULT_LIMIT:
        raise ToolFault(f"The tool's result is longer than {RESULT_LIMIT:,} characters.")
    return ToolResult(text, None if isinstance(value, str) else value)
