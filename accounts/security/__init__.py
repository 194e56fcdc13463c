"""Security events: failed sign-ins, misused keys, reaches over the tenant wall. Of the whole installation."""

from accounts.security.models import Kind, SecurityEvent
from accounts.security.noting import note, note_absent

__all__ = ["Kind", "SecurityEvent", "note", "note_absent"]
