"""Why a run can't go on; the executor turns it into the run's end, or its rest."""

from __future__ import annotations

from billing.budgets.room import Shortfall
from runs.models import ErrorClass


class RunFault(Exception):
    """Ends the run with `error_class` and a message that is fit for people and holds no secret."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message


class NoRoom(Exception):
    """A budget has no room for a model call, which was not opened."""

    def __init__(self, shortfall: Shortfall) -> None:
        super().__init__(shortfall.message)
        self.shortfall = shortfall


class TimeIsUp(Exception):
    """The run's own `timeout` is over in the middle of a model call; it rests until it gets more."""
