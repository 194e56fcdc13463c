"""A document as text: YAML or JSON, read strictly and written readably.

YAML is read by the core schema of YAML 1.2, as people expect it: yes, no, dates and 12:30 are texts, 1e3 is a number.
Aliases are refused, because a few lines of them grow without bound, and so are tags, which JSON has no form for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from agentplatform.lib.errors import Invalid
from agentplatform.lib.json import is_deeper
from agentplatform.lib.text import storable
from agents.tools.base import MOST_LEVELS
from agents.workflows.faults import Fault, Place
from agents.workflows.schema import FRAME, NODE_SCHEMAS

LONGEST_TEXT = 1_000_000
"""Characters."""
FIELD = "document"
"""As errors name the text."""
_NOT_AN_OBJECT = "A workflow is an object with nodes and edges."
_CORE_TYPES = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", list("-+0123456789")),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
}


class TextFault(Invalid):
    """A text that is neither YAML nor JSON. `line` counts from 1 and is None where it is the whole text."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__({FIELD: message})
        self.line = line

    @property
    def fault(self) -> Fault:
        """The same as a fault of the document."""
        return Fault((), self.details[0]["message"])


class _Loader(yaml.CSafeLoader):
    """Keys are texts, and each stands once."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key has to be a text", problem_mark=key.start_mark)
            if key.value in found:
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
            found[key.value] = self.construct_object(value, deep=True)
        return found


def _construct_integer(loader: Any, node: yaml.ScalarNode) -> int:
    written = loader.construct_scalar(node)
    return int(written, 0) if written[:2] in ("0x", "0o") else int(written)


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines as blocks."""


def _represent_text(dumper: Any, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


for _name, (_pattern, _first) in _CORE_TYPES.items():
    for _class in (_Loader, _Dumper):
        # The writer knows them besides its own, so that it puts every text in quotes that looks like one.
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _construct_integer)
_Dumper.add_representer(str, _represent_text)


def read(text: str) -> dict[str, Any]:
    """The document that a text holds. Raises TextFault, which is Invalid and says where the text is wrong."""
    data = load(text)
    if not isinstance(data, dict):
        raise TextFault(_NOT_AN_OBJECT)
    return data


def load(text: str, longest: int = LONGEST_TEXT, levels: int = MOST_LEVELS) -> Any:
    """The value of any text in YAML or JSON. Raises TextFault."""
    if len(text) > longest:
        raise TextFault(f"The text is longer than {longest:,} characters.")
    if storable(text) != text:
        raise TextFault("Remove the NUL characters and broken surrogates.")
    found = _from_json(text) or _from_yaml(text, levels)
    if is_deeper(found, levels):
        raise TextFault(f"It is nested more than {levels} levels deep.")
    return found


def _from_json(text: str) -> Any:
    """None where it is no JSON: then it may be YAML, which looks alike."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError:
        return None
    except (ValueError, RecursionError) as error:
        raise TextFault(f"This cannot be read: {str(error)[:200]}.") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands twice")
        found[name] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _from_yaml(text: str, levels: int) -> Any:
    try:
        _refuse_what_grows(text, levels)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader of ours
    except yaml.MarkedYAMLError as error:
        raise _text_fault(error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TextFault(f"This is neither YAML nor JSON: {str(error)[:200]}") from error


def _refuse_what_grows(text: str, levels: int) -> None:
    """Aliases, and levels without end: both take far longer to read than to write. And tags, which JSON has not."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=mark)
        if tag := getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem=f"tags like {tag} are not supported", problem_mark=mark)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > levels:
            problem = f"it is nested more than {levels} levels deep"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def write(data: Mapping[str, Any]) -> str:
    """A document as YAML, its fields in the schema's order."""
    return dump(ordered(data))


def dump(data: Mapping[str, Any]) -> str:
    """Any object as YAML, its fields as they stand."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def lines(text: str, faults: list[Fault]) -> list[int | None]:
    """The line of each fault, from 1; None where the text does not tell."""
    return places(text, [fault.place for fault in faults])


def places(text: str, found: Sequence[Place]) -> list[int | None]:
    """The line of each place in a text, from 1; None where the text does not tell."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, RecursionError):
        return [None for _ in found]
    return [_line(root, place) for place in found]


def _line(node: Any, place: Place) -> int | None:
    """Of the deepest part of `place` that the text has."""
    line = None
    for part in place:
        found = _child(node, part)
        if found is None:
            break
        mark, node = found
        line = mark.line + 1
    return line


def _child(node: Any, part: str | int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark, node.value[part]
    return None


def _text_fault(error: yaml.MarkedYAMLError) -> TextFault:
    mark: Any = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    said = f"This is neither YAML nor JSON: {error.problem or error.context}{where}."
    return TextFault(said, mark.line + 1 if mark else None)


def ordered(data: Mapping[str, Any]) -> dict[str, Any]:
    """A checked document with its fields in the schema's order."""
    ordered = _by_schema(data, FRAME["properties"])
    ordered["nodes"] = [_by_schema(node, NODE_SCHEMAS[node["kind"]]["properties"]) for node in data["nodes"]]
    ordered["edges"] = [_by_schema(edge, ("from", "to", "case")) for edge in data["edges"]]
    return ordered


def _by_schema(values: Mapping[str, Any], order: Any) -> dict[str, Any]:
    return dict(_in_order(values, list(order)))


def _in_order(values: Mapping[str, Any], order: list[str]) -> Iterator[tuple[str, Any]]:
    for name in order:
        if name in values:
            yield name, values[name]
    for name in values:
        if name not in order:
            yield name, values[name]
