"""What an agent is: models, tools, agents, their secrets, and the immutable versions of all of them."""

from __future__ import annotations

import re

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
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


class Secret(TenantModel):
    """One secret value. Never changed and never shown: a new value is a new row, versions refer to it by id."""

    resource = "Secret"

    value = EncryptedTextField(db_comment="Fernet token; see FIELD_ENCRYPTION_KEYS")
    hint = models.CharField(max_length=8, db_comment="Last characters, so that people recognise it")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table_comment = "Encrypted secrets of models and tools"

    def __str__(self) -> str:
        return f"…{self.hint}"


class Version(TenantModel):
    """A configuration as it stood at one moment. Immutable; runs point at it, history and restore read it."""

    resource = "Version"

    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    object_id = models.UUIDField(db_comment="Id of the model, tool or agent; it may have been deleted since")
    number = models.PositiveIntegerField(_("number"), db_comment="1, 2, 3 … per object")
    name = models.CharField(_("name"), max_length=100)
    data = models.JSONField(db_comment="The whole configuration; secrets stand in it as {secret: id, hint}")
    hash = models.CharField(max_length=64, db_comment="SHA-256 of the canonical JSON of data, hexadecimal")
    change = models.CharField(_("change"), max_length=16, db_comment="created, updated, restored or deleted")
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
        db_table_comment = "Immutable versions of models, tools and agents"

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"


class Configuration(TenantModel):
    """What models, tools and agents share: a name that is unique in the workspace, and a current version."""

    kind: Kind
    resource: str

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


class ChatModel(Configuration):
    """A chat model at a provider's endpoint."""

    kind = Kind.MODEL
    resource = "Model"

    provider = models.CharField(
        _("provider"),
        max_length=32,
        db_comment="A key of agents.providers.registry: openai, anthropic, google, demo",
    )
    model = models.CharField(_("model"), max_length=200, db_comment="The provider's id of the model")
    base_url = models.URLField(blank=True, max_length=500, db_comment="Empty: the provider's own")
    secret = models.ForeignKey(
        Secret, null=True, blank=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    parameters = models.JSONField(
        default=dict, blank=True, db_comment="Defaults: temperature, max_tokens, top_p …"
    )
    fallbacks = models.ManyToManyField(
        "self", through="Fallback", symmetrical=False, related_name="fallback_of"
    )

    class Meta:
        verbose_name = _("model")
        verbose_name_plural = _("models")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="model_name_once")]
        db_table_comment = "Chat models"


class Fallback(models.Model):
    """A model that is asked when another fails; lower positions first."""

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(
        ChatModel, on_delete=models.CASCADE, related_name="fallback_rows", verbose_name=_("model")
    )
    fallback = models.ForeignKey(
        ChatModel, on_delete=models.PROTECT, related_name="+", verbose_name=_("fallback")
    )
    position = models.PositiveSmallIntegerField(_("position"), default=0)

    class Meta:
        verbose_name = _("fallback")
        verbose_name_plural = _("fallbacks")
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["model", "fallback"], name="fallback_once"),
            models.CheckConstraint(
                condition=~models.Q(model=models.F("fallback")), name="fallback_is_another"
            ),
        ]
        db_table_comment = "Fallback models in order"

    def __str__(self) -> str:
        return f"{self.model_id} → {self.fallback_id}"


class Tool(Configuration):
    """Something that an agent can call."""

    class ToolKind(models.TextChoices):
        FUNCTION = "function", _("Function")
        HTTP = "http", _("HTTP request")
        AGENT = "agent", _("Agent")

    class ApprovalDefault(models.TextChoices):
        REJECT = "reject", _("Reject")
        APPROVE = "approve", _("Approve")

    kind = Kind.TOOL
    resource = "Tool"

    tool_kind = models.CharField(_("kind"), max_length=16, choices=ToolKind.choices, db_column="kind")
    function = models.CharField(
        max_length=100, blank=True, db_comment="Name in agents.tools.functions.registry"
    )
    request = models.JSONField(
        default=dict,
        blank=True,
        db_comment="http: {method, url, headers{}, query{}, body}; {placeholders} are arguments",
    )
    secret_headers = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        db_comment="Header name → {secret: id of agents_secret, hint}",
    )
    arguments_schema = models.JSONField(default=dict, blank=True, db_comment="JSON Schema of the arguments")
    timeout_seconds = models.PositiveSmallIntegerField(
        default=30, validators=[MinValueValidator(1), MaxValueValidator(600)]
    )
    idempotent = models.BooleanField(default=False, db_comment="May be called again after a crash")
    requires_approval = models.BooleanField(_("requires approval"), default=False)
    approval_timeout_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(31_536_000)],
        db_comment="How long a call waits for a person; empty: for ever",
    )
    approval_default = models.CharField(
        max_length=8,
        choices=ApprovalDefault.choices,
        default=ApprovalDefault.REJECT,
        db_comment="What happens to a call for which nobody has decided in time",
        db_default=ApprovalDefault.REJECT,
    )
    # The string breaks no circle of imports: the agent's class stands below.
    agent = models.ForeignKey(
        "agents.Agent",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="tools_of",
        verbose_name=_("agent"),
        db_comment="kind agent: whom it asks",
    )

    class Meta:
        verbose_name = _("tool")
        verbose_name_plural = _("tools")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="tool_name_once")]
        db_table_comment = "Tools of agents"


class Agent(Configuration):
    """A model with a system prompt and tools, ready to be run."""

    kind = Kind.AGENT
    resource = "Agent"

    model = models.ForeignKey(
        ChatModel, on_delete=models.PROTECT, related_name="agents", verbose_name=_("model")
    )
    system_prompt = models.TextField(blank=True, max_length=100_000)
    tools = models.ManyToManyField(Tool, blank=True, related_name="agents", verbose_name=_("tools"))
    memory = models.JSONField(
        default=dict, blank=True, db_comment="{window: messages kept for the model}; empty: all"
    )
    knowledge = models.JSONField(default=list, blank=True, db_comment="Names of knowledge bases")
    config = models.JSONField(
        default=dict, blank=True, db_comment="{max_steps, temperature, max_tokens, timeout (s), retries}"
    )
    tags = ArrayField(models.CharField(max_length=50), default=list, blank=True, verbose_name=_("tags"))
    is_default = models.BooleanField(
        _("is default"), default=False, db_comment="Answers where no agent is named"
    )

    class Meta:
        verbose_name = _("agent")
        verbose_name_plural = _("agents")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="agent_name_once"),
            models.UniqueConstraint(
                fields=["workspace"], condition=models.Q(is_default=True), name="agent_default_once"
            ),
        ]
        indexes = [GinIndex(fields=["tags"], name="agent_by_tag")]
        db_table_comment = "Agents"
