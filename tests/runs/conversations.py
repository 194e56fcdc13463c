"""Sessions with messages whose times are known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from runs.models import Message, Session

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def one_a_minute(session: Session) -> Callable[..., Message]:
    """`say("text", source="user", of=session)`: a message, a minute after the one before; the first at `START`."""

    def say(content: str, source: str = "user", of: Session = session, **fields) -> Message:
        created_at = START + timedelta(minutes=Message.objects.count())
        return Message.objects.create(
            session=of, content=content, source=source, created_at=created_at, **fields
        )

    return say
