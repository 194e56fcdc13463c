"""Messages as they are shown: with their versions and their attachments."""

from __future__ import annotations

from collections.abc import Sequence

from runs.conversations.attachments import find_attachments
from runs.conversations.variants import find_variants
from runs.models import Message


def complete(messages: Sequence[Message]) -> None:
    """Finds what is shown beside the messages' own columns: at most four queries, however many they are."""
    if messages:
        find_variants(messages)
        find_attachments(messages)
