"""How calls are grouped: by which dimensions, what the groups are called, and which come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.selections import columns_of

# Names of people and keys can be erased, so groups refer to them.
NAMES = {"user_name_id": "user", "api_key_name_id": "api_key"}


@dataclass(frozen=True, slots=True)
class Query:
    """By which dimensions, which groups first (a sum's name, with a minus for the highest), and which page of them."""

    by: Sequence[str]
    ordering: str = "-requests"
    limit: int = 100
    offset: int = 0

    @property
    def end(self) -> int:
        """The last place of the page."""
        return self.offset + self.limit

    @property
    def field(self) -> str:
        return self.ordering.lstrip("-")

    @property
    def is_descending(self) -> bool:
        return self.ordering.startswith("-")

    @property
    def columns(self) -> list[str]:
        """The roll-ups' and the ledger's."""
        return columns_of(self.by)

    @property
    def keys(self) -> list[str]:
        """What the groups are told apart by."""
        return [NAMES.get(name, name) for name in self.columns]

    @property
    def key(self) -> str:
        """The same in SQL."""
        return ", ".join(_quoted(name) for name in self.keys)

    @property
    def no_key(self) -> str:
        """Nulls in its place, each with a comma."""
        return "".join(f"NULL AS {_quoted(name)}, " for name in self.keys)

    @property
    def key_of_part(self) -> str:
        """The key, made of the columns of `part` with `joins`."""
        return ", ".join(self._made)

    @property
    def named(self) -> str:
        """The same, each with its name."""
        return ", ".join(
            f"{made} AS {_quoted(name)}" for made, name in zip(self._made, self.keys, strict=True)
        )

    @property
    def joins(self) -> str:
        return " ".join(
            f"LEFT JOIN (SELECT id, name FROM billing_ledgername) {name}_of ON {name}_of.id = part.{name}"  # noqa: S608
            for name in self.columns
            if name in NAMES
        )

    @property
    def _made(self) -> list[str]:
        return [f"COALESCE({name}_of.name, '')" if name in NAMES else f"part.{name}" for name in self.columns]

    def order(self, field: str) -> str:
        direction = "DESC" if self.is_descending else "ASC"
        return f"{field} {direction} NULLS LAST, {self.key}"


def _quoted(name: str) -> str:
    """`user` is a word of SQL."""
    return f'"{name}"'
