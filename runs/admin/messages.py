"""What was said in a run, as its page shows it: the question, answers, tool calls and their results."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Case, F, JSONField, TextField, Value, When
from django.db.models.functions import Cast, Length
from django.utils.translation import gettext as _

from runs.admin.sections import LONGEST
from runs.models import Run, RunStep

MOST_STEPS = 50
LARGEST = 50_000
"""Characters of a step's messages; larger ones are not read."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message. `calls` are `(tool, arguments)`; `key` keeps it unfolded when the page is told anew."""

    key: str
    role: str
    title: str
    text: str
    calls: list[tuple[str, str]] = field(default_factory=list)
    is_fault: bool = False


def said_in(run: Run) -> list[Said]:
    """The run's input, and what its last MOST_STEPS steps have added, in order. Two queries at most, and bounded."""
    length = Length(Cast("messages", TextField()))
    kept = Case(When(size__lte=LARGEST, then=F("messages")), default=Value(None, JSONField()))
    steps = RunStep.objects.filter(run=run).annotate(size=length, kept=kept).order_by("-step_num", "-id")
    rows = list(steps.values_list("id", "step_num", "size", "kept")[:MOST_STEPS])[::-1]
    found = [said(f"input-{place}", message) for place, message in enumerate(run.input.get("messages", []))]
    for key, number, size, messages in rows:
        if messages is None:
            text = _("The messages of step %(step)s are too large to be shown here (%(size)s characters).")
            found.append(Said(f"{key}", "note", "", text % {"step": number, "size": size}))
        else:
            found += [said(f"{key}-{place}", message) for place, message in enumerate(messages)]
    return found


def said(key: str, message: dict[str, Any]) -> Said:
    """A message of a state or of a step, in the shapes in which those have them."""
    role = str(message.get("role", ""))
    calls = [
        (str(call.get("name", "")), cut(_as_json(call.get("args", {}))))
        for call in message.get("tool_calls") or []
    ]
    text = message.get("content", "")
    return Said(
        key,
        role,
        title_of(role, str(message.get("name") or "")),
        cut(text if isinstance(text, str) else _as_json(text)),
        calls,
        is_fault=message.get("status") == "error",
    )


def title_of(role: str, name: str = "") -> str:
    """Who says a message."""
    titles = {
        "user": _("User"),
        "assistant": _("Assistant"),
        "system": _("System"),
        "tool": name or _("Tool"),
    }
    return titles.get(role, role)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
