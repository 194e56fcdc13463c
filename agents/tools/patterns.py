"""Regular expressions that may stand in a tool's JSON Schema: those that cannot take for ever."""

from __future__ import annotations

import re
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 500
REPEATS = {codes.MAX_REPEAT, codes.MIN_REPEAT}
LONG = 50


def pattern_fault(pattern: str) -> str | None:
    """Why `pattern` cannot be used, or None.

    Python's engine takes exponential time for a repeat within a repeat, and for alternatives within one, on
    input that the model chooses, or whoever speaks to it.
    """
    if len(pattern) > MAX_PATTERN:
        return f"a pattern has more than {MAX_PATTERN} characters"
    try:
        tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        return f"{pattern!r} is not a regular expression: {error}"
    if _explodes(tree, within_repeat=False):
        return f"{pattern!r} may take for ever: it has a repeat or alternatives within a repeat"
    return None


def _explodes(tree: Any, *, within_repeat: bool) -> bool:
    for code, argument in tree:
        repeats = code in REPEATS and argument[1] > LONG
        if within_repeat and (repeats or code is codes.BRANCH):
            return True
        if any(_explodes(inner, within_repeat=within_repeat or repeats) for inner in _inner(argument)):
            return True
    return False


def _inner(argument: Any) -> list[Any]:
    """The sub-patterns in an operation's argument, at whatever depth its tuples hold them."""
    if isinstance(argument, parser.SubPattern):
        return [argument]
    if isinstance(argument, tuple | list):
        return [inner for item in argument for inner in _inner(item)]
    return []
