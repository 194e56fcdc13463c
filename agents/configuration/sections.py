"""What a configuration consists of: sections, each with the components of one type, by name.

`kinds` registers models, tools, agents, workflows, MCP servers and knowledge bases. Rooms above register what is
theirs, with `register(section)` as their app becomes ready: this room does not know them.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid

Json = dict[str, Any]
Reference = tuple[str, str]
"""Type and name of a component."""
Lookup = Callable[[str], str | None]
"""The value of a secret by the name that its placeholder has, or None."""


def no_secrets(name: str) -> str | None:
    """Knows no secret."""
    return None


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """A secret in a component's document: never its value. `name` is what its placeholder calls it."""

    id: str
    hint: str
    name: str

    @property
    def placeholder(self) -> str:
        return f"${{secret:{self.name}}}"


class Section(Protocol):
    """The components of one type.

    A document is what stands under a component's name: JSON, other components by name, no ids and no times. A complete
    one has all fields, with a StoredSecret where there is a secret.
    """

    @property
    def type(self) -> str:
        """Of one component: `model`."""

    @property
    def key(self) -> str:
        """Of all of them, in a text: `models`."""

    @property
    def resource(self) -> str:
        """Whose permissions count: `read:<resource>`, `write:<resource>`, `delete:<resource>`."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What a field that is left out stands for. One in neither this nor `kept` has to be given."""

    @property
    def kept(self) -> Mapping[str, Any]:
        """Fields that stay as they are where they are left out, secrets among them; and what stands for none."""

    @property
    def required(self) -> Collection[str]:
        """Fields that every document has."""

    @property
    def loose(self) -> frozenset[str]:
        """Fields that may be left out at first, where components refer to one another in a circle."""

    def documents(self, actor: Actor) -> dict[str, Json]:
        """All components' complete documents, by name, in a bounded number of queries."""

    def needs(self, document: Mapping[str, Any]) -> dict[str, set[Reference]]:
        """What a document refers to, by the field that does."""

    def save(self, actor: Actor, name: str, document: Mapping[str, Any], secrets: Lookup) -> None:
        """Creates the component, or makes it what `document` says, and writes nothing where it is that already.

        Secrets that are left out, or stand there as placeholders that `secrets` has no value for, stay as they are.
        Raises what the API's own road to it raises.
        """

    def delete(self, actor: Actor, name: str) -> None:
        """Raises Conflict, naming what uses it."""


registry: dict[str, Section] = {}
"""By type, in the order of a text's sections."""


def register(section: Section) -> None:
    registry[section.type] = section


def by_key(key: str) -> Section:
    """Raises Invalid, naming those that there are."""
    for section in registry.values():
        if section.key == key:
            return section
    known = ", ".join(section.key for section in registry.values())
    raise Invalid({key: f"There is no such section; the sections are: {known}."})


def readable(actor: Actor) -> Iterator[Section]:
    """Those that the actor may read."""
    return (section for section in registry.values() if actor.may(f"read:{section.resource}"))


def completed(section: Section, document: Mapping[str, Any]) -> Json:
    """With the defaults of what it leaves out. Raises Invalid for fields that there are not, and for missing ones."""
    known = [*section.required, *section.defaults, *section.kept]
    faults = {
        str(name): f"There is no such field; the fields are: {', '.join(known)}."
        for name in document
        if name not in known
    }
    faults |= {name: "This field is required." for name in section.required if name not in document}
    if faults:
        raise Invalid(faults)
    return {**section.defaults, **document}


def written(section: Section, document: Mapping[str, Any]) -> Json:
    """A complete document as it stands in a text: secrets as placeholders, defaults left out."""
    empty = {**section.defaults, **section.kept}
    return {
        name: value
        for name, value in with_placeholders(document).items()
        if name not in empty or value != empty[name]
    }


def _written(value: Any) -> Any:
    if isinstance(value, StoredSecret):
        return value.placeholder
    if isinstance(value, dict):
        return {name: _written(item) for name, item in value.items()}
    return value


def with_placeholders(document: Mapping[str, Any]) -> Json:
    """A complete document, its secrets as placeholders."""
    return {name: _written(value) for name, value in document.items()}


def has_id(actor: Actor) -> bool:
    """Whether somebody acts; not the platform itself."""
    return actor.user_id != uuid.UUID(int=0)
