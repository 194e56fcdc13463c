"""Who stands behind the ledger's entries: names apart from them, so that they can go and the entries stay.

An entry keeps the id of its user, which says nothing by itself, and refers to names here. A trigger puts them here as
an entry is written, whoever writes it, and leaves their columns in the entry empty.
"""

from __future__ import annotations

import uuid

from accounts.names import put_pseudonym
from billing.models import LedgerName


def erase_names(user_id: uuid.UUID, workspace_id: uuid.UUID) -> int:
    """Puts a pseudonym in the place of a user's name, and of those of their keys and end users; how many there were.

    What is written for them afterwards gets the pseudonym too.
    """
    return put_pseudonym(LedgerName.objects.filter(workspace_id=workspace_id), user_id)
