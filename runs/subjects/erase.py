"""Erasing a person from a workspace: their content goes, what has to stay names them by a pseudonym.

Batch by batch in short transactions. Each step takes what is left, so whoever is killed on the way begins again, and
what is done twice changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts import audit
from accounts.pseudonyms import pseudonym
from agentplatform.lib.errors import Conflict
from billing import ledger
from billing.erasing import erase_from_billing
from runs import lifecycle, live
from runs.analytics import retention as figures
from runs.conversations import attachments
from runs.models import (
    TERMINAL,
    Attachment,
    Checkpoint,
    CheckpointBlob,
    CheckpointWrite,
    IdempotencyKey,
    Message,
    Run,
    RunEvent,
    RunPayload,
    Schedule,
    WebhookDelivery,
)
from runs.subjects import content
from runs.subjects.content import Subject

BATCH = 20
"""Runs, or sessions, of a transaction; of other rows as many as there are of a person."""
PATIENCE_SECONDS = 10.0
"""How long workers get to settle what a cancelled run has used."""
THREADS = (Checkpoint, CheckpointBlob, CheckpointWrite)
REASON = "The data of the person who has started it are erased."
Counts = Counter[str]


def erase_content(subject: Subject) -> Counts:
    """Erases what there is of the person in the workspace; how many rows of each kind went or were changed.

    Their membership and account are the caller's to end; until then they could begin anew.
    """
    done: Counts = Counter()
    # First what could start further runs.
    done["schedules"] += content.schedules(subject).delete()[0]
    done["api_keys"] += content.api_keys(subject).delete()[1].get("accounts.ApiKey", 0)
    done["saved_filters"] += content.saved_filters(subject).delete()[0]
    done["runs_cancelled"] += _cancel(subject)
    done += _erase_runs(subject)
    done += _erase_sessions(subject)
    done["attachments"] += _erase_files(subject)
    done["memories"] += content.memories(subject).delete()[0]
    IdempotencyKey.objects.filter(workspace_id=subject.workspace_id, actor=f"user:{subject.user_id}").delete()
    done["decisions"] += _blank_decisions(subject)
    done["versions"] += (
        content.versions(subject)
        .exclude(author=pseudonym(subject.user_id))
        .update(author=pseudonym(subject.user_id))
    )
    named = content.documents(subject).exclude(payer__user=pseudonym(subject.user_id))
    done["documents"] += named.update(
        payer={"user_id": str(subject.user_id), "user": pseudonym(subject.user_id)}
    )
    done["figures"] += figures.forget(subject.workspace_id, subject.user_id)
    done += erase_from_billing(subject.user_id, subject.workspace_id)
    done["audit_names"] += audit.erase_names(subject.user_id, subject.workspace_id)
    return done


# --- runs ---


def _cancel(subject: Subject) -> int:
    """Ends what is under way, and waits until its workers have let go of it."""
    active = list(
        content.runs(subject).exclude(status__in=TERMINAL).order_by("pk").values_list("pk", flat=True)
    )
    for run_id in active:
        try:
            live.announce(lifecycle.cancel(run_id, REASON))
        except Conflict:  # It has come to its end by itself.
            continue
    deadline = time.monotonic() + PATIENCE_SECONDS
    in_hand = Run.objects.filter(pk__in=active, worker_id__isnull=False)
    while active and in_hand.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(active)


def _erase_runs(subject: Subject) -> Counts:
    done: Counts = Counter()
    while keys := list(content.runs(subject).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        done["runs"] += _erase_batch(_with_copies(keys))
    return done


def _with_copies(keys: list[uuid.UUID]) -> list[uuid.UUID]:
    """These runs and all that were made of them, by whomever: a fork, a retry and a child say the same again."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [keys])
        return [key for (key,) in cursor.fetchall()]


_BELOW = """
WITH RECURSIVE below AS (
    SELECT id FROM runs_run WHERE id = ANY(%s)
    UNION SELECT run.id FROM runs_run run JOIN below ON run.parent_id = below.id
) SELECT id FROM below ORDER BY id
"""


def _erase_batch(keys: list[uuid.UUID]) -> int:
    for run_id in Run.objects.filter(pk__in=keys).exclude(status__in=TERMINAL).values_list("pk", flat=True):
        lifecycle.cancel(run_id, REASON)
    with transaction.atomic():
        locked = list(
            Run.objects.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk", flat=True)
        )
        # What a worker that did not let go has left open would stay open: nobody finds the run any more.
        ledger.settle_open(locked, timezone.now(), {})
        Run.objects.filter(source_checkpoint__run_id__in=locked).update(source_checkpoint=None)
        _erase_threads([str(key) for key in locked])
        _take_out_of_conversations(locked)
        WebhookDelivery.objects.filter(run_id__in=locked).delete()
        return Run.objects.filter(pk__in=locked).delete()[1].get("runs.Run", 0)


def _take_out_of_conversations(keys: list[uuid.UUID]) -> None:
    """Of what was said in somebody else's conversation the messages go, and the agent's state with them: it cannot be
    cut out of that.
    """
    said_in = Run.objects.filter(pk__in=keys, session__isnull=False).values_list("session_id", flat=True)
    _erase_threads([str(key) for key in said_in.distinct()])
    Message.objects.filter(run__in=keys).delete()


def _erase_threads(thread_ids: list[str]) -> None:
    for table in THREADS:
        table.objects.filter(thread_id__in=thread_ids).delete()


# --- conversations ---


def _erase_sessions(subject: Subject) -> Counts:
    """Their runs are gone already. Other people's schedules that speak in one begin a new one instead."""
    done: Counts = Counter()
    while keys := list(content.sessions(subject).order_by("pk").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            found = content.sessions(subject).select_for_update().filter(pk__in=keys)
            Schedule.objects.filter(session__in=keys).update(session=None)
            _erase_threads([str(key) for key in keys])
            attachments.delete_files_later(Attachment.objects.filter(session__in=keys))
            gone = found.delete()[1]
        done["sessions"] += gone.get("runs.Session", 0)
        done["messages"] += gone.get("runs.Message", 0)
        done["attachments"] += gone.get("runs.Attachment", 0)
    return done


def _erase_files(subject: Subject) -> int:
    """Those that are left: the person's own in somebody else's conversations."""
    with transaction.atomic():
        left = content.attachments(subject)
        attachments.delete_files_later(left)
        return left.delete()[0]


# --- what stays ---


def _blank_decisions(subject: Subject) -> int:
    """In other people's runs the decision stays; the name becomes a pseudonym, and what was said goes."""
    known_as = pseudonym(subject.user_id)
    decided = content.decisions(subject).exclude(decided_by=known_as)
    rows = list(decided.values_list("pk", "run_id", "decided_by"))
    for table in (RunEvent, RunPayload):
        for told in _told_of(table, {(run_id, name) for _, run_id, name in rows}):
            told.data = {**told.data, "decided_by": known_as, "reason": ""}
            told.save(update_fields=["data"])
    WebhookDelivery.objects.filter(
        run_id__in={run_id for _, run_id, _ in rows}, payload__data__has_key="decided_by"
    ).delete()
    # Last: as long as it has the name, whoever begins again finds it.
    return decided.filter(pk__in=[key for key, *_ in rows]).update(decided_by=known_as, reason="")


def _told_of(table: Any, decided: set[tuple[uuid.UUID, str]]) -> Iterator[Any]:
    for run_id, name in sorted(decided):
        yield from table.objects.filter(run_id=run_id, data__decided_by=name)
