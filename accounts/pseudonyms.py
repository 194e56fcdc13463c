"""What stands in the place of a name that was erased."""

from __future__ import annotations

import uuid

DIGITS = 12


def pseudonym(user_id: uuid.UUID) -> str:
    """The same for a user wherever their name stood, so that sums by user still add up."""
    # The last digits of an id are random; the first are a time.
    return f"erased-{user_id.hex[-DIGITS:]}"
