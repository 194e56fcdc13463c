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
COMMON = ("workspace_id", "currency")

Q, H, H4, D, D8, D32, D128 = Grain  # From the finest to the coarsest.


@dataclass(frozen=True, slots=True)
class Cut:
    """`number` is stored: never change what one means, but give another number.

    A cut that `is_ranked` has many groups, of which only the first are asked for; see `billing.rankings`.
    """

    number: int
    dimensions: Sequence[str]
    grains: Sequence[Grain]
    is_ranked: bool = False

    @property
    def name(self) -> str:
        return ", ".join(self.dimensions) or "nothing"

    @property
    def columns(self) -> Sequence[str]:
        """Those of its dimensions, each once."""
        return tuple(dict.fromkeys(column for name in self.dimensions for column in DIMENSIONS[name]))

    def answers(self, dimensions: Iterable[str]) -> bool:
        return set(dimensions) <= {*self.dimensions, "provider" if "model" in self.dimensions else ""}


# In the order in which they are preferred. Quarters of an hour are for what is drawn by local days and hours.
CUTS = (
    Cut(25, (), (Q, H, H4, D, D8, D32)),
    Cut(9, ("status",), (Q, H, H4, D, D8, D32)),
    Cut(10, ("agent",), (Q, H, H4, D, D8, D32)),
    Cut(11, ("model",), (Q, H, H4, D, D8, D32)),
    Cut(22, ("agent", "model"), (H, H4, D, D8, D32, D128)),
    Cut(13, ("workflow",), (Q, H, H4, D, D8, D32)),
    Cut(14, ("tag",), (Q, H, H4, D, D8, D32)),
    Cut(19, ("agent", "model", "workflow"), (H4, D, D8, D32, D128)),
    Cut(20, ("agent", "model", "tag"), (H4, D, D8, D32, D128)),
    Cut(21, ("agent", "model", "status"), (H4, D, D8, D32, D128)),
    Cut(23, ("api_key",), (Q, H4, D, D8, D32, D128)),
    Cut(24, ("user",), (Q, H4, D, D8, D32, D128)),
    Cut(17, ("agent", "model", "workflow", "user", "api_key", "status"), (D, D32)),
    Cut(18, ("session",), (H4, D), is_ranked=True),
)


def cut_for(dimensions: Iterable[str]) -> Cut | None:
    """The smallest cut that knows all `dimensions`; None where only the entries themselves do."""
    wanted = set(dimensions)
    return next((cut for cut in CUTS if cut.answers(wanted)), None)
