"""The audit log's rows: who did what to which object, from where, and what it was before and after."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.append_only import AppendOnlyModel, AppendOnlyQuerySet
from accounts.names import name_reference
from agentplatform.lib.hash_chain import Seal, Unsealed
from agentplatform.lib.ids import uuid7

PLATFORM = uuid.UUID(int=0)
"""Stands for the workspace of what is in none."""
SEARCHED = SearchVector("action", "resource_type", "resource_name", "before", "after", config="simple")
MOST_NAMES = 100
# Up to so many entries are found by the index of words alone; of what is more frequent the newest are near.
MOST_FOUND = 3_000


class Action(models.TextChoices):
    """What was done."""

    CREATED = "created", _("Created")
    UPDATED = "updated", _("Updated")
    DELETED = "deleted", _("Deleted")
    RESTORED = "restored", _("Restored")
    PUBLISHED = "published", _("Published")
    TESTED = "tested", _("Tested")
    READ = "read", _("Read")
    EXPORTED = "exported", _("Exported")
    ERASED = "erased", _("Erased")
    SIGNED_IN = "signed_in", _("Signed in")
    SIGNED_OUT = "signed_out", _("Signed out")
    SIGN_IN_FAILED = "sign_in_failed", _("Sign-in failed")
    TOKEN_REFRESHED = "token_refreshed", _("Token refreshed")
    PASSWORD_CHANGED = "password_changed", _("Password changed")
    SECRET_CHANGED = "secret_changed", _("Secret changed")
    REVOKED = "revoked", _("Revoked")
    APPROVED = "approved", _("Approved")
    REJECTED = "rejected", _("Rejected")
    EDITED = "edited", _("Edited and approved")
    RUN_CREATED = "run_created", _("Run created")
    RUN_STARTED = "run_started", _("Run started")
    RUN_PAUSED = "run_paused", _("Run paused")
    RUN_RESUMED = "run_resumed", _("Run resumed")
    RUN_CANCELLED = "run_cancelled", _("Run cancelled")
    RUN_REQUEUED = "run_requeued", _("Run requeued")
    COMMAND_RUN = "command_run", _("Command run")
    OTHER = "other", _("Another operation")


class Via(models.TextChoices):
    """Which way it came."""

    API = "api", _("API")
    ADMIN = "admin", _("Admin")
    COMMAND = "command", _("Command")
    BROWSER = "browser", _("Browser")
    WEBSOCKET = "websocket", _("WebSocket")
    MCP = "mcp", _("MCP")
    SYSTEM = "system", _("System")


class Outcome(models.TextChoices):
    """How it ended."""

    SUCCEEDED = "succeeded", _("Succeeded")
    REFUSED = "refused", _("Refused")


class AuditName(models.Model):
    """A name that entries refer to, as it was then; a pseudonym once it is erased."""

    class Kind(models.TextChoices):
        USER = "user", _("User")
        API_KEY = "api_key", _("API key")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace_id = models.UUIDField(db_comment="Zeros: of entries that are in no workspace")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    user_id = models.UUIDField(db_comment="The user, or whose key it is; zeros: nobody's")
    name = models.CharField(max_length=200)
    erased_at = models.DateTimeField(null=True, db_comment="Since when it is a pseudonym")

    class Meta:
        verbose_name = _("name in the audit log")
        verbose_name_plural = _("names in the audit log")
        indexes = [
            # Not unique: two who bring the same new name at once would wait for one another, with what they have
            # locked. Then it stands here twice, which harms nobody.
            models.Index(
                fields=["workspace_id", "kind", "user_id", "name"],
                condition=models.Q(erased_at=None),
                name="audit_name_known",
            ),
            # Whether what is written now is of somebody who was erased.
            models.Index(
                fields=["workspace_id", "kind", "user_id"],
                condition=models.Q(erased_at__isnull=False),
                name="audit_name_erased",
            ),
        ]
        db_table_comment = "Names in the audit log, apart from it, because they can be erased and it cannot"

    def __str__(self) -> str:
        return self.name


class AuditQuerySet(AppendOnlyQuerySet[Any]):
    """Entries of the audit log. What is in no workspace is for superusers."""

    def found(self, text: str, workspace_ids: Iterable[Any]) -> Self:
        """Those that hold all words of `text`, in what was done to what, or whose people's or keys' names hold it."""
        names = AuditName.objects.filter(workspace_id__in=workspace_ids, name__icontains=text)
        words = models.Q(words=SearchQuery(text, config="simple", search_type="websearch"))
        # Few people have one name, and where nobody has it the index finds the words.
        if keys := list(names.values_list("pk", flat=True)[:MOST_NAMES]):
            words |= (
                models.Q(user_name__in=keys)
                | models.Q(api_key_name__in=keys)
                | models.Q(subject_name__in=keys)
            )
        found = self.alias(words=SEARCHED).filter(words)
        # Left to itself, PostgreSQL walks from the newest entry and makes the words of each anew, for seconds where
        # few entries have them.
        rare = list(found.order_by().values_list("pk", flat=True)[: MOST_FOUND + 1])
        return found if len(rare) > MOST_FOUND else self.filter(pk__in=rare)


class AuditEntry(AppendOnlyModel):
    """One act, in the transaction that did it where there was one.

    People and keys stand in it by id; `user`, `api_key` and `subject` are what a new entry is given, and empty once it
    is written: a trigger puts the names into AuditName, where they can be erased, and sets `user_name` and its like.
    `before` and `after` hold the changed fields only. Secrets, what was said to agents, and names of people are never
    in them: a field that is not shown has the value `"••••"`.
    """

    resource = "AuditEntry"
    append_only = "The audit log is append-only: nobody changes or removes an entry."
    objects: ClassVar[AuditQuerySet] = AuditQuerySet.as_manager()  # type: ignore[assignment]

    # Never null, but optional to whoever joins it: without a constraint, the entries stay when a workspace goes.
    workspace = models.ForeignKey(  # type: ignore[assignment]
        "accounts.Workspace",
        null=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_index=False,
        db_constraint=False,
        verbose_name=_("workspace"),
        db_comment="Zeros: the whole platform",
    )
    timestamp = models.DateTimeField(_("timestamp"))
    action = models.CharField(_("action"), max_length=20, choices=Action.choices)
    outcome = models.CharField(_("outcome"), max_length=9, choices=Outcome.choices, default=Outcome.SUCCEEDED)
    resource_type = models.CharField(_("resource type"), max_length=40, blank=True)
    resource_id = models.UUIDField(_("resource id"), null=True)
    resource_name = models.CharField(
        _("resource"), max_length=200, blank=True, db_comment="Empty where it is a person's or a key's"
    )
    subject_id = models.UUIDField(null=True, db_comment="The person that the resource is or belongs to")
    subject = models.CharField(
        max_length=200, blank=True, editable=False, db_comment="Empty once written: see subject_name"
    )
    subject_name = name_reference(AuditName, _("person or key"))
    user_id = models.UUIDField(_("user id"), null=True)
    user = models.CharField(
        max_length=150, blank=True, editable=False, db_comment="Empty once written: see user_name"
    )
    user_name = name_reference(AuditName, _("user"))
    api_key_id = models.UUIDField(_("API key id"), null=True)
    api_key = models.CharField(
        max_length=100, blank=True, editable=False, db_comment="Empty once written: see api_key_name"
    )
    api_key_name = name_reference(AuditName, _("API key"))
    api_key_prefix = models.CharField(_("API key prefix"), max_length=16, blank=True)
    via = models.CharField(_("via"), max_length=9, choices=Via.choices)
    address = models.CharField(_("address"), max_length=64, blank=True, db_comment="Of the client")
    request_id = models.CharField(_("request id"), max_length=128, blank=True)
    method = models.CharField(_("method"), max_length=8, blank=True)
    path = models.CharField(
        _("path"), max_length=200, blank=True, db_comment="The route's template, or the command"
    )
    before = models.JSONField(
        _("before"), null=True, db_comment="Changed fields by name; null: nothing to tell"
    )
    after = models.JSONField(
        _("after"), null=True, db_comment="Changed fields by name; null: nothing to tell"
    )

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")
        ordering = ["-id"]
        indexes = [
            # The log of a workspace, the newest first; also narrowed by what few of the newest are not.
            models.Index(fields=["workspace", "id"], name="audit_of_workspace"),
            # The history of an object, and what somebody or some key has done.
            models.Index(fields=["workspace", "resource_id", "id"], name="audit_of_resource"),
            models.Index(fields=["workspace", "user_id", "id"], name="audit_of_user"),
            models.Index(
                fields=["workspace", "api_key_id", "id"],
                condition=models.Q(api_key_id__isnull=False),
                name="audit_of_key",
            ),
            # What was done, and what few entries are: refused, or come another way than over the API.
            models.Index(fields=["workspace", "action", "id"], name="audit_of_action"),
            models.Index(
                fields=["workspace", "outcome", "id"],
                condition=~models.Q(outcome=Outcome.SUCCEEDED),
                name="audit_of_outcome",
            ),
            models.Index(
                fields=["workspace", "via", "id"], condition=~models.Q(via=Via.API), name="audit_of_way"
            ),
            # What one request did, and what was done to a person.
            models.Index(fields=["request_id"], condition=~models.Q(request_id=""), name="audit_of_request"),
            models.Index(
                fields=["subject_id"],
                condition=models.Q(subject_id__isnull=False),
                name="audit_of_subject",
            ),
            GinIndex(SEARCHED, name="audit_words"),
        ]
        db_table_comment = "Append-only log of what was done; never updated, never deleted"

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.resource_type} {self.resource_name}".rstrip()


class AuditSeal(Seal):
    """The place of an entry in the hash chain of its workspace's audit log; see `accounts.audit.sealing`."""

    pk = models.CompositePrimaryKey("workspace_id", "position")
    workspace_id = models.UUIDField(db_comment="Zeros: the whole platform")

    class Meta:
        db_table_comment = "Hash chain over the audit log; never updated, never deleted"


class UnsealedAudit(Unsealed):
    """An entry of the audit log that is committed and not sealed yet."""

    class Meta:
        db_table_comment = "Entries of the audit log that wait for their place in the chain"
