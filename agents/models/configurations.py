"""What all configurations share: their versions, their secrets, and a name that is unique in the workspace."""

from __future__ import annotations

import re

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.tenancy import TenantModel
from agentplatform.lib.secrets import EncryptedTextField

name_validator = RegexValidator(
    re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z"),
    "Start with a letter or digit and use letters, digits, hyphens, dots and underscores only.",
)


class Kind(models.TextChoices):
    """The configurations that have versions."""

    MODEL = "model", _("Model")
    TOOL = "tool", _("Tool")
    AGENT = "agent", _("Agent")
    WORKFLOW = "workflow", _("Workflow")
    MCP_SERVER = "mcp-server", _("MCP server")


class Secret(TenantModel):
    """One secret value. Never changed and never shown: a new value is a new row, versions refer to it by id."""

    resource = "Secret"

    value = EncryptedTextField(db_comment="Fernet token; see FIELD_ENCRYPTION_KEYS")
    hint = models.CharField(max_length=8, db_comment="Last characters, so that people recognise it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table_comment = "Encrypted secrets of configurations"

    def __str__(self) -> str:
        return f"…{self.hint}"


title_by_change = {
    "created": _("Created"),
    "updated": _("Updated"),
    "restored": _("Restored"),
    "deleted": _("Deleted"),
    "tried": _("Tried"),
}
"""What has made a version, for people."""


class Version(TenantModel):
    """A configuration as it stood at one moment. Immutable; runs point at it, history and restore read it."""

    resource = "Version"

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    object_id = models.UUIDField(db_comment="Id of the configuration; it may have been deleted since")
    number = models.PositiveIntegerField(_("number"), db_comment="1, 2, 3 … per object")
    name = models.CharField(_("name"), max_length=100)
    data = models.JSONField(db_comment="The whole configuration; secrets stand in it as {secret: id, hint}")
    hash = models.CharField(
        max_length=64, db_comment="SHA-256 of the canonical JSON of data, without `source`, hexadecimal"
    )
    change = models.CharField(
        _("change"), max_length=16, db_comment="created, updated, restored, deleted, or tried and never saved"
    )
    author_id = models.UUIDField(null=True)
    author = models.CharField(
        _("author"), max_length=150, blank=True, db_comment="The author's user name at that time"
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["object_id", "number"], name="version_number_once")]
        indexes = [models.Index(fields=["workspace", "kind", "name"], name="version_by_name")]
        db_table_comment = "Immutable versions of all configurations"

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"

    @property
    def change_title(self) -> str:
        return str(title_by_change.get(self.change, self.change))


class Configuration(TenantModel):
    """What all of them share: a name that is unique in the workspace, and a current version."""

    kind: Kind
    resource: str
    audited = ("name",)

    name = models.CharField(_("name"), max_length=100, validators=[name_validator])
    description = models.TextField(_("description"), blank=True, max_length=2000)
    enabled = models.BooleanField(_("enabled"), default=True)
    version = models.ForeignKey(
        Version,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("version"),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name
