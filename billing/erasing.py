"""Erasing a person from what is billed: their names in the ledger, and the exports that may have them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Set

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from accounts.pseudonyms import pseudonym
from billing.exports import files, requests
from billing.models import LedgerName, UsageExport, UsageRecord
from billing.names import erase_names

Counts = Counter[str]
Names = Set[tuple[str, str]]
"""Each with its kind, by which filters and columns of exports are called too."""

REMOVED = (
    "The file was removed, because it may have named somebody who was erased since. Ask for it anew: it has the same "
    "rows, with a pseudonym in place of the name."
)
Status = UsageExport.Status


@transaction.atomic
def erase_from_billing(user_id: uuid.UUID, workspace_id: uuid.UUID) -> Counts:
    """Erases a person from a workspace's ledger and exports; how many rows of each kind went or were changed.

    Their own exports go. Files of others that may name them are removed, and those under way are begun again. No
    export is taken up before all of it is committed, so none that is made afterwards has a name.
    """
    requests.lock_exports(workspace_id)
    names = _names(user_id, workspace_id)
    done: Counts = Counter(usage_exports=requests.delete_of_person(user_id, workspace_id))
    for export in _that_may_name(names, workspace_id):
        done["usage_exports_taken_back"] += _take_back(export, names, user_id)
    done["ledger_names"] = erase_names(user_id, workspace_id)
    return done


def _names(user_id: uuid.UUID, workspace_id: uuid.UUID) -> Names:
    """Those of the person that nobody else in the workspace has: keys of several people are often called the same."""
    known = LedgerName.objects.filter(workspace_id=workspace_id, erased_at=None)
    own = set(known.filter(user_id=user_id).values_list("kind", "name"))
    of_others = known.exclude(user_id=user_id).filter(name__in=[name for _, name in own])
    usernames = User.objects.filter(pk=user_id).values_list("username", flat=True)
    return {(LedgerName.Kind.USER.value, name) for name in usernames} | (
        own - set(of_others.values_list("kind", "name"))
    )


def _that_may_name(names: Names, workspace_id: uuid.UUID) -> list[UsageExport]:
    """Locked: those with a file, now or soon, and those that were narrowed to one of the names."""
    wanted = Q(status__in=[*UsageExport.UNDER_WAY, Status.COMPLETED])
    for kind, name in names:
        wanted |= Q(**{f"filters__{kind}": name})
    return list(UsageExport.objects.select_for_update().filter(wanted, workspace_id=workspace_id))


def _take_back(export: UsageExport, names: Names, user_id: uuid.UUID) -> bool:
    """Takes the names out of what an export says of itself, and its file away. Whether there was any need."""
    narrowed_to = [kind for kind, name in names if export.filters.get(kind) == name]
    if not narrowed_to and not _has_rows_with_names(export, user_id):
        return False
    if narrowed_to:
        export.filters |= dict.fromkeys(narrowed_to, pseudonym(user_id))
        export.manifest = None
    if export.status == Status.RUNNING:
        # Whoever is making it notices, and the next attempt has another file.
        export.status, export.due_at = Status.QUEUED, timezone.now()
        export.tries -= 1
        requests.backlog.wake()
    elif export.status == Status.COMPLETED:
        export.status, export.error, export.expires_at = Status.EXPIRED, REMOVED, timezone.now()
        names_of_files = files.names_of(export)
        transaction.on_commit(lambda: files.forget(*names_of_files))
    export.save()
    return True


def _has_rows_with_names(export: UsageExport, user_id: uuid.UUID) -> bool:
    """Whether it has a file with names, and the person has rows in its period."""
    if export.status not in (Status.RUNNING, Status.COMPLETED):
        return False
    if not requests.options_of(export).chosen.keys() & set(LedgerName.Kind.values):
        return False
    rows = UsageRecord.objects.settled().filter(workspace_id=export.workspace_id, user_id=user_id)
    return rows.filter(timestamp__gte=export.filters["start"], timestamp__lt=export.filters["end"]).exists()
