"""What the demo model says: plain rules over the conversation and the offered tools, deterministic."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.providers import demo_trade

Tools = Mapping[str, Mapping[str, Any]]
"""Name → JSON Schema of the arguments."""

CLOCK = re.compile(
    r"\b(?:what|which|current|tell me the)\b.*\b(?:time|date|day)\b|\btime is it\b|几点|现在.*时间",
    re.I | re.S,
)
ZONE = re.compile(r"\b[A-Z][A-Za-z]+/[A-Z][A-Za-z_]+\b")
ARITHMETIC = re.compile(r"(?:\d|\()[\d\s.()]*(?:(?:\*\*|[-+*/%^×÷])\s*-?[\d.()]+[\s)]*)+")
CONVERSION = re.compile(r"(-?\d+(?:\.\d+)?)\s*([a-zA-Z°]+)\s+(?:to|in|into)\s+([a-zA-Z°]+)\b")
QUOTED = re.compile(r"`([^`]+)`")
EXPLICIT = re.compile(r"^\s*call\s+(?P<name>[\w.-]+)\s+(?P<arguments>\{.*\})\s*$", re.M)
PASSAGE = re.compile(
    r'<passage n="(?P<n>\d+)" from="(?P<where>[^"]*)">\n(?P<text>.*?)\n</passage>', re.DOTALL
)
QUOTE_LIMIT = 600
LISTING_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that the model wants to be called."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """Either text or calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


def reply(question: str, results: Sequence[tuple[str, str]], tools: Tools, *, turn: int = 1) -> Reply:
    """The answer to the last question. `results` are the (tool, text) pairs since; `turn` counts them."""
    if results:
        return Reply(_conclusion(results))
    if calls := _calls(question, tools):
        return Reply(calls=calls)
    return Reply(_explanation(question, tools, turn))


def _calls(question: str, tools: Tools) -> tuple[Call, ...]:
    if explicit := _explicit(question, tools):
        return explicit
    found = [
        Call(name, arguments)
        for name, rule in rules.items()
        if name in tools and (arguments := rule(question)) is not None
    ]
    return tuple(found) or _named(question, tools)


def _explicit(question: str, tools: Tools) -> tuple[Call, ...]:
    """Lines of the form `call NAME {"json": "arguments"}`."""
    calls = []
    for match in EXPLICIT.finditer(question):
        arguments = _json(match["arguments"])
        if match["name"] in tools and isinstance(arguments, dict):
            calls.append(Call(match["name"], arguments))
    return tuple(calls)


def _clock(question: str) -> dict[str, Any] | None:
    if not CLOCK.search(question):
        return None
    zone = ZONE.search(question)
    return {"timezone": zone[0]} if zone else {}


def _arithmetic(question: str) -> dict[str, Any] | None:
    match = ARITHMETIC.search(question)
    if not match:
        return None
    return {"expression": match[0].replace("×", "*").replace("÷", "/").strip()}


def _query(question: str) -> dict[str, Any] | None:
    quoted, rest = QUOTED.search(question), QUOTED.sub("", question)
    for start, character in enumerate(rest):
        if character in "{[" and (document := _document_at(rest, start)) is not None:
            return {"data": document, "query": quoted[1] if quoted else "@"}
    return None


def _conversion(question: str) -> dict[str, Any] | None:
    match = CONVERSION.search(question)
    return {"value": float(match[1]), "from_unit": match[2], "to_unit": match[3]} if match else None


def _search(question: str) -> dict[str, Any] | None:
    return {"query": question.strip()[:1000]} if question.strip() else None


def _handed_over(question: str) -> dict[str, Any] | None:
    return {"message": question} if ARITHMETIC.search(question) else None


rules: dict[str, Callable[[str], dict[str, Any] | None]] = {
    "json_query": _query,
    "unit_convert": _conversion,
    "current_time": _clock,
    "calculator": _arithmetic,
    "approved_calculator": _arithmetic,
    "ask_mathematician": _handed_over,
    "find_suppliers": demo_trade.suppliers,
    "trade_figures": demo_trade.figures,
    "company_background": demo_trade.background,
    "search_knowledge": _search,
}


def _named(question: str, tools: Tools) -> tuple[Call, ...]:
    """A tool that the question names, with arguments that fit its schema."""
    words = re.sub(r"[\s_-]+", " ", question.lower())
    for name, schema in tools.items():
        if re.sub(r"[\s_-]+", " ", name.lower()) in words:
            return (Call(name, _sample(schema, question)),)
    return ()


def _sample(schema: Mapping[str, Any], question: str) -> dict[str, Any]:
    samples = {"integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}
    properties = schema.get("properties", {})
    quoted = QUOTED.findall(question)
    values: dict[str, Any] = {}
    for name in schema.get("required", []):
        described = properties.get(name, {})
        text = quoted.pop(0) if quoted else question
        values[name] = next(iter(described.get("enum", [])), samples.get(described.get("type", ""), text))
    return values


def _document_at(text: str, start: int) -> Any:
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except ValueError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _conclusion(results: Sequence[tuple[str, str]]) -> str:
    if said := _cited(results):
        return said
    if len(results) == 1:
        name, text = results[0]
        return f"I asked the tool {name}, and it answered: {_quoted(text)}"
    lines = [f"- {name}: {_quoted(text)}" for name, text in results]
    return "I asked several tools. They answered:\n" + "\n".join(lines)


def _cited(results: Sequence[tuple[str, str]]) -> str:
    """The best passages of a search, each with its number; empty: nothing else was asked, or nothing was found."""
    if any(name != "search_knowledge" for name, _ in results):
        return ""
    passages = [match for _, text in results for match in PASSAGE.finditer(text)][:2]
    return "\n\n".join(
        f"{match['where']} says: “{_short(match['text'])}” [{match['n']}]" for match in passages
    )


def _quoted(text: str) -> str:
    """A tool's answer as it is, or, where it is an object that lists others, as lines for people to read."""
    value = _json(text)
    rows = _rows(value) if isinstance(value, dict) else []
    if not rows:
        return _short(text)
    head = {name: part for name, part in value.items() if not isinstance(part, list | dict)}
    lines = [_line(head, ", "), *(f"  - {_line(row, ' · ')}" for row in rows)]
    return _short("\n".join(lines), LISTING_LIMIT)


def _rows(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The first list of objects among the values."""
    lists = [part for part in value.values() if isinstance(part, list)]
    return next((rows for rows in lists if rows and all(isinstance(row, dict) for row in rows)), [])


def _line(row: Mapping[str, Any], separator: str) -> str:
    return separator.join(f"{name.replace('_', ' ')}: {_words(part)}" for name, part in row.items())


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _explanation(question: str, tools: Tools, turn: int) -> str:
    said = f"You said: “{_short(question.strip(), 120)}”. " if question.strip() else ""
    offered = (
        f"I can call these tools: {', '.join(tools)}."
        if tools
        else "This agent has no tools that I could call."
    )
    if turn > 1:
        return f"{said}That was your question number {turn} in this conversation. {offered}"
    return (
        f"{said}I am the demo model: a script that needs no key, and that understands little. {offered} "
        "Ask me what time it is, or what 17 * 23 makes, and watch the run. "
        "Give the agent a model of a real provider, and it will answer for real."
    )


def _short(text: str, limit: int = QUOTE_LIMIT) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
