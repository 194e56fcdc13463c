"""A configuration as one text: YAML, or JSON. The same configuration is the same text, byte for byte.

    format: 1
    default_agent: shop-assistant
    models:
      gpt-4o-mini:
        provider: openai
        model: gpt-4o-mini
        api_key: ${secret:model/gpt-4o-mini/api_key}
    tools: {}
    agents:
      shop-assistant:
        model: gpt-4o-mini

Everything stands under its name. What is left out has its default, but for secrets and the like (`Section.kept`).
A text may also be one component, as `PUT /config/{name}` takes it: `type`, `name`, and its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentplatform.lib.errors import Invalid
from agents.configuration.sections import Json, Reference, by_key, completed, registry
from agents.tools.base import MOST_LEVELS
from agents.workflows import text
from agents.workflows.faults import Place
from agents.workflows.structure import formless

FORMAT = 1
LONGEST = 5_000_000
"""Characters of a text."""
MOST_COMPONENTS = 5_000
# Sections and names stand above what a component's document may hold.
LEVELS = MOST_LEVELS + 5
HEAD = ("format", "default_agent")
UNCHANGED: Any = object()


@dataclass
class Wanted:
    """What a text asks for: complete documents, the sections that it has, and the default agent if it names one."""

    documents: dict[Reference, Json] = field(default_factory=dict)
    sections: set[str] = field(default_factory=set)
    default_agent: Any = UNCHANGED
    """A name, None for none, or UNCHANGED."""
    faults: dict[Place, str] = field(default_factory=dict)
    """What is wrong with it, by the place in the text."""


def read(written: str) -> Wanted:
    """What a text asks for. Raises Invalid where it is no configuration at all; the rest stands in `faults`."""
    data = text.load(written, LONGEST, LEVELS)
    if not isinstance(data, dict):
        raise Invalid(
            {"configuration": "A configuration is an object with sections, such as models and agents."}
        )
    if faults := list(formless((), data)):
        return Wanted(faults={fault.place: fault.message for fault in faults[:20]})
    return _component(data) if "type" in data else _whole(data)


def _whole(data: Json) -> Wanted:
    wanted = Wanted()
    if data.get("format", FORMAT) != FORMAT:
        wanted.faults["format",] = f"This platform reads format {FORMAT}."
    if "default_agent" in data:
        _take_default(wanted, data["default_agent"])
    for key, components in data.items():
        if key not in HEAD:
            _take_section(wanted, key, components)
    if len(wanted.documents) > MOST_COMPONENTS:
        raise Invalid(
            {"configuration": f"It has more than {MOST_COMPONENTS:,} components; import it in parts."}
        )
    return wanted


def _take_default(wanted: Wanted, name: Any) -> None:
    if name is None or isinstance(name, str):
        wanted.default_agent = name
    else:
        wanted.faults["default_agent",] = "Give the name of an agent, or null."


def _take_section(wanted: Wanted, key: str, components: Any) -> None:
    try:
        section = by_key(key)
    except Invalid as error:
        wanted.faults[key,] = error.details[0]["message"]
        return
    if not isinstance(components, Mapping | None):
        wanted.faults[key,] = "Give an object: name → fields."
        return
    wanted.sections.add(section.type)
    for name, document in (components or {}).items():
        _take(wanted, (section.type, name), document, (key, name))


def _component(data: Json) -> Wanted:
    wanted, kind, name = Wanted(), data["type"], data.get("name")
    if not isinstance(kind, str) or kind not in registry:
        wanted.faults["type",] = f"There is no type {kind!r}; the types are: {', '.join(registry)}."
    elif not isinstance(name, str) or not name:
        wanted.faults["name",] = "Give the component's name."
    else:
        _take(
            wanted,
            (kind, name),
            {key: value for key, value in data.items() if key not in ("type", "name")},
            (),
        )
    return wanted


def _take(wanted: Wanted, reference: Reference, document: Any, place: Place) -> None:
    if not isinstance(document, Mapping):
        wanted.faults[place] = "Give an object of fields."
        return
    try:
        wanted.documents[reference] = completed(registry[reference[0]], document)
    except Invalid as error:
        for entry in error.details:
            wanted.faults[(*place, entry["field"])] = entry["message"]


def write(sections: Mapping[str, Mapping[str, Json]], default_agent: str | None) -> str:
    """The text of documents as they are written, by section and name."""
    whole: Json = {"format": FORMAT}
    if "agent" in sections:
        whole["default_agent"] = default_agent
    whole |= {
        registry[kind].key: {name: documents[name] for name in sorted(documents)}
        for kind, documents in sections.items()
    }
    return text.dump(whole)


def field_of(place: Iterable[str | int]) -> str:
    """A place as errors name it: `agents.shop-assistant.model`."""
    return ".".join(map(str, place))


def refusal(faults: Mapping[Place, str], written: str) -> Invalid:
    """One error for all of them, in the order of the lines of the text that they stand in."""
    lines = dict(zip(faults, text.places(written, list(faults)), strict=True))
    ordered = sorted(faults, key=lambda place: lines[place] or 0)
    error = Invalid({field_of(place): faults[place] for place in ordered})
    error.details = [
        {"field": field_of(place), "message": faults[place], "line": lines[place]} for place in ordered
    ]
    return error
