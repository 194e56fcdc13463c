"""The audit log: who did what to which object, before and after. Append-only, and searched by auditors."""

from accounts.audit.accounts import account, erase_names, key, member, record_of_account
from accounts.audit.models import Action, AuditEntry, Outcome, Via
from accounts.audit.recording import (
    NOTHING,
    Thing,
    created,
    deleted,
    entry,
    is_told,
    record,
    thing,
    updated,
    updating,
)
from accounts.audit.trail import Trail, current, following
from accounts.audit.values import HIDDEN, fingerprint_of, state_of

__all__ = [
    "HIDDEN",
    "NOTHING",
    "Action",
    "AuditEntry",
    "Outcome",
    "Thing",
    "Trail",
    "Via",
    "account",
    "created",
    "current",
    "deleted",
    "entry",
    "erase_names",
    "fingerprint_of",
    "following",
    "is_told",
    "key",
    "member",
    "record",
    "record_of_account",
    "state_of",
    "thing",
    "updated",
    "updating",
]
