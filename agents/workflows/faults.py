"""What is wrong with a workflow's document, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """`place` leads through the document (`("nodes", 3, "prompt")`); `node` is the id of the node, if it is in one."""

    place: Place
    message: str
    node: str = ""

    @property
    def path(self) -> str:
        """For people and programs: `nodes.classify.prompt`, where the node has an id; else `nodes.3.prompt`."""
        place = list(self.place)
        if self.node and place[:1] == ["nodes"] and len(place) > 1:
            place[1] = self.node
        return ".".join(map(str, place))

    @property
    def field(self) -> str:
        """Within the node."""
        return ".".join(map(str, self.place[2:])) if self.node else ""

    def as_json(self, line: int | None = None) -> dict[str, Any]:
        """`{path, node, field, message, line}`; `line` counts from 1 and is null where no text is known."""
        return {
            "path": self.path,
            "node": self.node,
            "field": self.field,
            "message": self.message,
            "line": line,
        }
