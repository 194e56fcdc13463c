"""The one table that says which role may do what. API-key scopes use the same names."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.utils.translation import gettext_lazy as _


class Role(models.TextChoices):
    """What a member may do in one workspace."""

    ADMIN = "admin", _("Admin")
    OPERATOR = "operator", _("Operator")
    USER = "user", _("User")
    VIEWER = "viewer", _("Viewer")
    AUDITOR = "auditor", _("Auditor")


# `<verb>:<resource>`. `read:all-*` widens `read:*` from the caller's own objects to the whole workspace's; of usage,
# `read:own-usage` is what is left of `read:usage` for the caller's own.
CONFIGURATION = ("agent", "model", "tool", "workflow", "mcp-server", "knowledge")
READ_CONFIGURATION = frozenset(f"read:{resource}" for resource in CONFIGURATION) | {"read:configuration"}
WRITE_CONFIGURATION = frozenset(
    f"{verb}:{resource}"
    for verb in ("write", "delete", "test")
    for resource in CONFIGURATION
    if (verb, resource) not in {("test", "agent"), ("test", "workflow"), ("test", "knowledge")}
) | {"publish:workflow", "write:configuration"}
OWN_WORK = frozenset(
    {
        *("read:session", "write:session", "delete:session"),
        *("read:run", "execute:agent", "execute:workflow", "control:run"),
        *("read:approval", "decide:approval"),
        *("read:schedule", "write:schedule", "delete:schedule"),
        *("read:memory", "write:memory", "delete:memory"),
    },
)
OF_ALL_USERS = frozenset(
    {"read:all-runs", "read:all-sessions", "control:all-runs", "write:all-sessions", "delete:all-sessions"}
)
READ_OF_ALL_USERS = frozenset({"read:all-runs", "read:all-sessions"})
# Figures of what has ended: counts and durations, no content.
METRICS_OF_ALL = frozenset({"read:metrics", "read:all-metrics"})
MEMORIES_OF_ALL = frozenset({"read:all-memories", "delete:all-memories"})
# What everybody has.
OWN_KEYS = frozenset({"read:api-key", "write:api-key", "export:own-data"})
MEMBERS = frozenset({"read:member", "write:member", "export:member", "erase:member"})
WEBHOOKS = frozenset({"read:webhook", "write:webhook", "delete:webhook"})
QUEUE = frozenset({"read:worker", "read:queue", "control:queue"})
OWN_USAGE = "read:own-usage"
MONEY = frozenset({"read:usage", OWN_USAGE, "export:usage", "read:price", "read:budget"})
PROOFS = frozenset({"verify:ledger"})
AUDIT = frozenset({"read:audit", "export:audit"})

permissions_by_role: dict[Role, frozenset[str]] = {
    Role.ADMIN: READ_CONFIGURATION | WRITE_CONFIGURATION | OWN_WORK | OF_ALL_USERS | OWN_KEYS | MEMBERS
    | MEMORIES_OF_ALL | METRICS_OF_ALL
    | QUEUE | WEBHOOKS | MONEY | PROOFS | AUDIT
    | {"write:price", "write:budget", "write:workspace", "write:mcp-command", "read:history"},
    Role.OPERATOR: READ_CONFIGURATION | WRITE_CONFIGURATION | OWN_WORK | OF_ALL_USERS | OWN_KEYS
    | QUEUE | WEBHOOKS | METRICS_OF_ALL
    | {"read:member", "read:usage", OWN_USAGE, "read:price", "read:budget", "read:history"},
    Role.USER: frozenset({"read:agent", "read:workflow", "read:knowledge", "read:metrics", OWN_USAGE})
    | OWN_WORK | OWN_KEYS,
    Role.VIEWER: READ_CONFIGURATION | READ_OF_ALL_USERS | METRICS_OF_ALL | OWN_KEYS
    | {"read:run", "read:session", "read:approval", "read:queue"},
    Role.AUDITOR: MONEY | PROOFS | AUDIT | METRICS_OF_ALL | OWN_KEYS | {"read:history"},
}  # fmt: skip

PERMISSIONS: frozenset[str] = frozenset().union(*permissions_by_role.values())


def scoped(permissions: frozenset[str], scopes: Iterable[str]) -> frozenset[str]:
    """Permissions that are left by an API key's scopes. Who may read all usage may read the own, also by an old key."""
    named = set(scopes)
    return permissions & (named | {OWN_USAGE} if "read:usage" in named else named)
