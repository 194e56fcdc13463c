"""What can go wrong with backups."""

from __future__ import annotations


class BackupError(RuntimeError):
    """A backup cannot be made or brought back; the message says why and what to do."""
