"""The audit log's hash chain: which columns it covers; see `lib.hash_chain`."""

from __future__ import annotations

from accounts.audit.models import AuditEntry, AuditSeal, UnsealedAudit
from agentplatform.lib.hash_chain import Chain, register

# Names can be erased, so the chain covers which name an entry refers to, not the name.
FORMAT_1 = (
    "id", "workspace", "timestamp", "action", "outcome", "resource_type", "resource_id", "resource_name",
    "subject_id", "subject_name", "user_id", "user_name", "api_key_id", "api_key_name", "api_key_prefix", "via",
    "address", "request_id", "method", "path", "before", "after",
)  # fmt: skip

AUDIT_LOG = register(
    "audit", Chain(records=AuditEntry, seals=AuditSeal, unsealed=UnsealedAudit, formats={1: FORMAT_1})
)
