"""How the demo model answers with JSON: it fills a schema in with what it finds in the question."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

MARK = "JSON Schema:\n"
"""Behind it a system message holds the schema that the answer is to fit."""
NUMBER = re.compile(r"(?<![\w.-])-?\d+(?:\.\d+)?(?![\w-]|\.\d)")
PIECE = re.compile(r"[^.;!?\n。；！？]+")
LONGEST_TEXT = 200
FEW = 3


def schema_in(instructions: str) -> Schema | None:
    """The JSON Schema that a system message asks for, or None."""
    text = instructions.partition(MARK)[2]
    try:
        schema = json.loads(text)
    except ValueError:
        return None
    return schema if isinstance(schema, dict) else None


def filled(schema: Schema, question: str) -> str:
    """JSON that fits the schema, as far as the question says enough."""
    return json.dumps(_Reader(question).value(schema), ensure_ascii=False)


class _Reader:
    """Reads values out of a question. Each number of it is read once."""

    def __init__(self, question: str) -> None:
        self._question = question
        self._numbers = iter(NUMBER.findall(question))

    def value(self, schema: Schema) -> Any:
        if "const" in schema:
            return schema["const"]
        if options := schema.get("enum"):
            return self._named(options) or options[0]
        return self._of_type(schema)

    def _of_type(self, schema: Schema) -> Any:
        match schema.get("type", "object" if "properties" in schema else "string"):
            case "object":
                return dict(self._properties(schema))
            case "array":
                return self._items(schema)
            case "integer":
                return round(self._number(schema))
            case "number":
                return self._number(schema)
            case "boolean":
                return True
            case "null":
                return None
        return self._text(schema)

    def _properties(self, schema: Schema) -> Iterator[tuple[str, Any]]:
        """Those that are required, and those that the question tells of."""
        for name, described in schema.get("properties", {}).items():
            if name in schema.get("required", ()) or self._tells(described):
                yield name, self.value(described)

    def _tells(self, schema: Schema) -> bool:
        if "enum" in schema:
            return self._named(schema["enum"]) is not None
        if "pattern" in schema:
            return self._matched(schema["pattern"]) is not None
        return schema.get("type") in ("number", "integer") and bool(NUMBER.search(self._question))

    def _named(self, options: list[Any]) -> Any:
        """The option that the question names first, or None."""
        text = self._question.lower()
        named = [option for option in options if str(option).lower() in text]
        return min(named, key=lambda option: text.find(str(option).lower()), default=None)

    def _matched(self, pattern: str) -> str | None:
        """The first part of the question that fits a pattern, whole or not."""
        try:
            found = re.search(pattern.removeprefix("^").removesuffix("$"), self._question)
        except re.error:
            return None
        return found[0] if found else None

    def _number(self, schema: Schema) -> float:
        """The next number of the question, or the nearest that the schema allows."""
        found = float(next(self._numbers, 1))
        found = max(schema.get("minimum", found), found)
        found = min(schema.get("maximum", found), found)
        least = schema.get("exclusiveMinimum", found - 1)
        return found if found > least else least + 1

    def _items(self, schema: Schema) -> list[Any]:
        pieces = [piece.strip() for piece in PIECE.findall(self._question) if piece.strip()]
        most = min(schema.get("maxItems", FEW), max(FEW, schema.get("minItems", 0)))
        chosen = (pieces * max(1, schema.get("minItems", 1)))[: max(most, 1)]
        return [_Reader(piece).value(schema.get("items", {})) for piece in chosen]

    def _text(self, schema: Schema) -> str:
        if "pattern" in schema and (found := self._matched(schema["pattern"])):
            return found
        piece = PIECE.search(self._question)
        return (piece[0].strip() if piece else "")[: schema.get("maxLength", LONGEST_TEXT)]
