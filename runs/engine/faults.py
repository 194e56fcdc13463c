"""Why a run can't go on, with its class; the executor turns it into `run_failed`."""

from __future__ import annotations

from runs.models import ErrorClass


class RunFault(Exception):
    """Ends the run with `error_class` and a message that is fit for people and holds no secret."""

    def __init__(self, error_class: ErrorClass, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message
