"""Cuts through the ledger: the sets of dimensions that it is rolled up by, and in which grains.

A cut answers what filters and groups by its dimensions or fewer of them. Each is as fine as what it has many groups of
allows: a roll-up that has as many rows as the ledger helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from billing.grains import Grain

# A dimension's columns. What it is called now, of people and keys, is found by the id of the name.
DIMENSIONS: Mapping[str, Sequence[str]] = {
    "agent": ("agent_id", "agent"),
    "provider": ("provider",),
    "model": ("provider", "model"),
    "workflow": ("workflow_id", "workflow"),
    "user": ("user_id", "user_name_id"),
    "api_key": ("api_key_id", "api_key_name_id"),
    "tag": ("tag",),
    "session": ("session_id",),
    "status": ("status",),
}
# Every group has these.
COMMON = ("workspace_id", "status", "currency")

Q, H, H4, D, D8, D32 = Grain  # From the finest to the coarsest.


@dataclass(frozen=True, slots=True)
class Cut:
    """`number` is stored: never change one."""

    number: int
    dimensions: Sequence[str]
    grains: Sequence[Grain]

    @property
    def columns(self) -> Sequence[str]:
        """Those of its dimensions, each once."""
        return tuple(dict.fromkeys(column for name in self.dimensions for column in DIMENSIONS[name]))

    def answers(self, dimensions: Iterable[str]) -> bool:
        return set(dimensions) <= {
            *self.dimensions,
            "provider" if "model" in self.dimensions else "",
            "status",
        }


# In the order in which they are preferred.
CUTS = (
    Cut(1, (), (Q, H, H4, D, D8, D32)),
    Cut(2, ("agent", "model"), (Q, H, H4, D, D8, D32)),
    Cut(3, ("workflow",), (Q, H, H4, D, D8, D32)),
    Cut(4, ("tag",), (Q, H, H4, D, D8, D32)),
    Cut(5, ("api_key",), (H, H4, D, D8, D32)),
    Cut(6, ("user",), (H, H4, D, D8, D32)),
    Cut(7, ("agent", "model", "workflow", "user", "api_key"), (H4, D, D32)),
    Cut(8, ("session", "user"), (D,)),
)


def cut_for(dimensions: Iterable[str]) -> Cut | None:
    """The smallest cut that knows all `dimensions`; None where only the entries themselves do."""
    wanted = set(dimensions)
    return next((cut for cut in CUTS if cut.answers(wanted)), None)
