"""Everything that can be wrong with a workflow, with the node and the field that it is wrong in.

What a document refers to is looked up in a `Catalogue`, so nothing here knows a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agents.tool_rules import request_faults
from agents.tools.templates import placeholders
from agents.workflows.document import Document, Node, StateField, parse
from agents.workflows.expressions import ExpressionFault, Scope, fits, is_whole_expression
from agents.workflows.faults import Fault, Place
from agents.workflows.graph import graph_faults
from agents.workflows.structure import structural_faults, value_fault

# Fields that are templates, and fields whose texts are.
_TEXTS = {"agent": ("message",), "llm": ("system", "prompt"), "approval": ("message",)}
_VALUES = {"tool": "arguments", "http": "arguments", "approval": "show", "workflow": "input", "end": "output"}
_RESULTS = {"agent": "STRING", "approval": "MAP<STRING, DYN>"}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of something that a document refers to."""

    enabled: bool = True
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """Of a tool's arguments or a workflow's input."""
    is_published: bool = True
    """Of a workflow."""
    nested: frozenset[str] = frozenset()
    """The names of the workflows that a workflow calls, directly or through others."""


class Catalogue(Protocol):
    """What a workspace has."""

    def find(self, kind: str, name: str) -> Entry | None:
        """An agent, a model, a tool or a workflow by its name."""


class EmptyCatalogue:
    """Knows nothing and finds everything: for documents on their own."""

    def find(self, kind: str, name: str) -> Entry | None:
        return Entry()


def check(data: Any, catalogue: Catalogue, name: str = "") -> list[Fault]:
    """What is wrong with a document, in its order; nothing where it can be run. `name` is the workflow's own."""
    if faults := structural_faults(data):
        return faults
    document = parse(data)
    checker = _Checker(document, catalogue, name)
    found = {*graph_faults(document), *checker.faults()}
    return sorted(found, key=lambda fault: (tuple(map(_sortable, fault.place)), fault.message))


def _sortable(part: str | int) -> tuple[bool, str | int]:
    return isinstance(part, str), part


class _Checker:
    def __init__(self, document: Document, catalogue: Catalogue, name: str) -> None:
        self.document = document
        self.catalogue = catalogue
        self.name = name
        self.scope = Scope(document)

    def faults(self) -> Iterator[Fault]:
        yield from self._field_names()
        for node in self.document.nodes:
            yield from self._written(node)
            yield from self._texts(node)
            yield from self._own(node)

    def _field_names(self) -> Iterator[Fault]:
        """CEL keeps some words for itself."""
        names: list[Place] = [("input", "properties", one.name) for one in self.document.input_fields]
        names += [("state", name) for name in self.document.state]
        for place in names:
            try:
                self.scope.expression(f"{place[0]}.{place[-1]}")
            except ExpressionFault:
                yield Fault(place, f"{place[-1]!r} is a word of CEL's own. Choose another name.")

    # --- what every kind may have ---

    def _written(self, node: Node) -> Iterator[Fault]:
        for name in node.writes:
            where = {"transform": ("set", name), "loop": ("item",)}.get(node.kind, ("output",))
            if name not in self.document.state:
                yield _fault(node, f"The state has no field {name!r}. Declare it under state.", *where)
            elif (kind := self._result(node)) and not fits(kind, self.document.state[name]):
                yield _fault(node, self._misfit(kind, self.document.state[name]), *where)

    def _result(self, node: Node) -> str:
        """What type the node writes, as far as it is known; a transform's fields are looked at one by one."""
        if node.kind == "llm":
            return "MAP<STRING, DYN>" if node.data.get("schema") else "STRING"
        return _RESULTS.get(node.kind, "")

    def _texts(self, node: Node) -> Iterator[Fault]:
        for name in _TEXTS.get(node.kind, ()):
            yield from self._template(node, (name,), node.data.get(name, ""))
        if values := _VALUES.get(node.kind):
            yield from self._templates_in(node, (values,), node.data.get(values))

    def _templates_in(self, node: Node, place: Place, value: Any) -> Iterator[Fault]:
        match value:
            case str():
                yield from self._template(node, place, value)
            case Mapping():
                for name, item in value.items():
                    yield from self._templates_in(node, (*place, name), item)
            case list():
                for index, item in enumerate(value):
                    yield from self._templates_in(node, (*place, index), item)

    def _template(self, node: Node, place: Place, text: str) -> Iterator[Fault]:
        try:
            self.scope.template(text)
        except ExpressionFault as error:
            yield _fault(node, str(error), *place)

    def _expression(self, node: Node, place: Place, source: str, wanted: StateField) -> Iterator[Fault]:
        try:
            kind = self.scope.expression(source).type
        except ExpressionFault as error:
            yield _fault(node, str(error), *place)
            return
        if not fits(kind, wanted):
            yield _fault(node, self._misfit(kind, wanted), *place)

    def _misfit(self, kind: str, wanted: StateField) -> str:
        what = (
            f"the field {wanted.name!r} is of type {wanted.type}"
            if wanted.name
            else f"a value of type {_type_of(wanted)} is needed"
        )
        return f"This comes to {kind.lower()}, and {what}."

    # --- what each kind has ---

    def _own(self, node: Node) -> Iterator[Fault]:
        match node.kind:
            case "condition":
                for index, case in enumerate(node.data["cases"]):
                    yield from self._expression(node, ("cases", index, "when"), case["when"], _BOOLEAN)
            case "loop":
                yield from self._loop(node)
            case "transform":
                for name, source in node.data["set"].items():
                    wanted = self.document.state.get(name, _ANY)
                    yield from self._expression(node, ("set", name), source, wanted)
            case "http":
                yield from self._request(node)
            case "agent" | "llm" | "tool" | "workflow":
                yield from self._reference(node)

    def _loop(self, node: Node) -> Iterator[Fault]:
        if ("while" in node.data) == ("over" in node.data):
            yield _fault(node, "Give either while or over, one of the two.", "while")
        if "while" in node.data:
            yield from self._expression(node, ("while",), node.data["while"], _BOOLEAN)
        if "over" in node.data:
            yield from self._over(node)
        if "item" in node.data and "over" not in node.data:
            yield _fault(node, "Only a loop with over has items.", "item")

    def _over(self, node: Node) -> Iterator[Fault]:
        item = self.document.state.get(node.data.get("item", ""), _ANY)
        wanted = StateField("", {"type": "array", "items": item.json_schema})
        yield from self._expression(node, ("over",), node.data["over"], wanted)

    def _request(self, node: Node) -> Iterator[Fault]:
        request, arguments = node.data["request"], node.data.get("arguments", {})
        for name, message in request_faults(request).items():
            yield _fault(node, message, *name.split("."))
        for name in sorted(placeholders(request) - arguments.keys()):
            yield _fault(node, f"{{{name}}} stands in it, and arguments has no {name!r}.", "request")

    def _reference(self, node: Node) -> Iterator[Fault]:
        kind = "model" if node.kind == "llm" else node.kind
        name = node.data[kind]
        if kind == "workflow" and name == self.name:
            yield _fault(node, "A workflow cannot call itself.", kind)
            return
        entry = self.catalogue.find(kind, name)
        if entry is None:
            yield _fault(node, f"There is no {kind} {name!r} in this workspace.", kind)
        elif not entry.enabled:
            yield _fault(node, f"The {kind} {name!r} is disabled. Enable it, or use another.", kind)
        elif not entry.is_published:
            yield _fault(node, f"The workflow {name!r} has no published version yet. Publish it first.", kind)
        elif self.name and self.name in entry.nested:
            yield _fault(
                node, f"The workflow {name!r} calls this one, so neither would come to an end.", kind
            )
        elif entry.schema is not None:
            yield from self._arguments(node, "input" if kind == "workflow" else "arguments", entry.schema)

    def _arguments(self, node: Node, part: str, schema: Mapping[str, Any]) -> Iterator[Fault]:
        """What is given, by the schema of what is called, as far as it is known before the run."""
        given, known = node.data.get(part, {}), schema.get("properties", {})
        for name in schema.get("required", ()):
            if name not in given:
                yield _fault(node, "This is required.", part, name)
        for name, value in given.items():
            if name in known:
                yield from self._argument(node, (part, name), value, _argument_field(schema, known[name]))
            elif schema.get("additionalProperties") is False:
                yield _fault(node, f"This is not known. There are: {', '.join(known) or 'none'}.", part, name)

    def _argument(self, node: Node, place: Place, value: Any, wanted: StateField) -> Iterator[Fault]:
        if isinstance(value, str) and "{{" in value:
            source = value.strip()[2:-2] if is_whole_expression(value) else "''"
            if not list(self._template(node, place, value)):
                yield from self._expression(node, place, source, wanted)
        elif not _has_templates(value) and (message := value_fault(wanted, value)):
            yield _fault(node, message, *place)


def _type_of(wanted: StateField) -> str:
    """As people say it: what an array is of belongs to it."""
    is_plain = wanted.type != "array" or wanted.items.type == "any"
    return wanted.type if is_plain else f"array of {wanted.items.type}"


def _argument_field(schema: Mapping[str, Any], part: Mapping[str, Any] | bool) -> StateField:
    """An argument by its part of the schema, with the definitions that it may refer to."""
    if isinstance(part, bool):
        return StateField("", {} if part else {"not": {}})
    return StateField("", {"$defs": schema.get("$defs", {}), **part})


_BOOLEAN = StateField("", {"type": "boolean"})
_ANY = StateField("", {"type": "any"})


def _has_templates(value: Any) -> bool:
    pending = [value]
    while pending:
        match pending.pop():
            case str() as text:
                if "{{" in text:
                    return True
            case Mapping() as mapping:
                pending.extend(mapping.values())
            case list() as items:
                pending.extend(items)
    return False


def _fault(node: Node, message: str, *place: str | int) -> Fault:
    return Fault(("nodes", node.index, *place), message, node.id)
