"""JMESPath over untrusted data, bounded beforehand: an expression cannot multiply its input without limit."""

from __future__ import annotations

import functools
import json
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from agents.tools.base import ToolFault

MAX_EXPRESSION = 1000
MAX_DATA = 256_000
MAX_GROWTH = 64


def query_json(data: Any, query: str) -> Any:
    """What the JMESPath expression `query` finds in `data` (a value, or JSON as text). Raises ToolFault."""
    if len(query) > MAX_EXPRESSION:
        raise ToolFault(f"The query is longer than {MAX_EXPRESSION} characters.")
    text = data if isinstance(data, str) else json.dumps(data)
    if len(text) > MAX_DATA:
        raise ToolFault(f"The data is longer than {MAX_DATA:,} characters.")
    try:
        value = json.loads(text) if isinstance(data, str) else data
        return _compiled(query).search(value)
    except JMESPathError as error:
        raise ToolFault(f"The query is not valid JMESPath: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        raise ToolFault("The data is not valid JSON.") from error


@functools.lru_cache(maxsize=256)
def _compiled(query: str) -> jmespath.parser.ParsedResult:
    expression = jmespath.compile(query)
    if _growth(expression.parsed) > MAX_GROWTH:
        raise ToolFault(
            "The query builds too many copies of its input. Use fewer lists, objects and conversions in it."
        )
    return expression


def _growth(tree: dict[str, Any]) -> int:
    """An upper bound of how many times larger than its input a result can be.

    Only lists and objects that a query builds repeat their input; `to_string` may double it with each
    quoting, and `join` repeats its separator, which is why that must be written out.
    """
    growth, pending = 1, [tree]
    while pending:
        node = pending.pop()
        pending.extend(child for child in node["children"] if isinstance(child, dict))
        if node["type"] in ("multi_select_list", "multi_select_dict"):
            growth *= max(1, len(node["children"]))
        elif node["type"] == "function_expression":
            growth *= _function_growth(node)
    return growth


def _function_growth(node: dict[str, Any]) -> int:
    if node["value"] == "to_string":
        return 2
    if node["value"] == "join":
        separator = node["children"][0]
        if separator["type"] != "literal":
            raise ToolFault("The separator of join() must be written out in the query.")
        return 1 + len(str(separator["value"]))
    return 1
