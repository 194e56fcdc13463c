"""Users, workspaces, memberships and the credentials that speak for them."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts import audit as audit  # Its models are this app's.
from accounts import security as security  # And so are its.
from accounts.actor import Actor
from accounts.oauth import models as oauth_models  # noqa: F401
from accounts.roles import Role
from accounts.tenancy import TenantModel, TenantQuerySet
from agentplatform.lib.ids import uuid7
from agentplatform.lib.time_zones import validate_time_zone

currency_validator = RegexValidator(
    r"^[A-Z]{3}\Z", "Use an ISO 4217 code: three capital letters, such as USD."
)
slug_validator = RegexValidator(
    r"^[a-z0-9]+(?:-[a-z0-9]+)*\Z", "Use lower-case letters, digits and single hyphens between them."
)


class LimitedModel(models.Model):
    """What may have limits of its own, instead of those in the settings."""

    requests_per_minute = models.PositiveIntegerField(
        _("requests per minute"), null=True, blank=True, db_comment="Empty: as the settings say; 0: no limit"
    )
    open_requests = models.PositiveIntegerField(
        _("open requests"),
        null=True,
        blank=True,
        db_comment="At once, streams and sockets among them; empty: as the settings say; 0: no limit",
    )

    class Meta:
        abstract = True


class User(AbstractUser, LimitedModel):  # noqa: DJ008 (AbstractUser has one)
    """A person or a program that can sign in. What it may do is said by its memberships alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta(AbstractUser.Meta):
        db_table_comment = "People and programs that can sign in"


class Workspace(LimitedModel):
    """A tenant. Every other resource belongs to exactly one."""

    audited = ("slug", "name", "currency", "requests_per_minute", "open_requests")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(
        _("slug"), max_length=63, unique=True, validators=[slug_validator], db_comment="Name in X-Workspace"
    )
    name = models.CharField(_("name"), max_length=200)
    currency = models.CharField(
        _("currency"),
        max_length=3,
        default="USD",
        validators=[currency_validator],
        db_comment="ISO 4217 code that costs are shown in",
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        default="UTC",
        db_default="UTC",
        validators=[validate_time_zone],
        db_comment="Name as in the IANA database; in which days and months of budgets and reports begin",
    )
    max_concurrent_runs = models.PositiveIntegerField(
        _("runs at once"),
        null=True,
        blank=True,
        db_comment="Empty: as WORKSPACE_CONCURRENCY says; 0: no limit",
    )
    kept_checkpoints = models.PositiveIntegerField(
        _("checkpoints kept"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        db_comment="Of each run the newest, besides those that somebody tagged or forked; empty: all",
    )
    audits_reads = models.BooleanField(
        _("reads are audited"),
        default=False,
        db_default=False,
        db_comment="Whether reads through the API are in the audit log too",
    )
    members = models.ManyToManyField(User, through="Membership", related_name="workspaces")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")
        ordering = ["slug"]
        db_table_comment = "Tenants"

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """The role of a user in a workspace."""

    resource = "Member"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("workspace")
    )
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="memberships", verbose_name=_("user")
    )
    role = models.CharField(_("role"), max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="membership_once_per_user")]
        db_table_comment = "Role of a user in a workspace"

    def __str__(self) -> str:
        return f"{self.user_id} {self.role} in {self.workspace_id}"


class ApiKeyQuerySet(TenantQuerySet["ApiKey"]):
    """API keys. People see their own; those who manage members see all of the workspace."""

    def visible_to(self, actor: Actor) -> Self:
        rows = super().visible_to(actor)
        return rows if actor.may("write:member") else rows.filter(user_id=actor.user_id)


class ApiKey(LimitedModel, TenantModel):
    """A program's credential. Shown once, stored as a hash; `prefix` is what people recognise it by."""

    resource = "ApiKey"
    audited = ("prefix", "scopes", "requests_per_minute", "open_requests")

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_keys", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(
        _("prefix"), max_length=16, unique=True, db_comment="First characters, to find and recognise the key"
    )
    hash = models.CharField(max_length=64, db_comment="SHA-256 of the whole key, hexadecimal")
    scopes = ArrayField(
        models.CharField(max_length=64),
        default=list,
        blank=True,
        db_comment="Empty: all of the role's",
        verbose_name=_("scopes"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    last_used_at = models.DateTimeField(
        _("last used at"), null=True, blank=True, db_comment="Kept to the minute"
    )
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    objects = ApiKeyQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]
        indexes = [models.Index(fields=["workspace", "user"], name="api_key_of_user")]
        db_table_comment = "API keys, hashed"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class SavedFilterQuerySet(TenantQuerySet["SavedFilter"]):
    """Filters that somebody has saved: their own, and those that are shared in the workspace."""

    def visible_to(self, actor: Actor) -> Self:
        return super().visible_to(actor).filter(models.Q(user_id=actor.user_id) | models.Q(is_shared=True))


class SavedFilter(TenantModel):
    """What a list of the admin was narrowed to, under a name. It shows nobody what they may not see."""

    resource = "SavedFilter"
    audited = ("name", "page", "query", "is_shared")

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="saved_filters", db_index=False, verbose_name=_("user")
    )
    page = models.CharField(max_length=100, db_comment="Label of the model whose list it is, as runs.run")
    name = models.CharField(_("name"), max_length=60)
    query = models.CharField(max_length=1000, db_comment="Of the list's address, without the page")
    is_shared = models.BooleanField(
        _("shared"), default=False, db_comment="With all members of the workspace"
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = SavedFilterQuerySet.as_manager()  # type: ignore[misc]

    class Meta:
        verbose_name = _("saved filter")
        verbose_name_plural = _("saved filters")
        ordering = ["name", "id"]
        constraints = [
            # Its first columns find those of a list, too.
            models.UniqueConstraint(fields=["workspace", "page", "user", "name"], name="saved_filter_once")
        ]
        indexes = [models.Index(fields=["user"], name="saved_filter_of_user")]
        db_table_comment = "Filters of the admin's lists that people have saved"

    def __str__(self) -> str:
        return self.name


class Ticket(models.Model):
    """Opens one WebSocket or EventSource, once, within 30 seconds, without a token in the URL."""

    hash = models.CharField(primary_key=True, max_length=64, db_comment="SHA-256 of the ticket, hexadecimal")
    membership = models.ForeignKey(Membership, on_delete=models.CASCADE, related_name="+")
    api_key = models.ForeignKey(ApiKey, null=True, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(db_index=True)
    credential_expires_at = models.DateTimeField(
        null=True, db_comment="When the credential that asked for it ends"
    )

    class Meta:
        db_table_comment = "Single-use tickets for sockets"

    def __str__(self) -> str:
        return f"ticket until {self.expires_at:%H:%M:%S}"
