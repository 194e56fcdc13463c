"""Expressions of workflows, in CEL: checked against the types of input and state, then evaluated.

`input.<name>` and `state.<name>` are the fields, `loops.<node>` says how often a loop has gone round, `error.node` and
`error.message` what the last failure was that an edge with the case `error` has caught. CEL has no loops of its own, no
side effects and no way out; the library bounds its depth and its iterations.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_strings

from agents.workflows.document import Document, StateField

Values = Mapping[str, Any]
"""What an expression sees, by the names that it uses: `state.score`, `input.message` …"""

LONGEST_RESULT = 1_000_000
LONGEST_OPERAND = 100_000
"""Characters of a text that an expression calculates with."""
LONGEST_OF_EACH = 5_000
"""The same where it makes something of each item of a list."""
_NAME = re.compile(r"\b(input|state|loops|error)\s*\.\s*(\w+)")
# CEL bounds iterations, not memory: what multiplies texts is refused, or bounded by what it is given.
_MULTIPLIES = re.compile(r"\.\s*(replace|format)\s*\(")
_MAPS = re.compile(r"\.\s*map\s*\(")
_JOINS = re.compile(r"\.\s*join\s*\(")
_SHORT_JOINS = re.compile(r"""\.\s*join\s*\(\s*(?:'[^'\\]{0,20}'|"[^"\\]{0,20}")?\s*\)""")
_TYPES: dict[str, cel.Type] = {
    "string": cel.Type.STRING,
    "integer": cel.Type.INT,
    "number": cel.Type.DOUBLE,
    "boolean": cel.Type.BOOL,
    "array": cel.Type.LIST,
    "object": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "any": cel.Type.DYN,
}
# Which of CEL's types a field of a JSON type takes.
_TAKEN: dict[str, frozenset[str]] = {
    "string": frozenset({"STRING", "TIMESTAMP"}),
    "integer": frozenset({"INT", "UINT"}),
    "number": frozenset({"DOUBLE", "INT", "UINT"}),
    "boolean": frozenset({"BOOL"}),
    "array": frozenset({"LIST"}),
    "object": frozenset({"MAP"}),
}
_NEVER = frozenset({"BYTES", "TYPE", "DURATION", "ERROR", "UNKNOWN"})
_POSITION = re.compile(r"^(?:\w+: )?ERROR: <input>:(\d+):(\d+): (.*)$")
_OPEN, _CLOSE = "{{", "}}"


class ExpressionFault(Exception):
    """An expression that cannot be compiled or evaluated, in words for its author."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `type` is CEL's name of what it comes to: STRING, LIST<DYN> …"""

    source: str
    program: cel.Expression
    type: str

    @property
    def names(self) -> frozenset[str]:
        """What it refers to. A text in quotes may look like more; nothing is ever missing."""
        return frozenset(f"{root}.{name}" for root, name in _NAME.findall(self.source))

    def evaluate(self, values: Values) -> Any:
        """Its value as plain JSON. Raises ExpressionFault."""
        if self.source in values:
            return values[self.source]
        used = {name: values[name] for name in self.names if name in values}
        self._check_size(used)
        try:
            found = self.program.eval(data=used)
            kind, value = found.type().name(), found.plain_value()
        except Exception as error:
            raise ExpressionFault(f"{self.source}: {_reason(error)}") from error
        if kind in _NEVER:
            raise ExpressionFault(f"{self.source}: {_reason(value)}")
        return _as_json(value, self.source)

    def _check_size(self, used: Values) -> None:
        """Ten thousand times a long text would be too much memory."""
        most = LONGEST_OF_EACH if _MAPS.search(self.source) else LONGEST_OPERAND
        if any(_longest_text(value) > most for value in used.values()):
            raise ExpressionFault(
                f"{self.source}: a text of more than {most:,} characters can only be passed on as it is, "
                "not calculated with."
            )


@dataclass(frozen=True, slots=True)
class Template:
    """A text in parts: strings as they are, and expressions."""

    parts: tuple[str | Expression, ...]

    @property
    def type(self) -> str:
        """As `Expression.type`: of a single expression its own, else STRING."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return self.parts[0].type
        return "STRING"

    def render(self, values: Values) -> Any:
        """The text; of a template that is one expression and nothing else, its value as it is."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Expression):
            return self.parts[0].evaluate(values)
        text = "".join(
            part if isinstance(part, str) else as_text(part.evaluate(values)) for part in self.parts
        )
        if len(text) > LONGEST_RESULT:
            raise ExpressionFault(f"The text has become longer than {LONGEST_RESULT:,} characters.")
        return text


class Scope:
    """The names that a document's expressions may use, with their types."""

    def __init__(self, document: Document) -> None:
        self._inputs = {f"input.{one.name}": one for one in document.input_fields}
        self._state = {f"state.{name}": one for name, one in document.state.items()}
        self._loops = [f"loops.{node.id}" for node in document.of_kind("loop")]

    @cached_property
    def _environment(self) -> cel.Env:
        fields = {**self._inputs, **self._state}
        variables = {name: cel_type(one) for name, one in fields.items()}
        variables |= dict.fromkeys(self._loops, cel.Type.INT)
        variables |= dict.fromkeys(("error.node", "error.message"), cel.Type.STRING)
        return cel.NewEnv(variables=variables, extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()])

    def expression(self, source: str) -> Expression:
        """Raises ExpressionFault: a syntax error, an unknown name, types that do not fit, what multiplies texts."""
        if found := _MULTIPLIES.search(source):
            raise ExpressionFault(f"{found[1]} is not available: it can make texts of any length.")
        if len(_JOINS.findall(source)) > len(_SHORT_JOINS.findall(source)):
            raise ExpressionFault(
                "join takes a text of at most 20 letters, in quotes, to put between the others."
            )
        try:
            program = self._environment.compile(source)
        except Exception as error:
            raise ExpressionFault(_reason(error)) from error
        return Expression(source, program, program.return_type().name())

    def template(self, text: str) -> Template:
        """Raises ExpressionFault, for a `{{` without its `}}` as well."""
        return Template(tuple(self._parts(text)))

    def _parts(self, text: str) -> Iterator[str | Expression]:
        if is_whole_expression(text):
            yield self.expression(text.strip()[2:-2].strip())
            return
        place = 0
        while (start := text.find(_OPEN, place)) >= 0:
            if start > place:
                yield text[place:start]
            end = _end_of(text, start)
            yield self.expression(text[start + 2 : end].strip())
            place = end + 2
        if place < len(text) or not text:
            yield text[place:]

    def values(
        self, given: Values, state: Values, loops: Mapping[str, int], error: Mapping[str, str] | None
    ) -> dict[str, Any]:
        """What expressions see: `given` is the run's input, `state` the fields by their plain names."""
        values = {name: _typed(one, given.get(one.name, one.initial())) for name, one in self._inputs.items()}
        for name, one in self._state.items():
            values[name] = _typed(one, state.get(one.name, one.initial()))
        for name in self._loops:
            values[name] = loops.get(name.removeprefix("loops."), 0)
        caught = error or {"node": "", "message": ""}
        return {**values, "error.node": caught["node"], "error.message": caught["message"]}


def is_whole_expression(text: str) -> bool:
    """Whether a template is one expression and nothing else."""
    inner = text.strip()
    return inner.startswith(_OPEN) and _end_or_none(inner, 0) == len(inner) - 2


def cel_type(one: StateField) -> cel.Type:
    """The type under which expressions know a field."""
    if one.type == "array":
        return cel.Type.List(cel_type(one.items))
    return _TYPES[one.type]


def fits(type_name: str, one: StateField) -> bool:
    """Whether a value of this CEL type may go into a field, as far as types tell."""
    base, _, inner = type_name.rstrip(">").partition("<")
    if base in _NEVER:
        return False
    if base == "DYN" or one.type == "any":
        return True
    if one.type == "array" and one.reducer == "append" and base != "LIST":
        return fits(type_name, one.items)
    if base not in _TAKEN[one.type]:
        return False
    return not (one.type == "array" and inner) or fits(inner, one.items)


def as_text(value: Any) -> str:
    """A value in the middle of a text: strings as they are, everything else as JSON; 3.0 reads as 3."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _typed(one: StateField, value: Any) -> Any:
    """JSON has one kind of number, CEL two: a whole number in a field of numbers is one of them all the same."""
    if one.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if one.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if one.type == "array" and one.items.type in ("number", "integer") and isinstance(value, list):
        return [_typed(one.items, item) for item in value]
    return value


def _longest_text(value: Any) -> int:
    longest, pending = 0, [value]
    while pending:
        match pending.pop():
            case str() as text:
                longest = max(longest, len(text))
            case Mapping() as mapping:
                pending.extend(mapping.values())
            case list() as items:
                pending.extend(items)
    return longest


def _as_json(value: Any, source: str) -> Any:
    """CEL's values that JSON has not are written as texts; what has no form there is refused."""
    match value:
        case float() if not math.isfinite(value):
            raise ExpressionFault(f"{source}: it comes to {value}, which JSON has no form for.")
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): _as_json(item, source) for key, item in value.items()}
        case Sequence() if not isinstance(value, bytes | bytearray):
            return [_as_json(item, source) for item in value]
    raise ExpressionFault(f"{source}: it comes to a {type(value).__name__}, which JSON has no form for.")


def _end_of(text: str, start: int) -> int:
    end = _end_or_none(text, start)
    if end is None:
        raise ExpressionFault(
            f"The expression that begins with {text[start : start + 20]!r} has no end: {_CLOSE}."
        )
    return end


def _end_or_none(text: str, start: int) -> int | None:
    """Where the `}}` stands that closes the `{{` at `start`: quotes and braces of the expression are passed over."""
    place, depth, quote = start + 2, 0, ""
    while place < len(text):
        letter = text[place]
        if quote:
            place += letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "{":
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
        elif text.startswith(_CLOSE, place):
            return place
        place += 1
    return None


def _reason(error: object) -> str:
    """The first line of what CEL says, without its codes, and with the remedy where one is known."""
    first = str(error).replace("INVALID_ARGUMENT: ERROR", "ERROR").split("\n", 1)[0]
    if found := _POSITION.match(first):
        line, column, said = found.groups()
        at = f"column {column}" if line == "1" else f"line {line}, column {column}"
        return f"{said.replace(' (in container ' + repr('') + ')', '')} ({at}).{_remedy(said)}"
    return re.sub(r"^[A-Z_]+: ", "", first).removesuffix(" [INTERNAL]") + "."


def _remedy(said: str) -> str:
    if "no matching overload" in said and "double" in said and "int" in said:
        return " A number is compared and combined with numbers: write 1.0 for 1, or double(x)."
    if "undeclared reference" in said:
        return " Declare it under input or state, and write input.name, state.name or loops.node."
    return ""
