"""Which passages an answer rests on: what tools have found to cite, and the numbers that the answer names.

A tool's structured result may have `citations`, a list of `{n, knowledge_base, document, document_id, place, text}`;
those of knowledge bases have. Numbers are given once in a conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from agents.tools.knowledge import MOST_PASSAGES

MOST_CITED = 50
LONGEST_TEXT = 4_000
FIELDS = ("knowledge_base", "document", "document_id")
# [1], and [1, 3] or [1][3] as models write it.
_NUMBERS = re.compile(r"\[(\d{1,6}(?:\s*[,，、;]\s*\d{1,6})*)\]")


def next_number(messages: Sequence[BaseMessage], call_id: str | None) -> int:
    """The first number for the passages of a call: those of earlier ones, and of its neighbours in its step, are
    others. It is the same in each attempt.
    """
    highest = max((found["n"] for message in messages for found in _found(message)), default=0)
    asking = next((one for one in reversed(messages) if isinstance(one, AIMessage) and one.tool_calls), None)
    calls = [call["id"] for call in asking.tool_calls] if asking else []
    place = calls.index(call_id) if call_id in calls else 0
    return highest + place * MOST_PASSAGES + 1


def cited(messages: Sequence[BaseMessage], answer: str) -> list[dict[str, Any]]:
    """What the answer names of that which its conversation has found, in the order in which it names it."""
    numbers = dict.fromkeys(
        int(part) for said in _NUMBERS.findall(answer) for part in re.findall(r"\d+", said)
    )
    if not numbers:
        return []
    found = {entry["n"]: entry for message in messages for entry in _found(message)}
    return [found[number] for number in numbers if number in found][:MOST_CITED]


def _found(message: BaseMessage) -> Iterator[dict[str, Any]]:
    """Tools of others may say what they like, so each field is looked at."""
    content = message.artifact if isinstance(message, ToolMessage) else None
    citations = content.get("citations") if isinstance(content, dict) else None
    for entry in citations if isinstance(citations, list) else ():
        number = entry.get("n") if isinstance(entry, dict) else None
        if not isinstance(number, int) or not 0 < number < 10**6:
            continue
        place, text = entry.get("place"), entry.get("text")
        yield {
            "n": number,
            **{name: str(entry.get(name, ""))[:300] for name in FIELDS},
            "place": place if isinstance(place, dict) else {},
            "text": text[:LONGEST_TEXT] if isinstance(text, str) else "",
        }
