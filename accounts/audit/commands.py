"""Management commands in the audit log."""

from __future__ import annotations

from typing import Any

from accounts.audit.models import Action, Via
from accounts.audit.recording import record
from accounts.audit.trail import Trail, following


class Audited:
    """Mixin of commands that change something; put it before BaseCommand.

    What a verb tells says which command it was. Where none has told anything, the command itself is an entry, unless it
    says with `has_effect = False` that it did nothing.
    """

    has_effect = True

    def execute(self, *args: Any, **options: Any) -> Any:
        name = type(self).__module__.rpartition(".")[2]
        with following(Trail(via=Via.COMMAND, path=f"manage.py {name}")) as trail:
            output = super().execute(*args, **options)  # type: ignore[misc]
            if self.has_effect and not trail.told:
                record(Action.COMMAND_RUN)
        return output
