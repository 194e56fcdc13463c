"""Who acts: one value that every request, socket and command carries, and every audit line can name."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from accounts.roles import Role
from agentplatform.lib.errors import PermissionDenied


class OwnLimits(NamedTuple):
    """Limits that a user, a key or a workspace has instead of the settings': None as they say, 0 none."""

    requests_per_minute: int | None = None
    open_requests: int | None = None


class Limits(NamedTuple):
    """Those of all that an actor stands for."""

    user: OwnLimits = OwnLimits()
    workspace: OwnLimits = OwnLimits()
    key: OwnLimits = OwnLimits()


@dataclass(frozen=True, slots=True)
class Actor:
    """A user in one workspace, with the permissions that this credential carries there.

    `permissions` are the role's, narrowed by an API key's scopes. `expires_at` is when the credential
    ends (sockets end with it); None means that it does not end by itself. `membership_id` is None for a
    superuser who looks at a workspace from the admin without being its member. `fingerprint` tells
    whether the password that the credential was issued under is still the user's; empty for API keys.

    `audits_reads` is the workspace's wish that reads are recorded too.
    """

    user_id: uuid.UUID
    username: str
    workspace_id: uuid.UUID
    workspace_slug: str
    role: Role
    permissions: frozenset[str]
    api_key_id: uuid.UUID | None = None
    api_key_name: str = ""
    address: str = ""
    expires_at: datetime | None = field(default=None, compare=False)
    membership_id: uuid.UUID | None = None
    fingerprint: str = field(default="", compare=False, repr=False)
    api_key_prefix: str = ""
    audits_reads: bool = False
    limits: Limits = field(default=Limits(), compare=False, repr=False)

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raises PermissionDenied, naming the permission that is missing."""
        if permission not in self.permissions:
            raise PermissionDenied(
                f"This needs the permission {permission!r}, which {self.describe()} does not have."
            )

    def describe(self) -> str:
        if self.api_key_id:
            return f"the API key {self.api_key_name!r} of {self.username!r} ({self.role})"
        return f"the role {self.role.value!r}"

    @property
    def key(self) -> str:
        """Identifies the credential's owner for idempotency, rate limits and security events."""
        return f"key:{self.api_key_id}" if self.api_key_id else f"user:{self.user_id}"
