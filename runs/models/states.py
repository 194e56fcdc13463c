"""Where a run stands, and why it failed."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    """Where a run stands. Only `runs.lifecycle` changes it."""

    CREATED = "created", _("Created")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
    WAITING = "waiting", _("Waiting")
    COMPLETED = "completed", _("Completed")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
# In a worker's hands.
UNDER_WAY = (Status.RUNNING, Status.PAUSING)
# The same, or about to be.
IN_FLIGHT = (Status.QUEUED, *UNDER_WAY)
# Started, and in nobody's hands until somebody says or does something.
AT_REST = (Status.PAUSED, Status.WAITING)
# Everything that has started and not ended: it holds its session, and what it refers to.
ACTIVE = (*IN_FLIGHT, *AT_REST)
# What people look for in lists: neither on its way nor well ended.
OF_NOTE = (Status.CREATED, *AT_REST, Status.FAILED, Status.CANCELLED)


class ErrorClass(models.TextChoices):
    """Why a run failed."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REJECTED = "provider_rejected"
    AUTHENTICATION = "authentication"
    TOOL_ERROR = "tool_error"
    MAX_STEPS = "max_steps"
    BUDGET_EXCEEDED = "budget_exceeded"
    INVALID_CONFIGURATION = "invalid_configuration"
    WORKER_LOST = "worker_lost"
    INTERNAL = "internal"
