"""Taking back what runs have added to their session: the conversation stands as it did before them.

The runs themselves, their steps, events and usage stay, and so do checkpoints that a person has saved.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import connection
from django.db.models import Q

from runs.models import Checkpoint, Message, Run, Session


def take_back(session_id: uuid.UUID, run_ids: Collection[uuid.UUID]) -> None:
    """Takes the messages and the states of these runs out of the session.

    They have ended, and the caller holds their locks and the session's: nobody writes to the thread meanwhile.
    """
    _let_go(session_id, run_ids)
    Message.objects.filter(session_id=session_id, run_id__in=run_ids).delete()
    states = Checkpoint.objects.automatic().filter(thread_id=str(session_id), run_id__in=run_ids)
    # What another run begins with, or somebody has tagged, stays as a person's own would: no thread goes on from it.
    states.filter(Q(descendants__isnull=False) | ~Q(tags=[])).update(manual=True)
    states.delete()
    with connection.cursor() as cursor:
        for statement in (_UNUSED_WRITES, _UNUSED_VALUES):
            cursor.execute(statement, {"thread": str(session_id)})


def _let_go(session_id: uuid.UUID, run_ids: Collection[uuid.UUID]) -> None:
    """Their session's last turn is the one before them."""
    previous = dict(Run.objects.filter(pk__in=run_ids).values_list("pk", "previous_id"))
    last = head = Session.objects.values_list("head_id", flat=True).get(pk=session_id)
    while last in previous:
        last = previous[last]
    if last != head:
        Session.objects.filter(pk=session_id).update(head_id=last)


_UNUSED_WRITES = """
DELETE FROM runs_checkpointwrite AS pending WHERE pending.thread_id = %(thread)s AND NOT EXISTS (
    SELECT FROM runs_checkpoint AS kept WHERE kept.thread_id = pending.thread_id
    AND kept.namespace = pending.namespace AND kept.checkpoint_id = pending.checkpoint_id
)
"""
_UNUSED_VALUES = """
DELETE FROM runs_checkpointblob WHERE thread_id = %(thread)s AND (namespace, channel, version) NOT IN (
    SELECT kept.namespace, version.key, version.value
    FROM runs_checkpoint AS kept, jsonb_each_text(kept.checkpoint -> 'channel_versions') AS version
    WHERE kept.thread_id = %(thread)s
)
"""
