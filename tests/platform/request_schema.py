"""What operations take, read from the API's own description: every place of a body, and what may stand there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.platform.operations import Operation, documented

Json = dict[str, Any]
Path = tuple[str | int, ...]
LONG = 1_000_000


@dataclass(frozen=True)
class Place:
    """A place in a body: a field, an item of a list, a member of an object that may have any."""

    path: Path
    alternatives: tuple[Json, ...]

    def __str__(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def types(self) -> set[str]:
        """The JSON types that are taken here, `null` included; none where anything is."""
        named = {kind for kind in (one.get("type") for one in self.alternatives) if kind}
        nullable = any(one.get("nullable") for one in self.alternatives)
        return named | {"null"} if named and nullable else named

    @property
    def is_text(self) -> bool:
        return "string" in self.types

    @property
    def longest(self) -> int:
        """The most characters of a text, as far as they are known."""
        return max((one.get("maxLength", LONG) for one in self.alternatives), default=LONG)

    @property
    def is_decimal(self) -> bool:
        return any(one.get("format") == "decimal" for one in self.alternatives)

    @property
    def has_fixed_fields(self) -> bool:
        """Whether fields that are not described must not be sent."""
        return any(one.get("properties") and "additionalProperties" not in one for one in self.alternatives)


def places(schema: Json, operation: Operation) -> list[Place]:
    """All places of the operation's body, the body itself first."""
    content = documented(schema, operation)["requestBody"]["content"]["application/json"]
    return list(_walk(schema, content["schema"], ()))


def _walk(schema: Json, node: Json, path: Path) -> Iterator[Place]:
    place = Place(path, tuple(_alternatives(schema, node)))
    yield place
    for one in place.alternatives:
        for name, inner in one.get("properties", {}).items():
            yield from _walk(schema, inner, (*path, name))
        if one.get("items"):
            yield from _walk(schema, one["items"], (*path, 0))
        if one.get("additionalProperties"):
            yield from _walk(schema, one["additionalProperties"], (*path, "X-Any"))


def _alternatives(schema: Json, node: Json) -> Iterator[Json]:
    """The plain schemas that a node stands for, with what the node itself says of them."""
    own = {key: node[key] for key in ("nullable",) if key in node}
    if "$ref" in node:
        node = schema["components"]["schemas"][node["$ref"].rsplit("/", 1)[-1]]
    combined = [one for key in ("oneOf", "anyOf", "allOf") for one in node.get(key, ())]
    for one in combined:
        yield from ({**found, **own} for found in _alternatives(schema, one))
    if not combined:
        yield {**node, **own}


def replaced(body: Any, path: Path, value: Any) -> Any:
    """`body` with `value` at `path`, which is made as far as it is not there."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(key, int):
        items = list(body) if isinstance(body, list) else []
        return [replaced(items[key] if key < len(items) else None, rest, value), *items[key + 1 :]]
    members = dict(body) if isinstance(body, dict) else {}
    return {**members, key: replaced(members.get(key), rest, value)}
