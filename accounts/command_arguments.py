"""What arguments of management commands mean. What means nothing raises CommandError."""

from __future__ import annotations

from datetime import UTC, datetime

from django.core.management.base import CommandError
from django.utils.dateparse import parse_datetime

from accounts.models import Workspace


def workspace_named(slug: str) -> Workspace:
    workspace = Workspace.objects.filter(slug=slug).first()
    if workspace is None:
        raise CommandError(f"There is no workspace {slug!r}.")
    return workspace


def workspaces_named(slug: str | None) -> list[Workspace]:
    """The one with this slug; None: all of them, by slug."""
    return list(Workspace.objects.order_by("slug")) if slug is None else [workspace_named(slug)]


def moment(text: str) -> datetime:
    """A date or a moment in ISO 8601; UTC without an offset."""
    try:
        found = parse_datetime(text) or parse_datetime(f"{text}T00:00:00")
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{text!r} is no date like 2026-11-01 or 2026-11-01T08:30:00Z.")
    return found if found.tzinfo else found.replace(tzinfo=UTC)
