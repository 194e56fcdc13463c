"""What an agent can call."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models.configurations import Configuration, Kind
from agents.models.knowledge import KnowledgeBase
from agents.models.mcp_servers import McpServer


class Tool(Configuration):
    """Something that an agent can call."""

    class ToolKind(models.TextChoices):
        FUNCTION = "function", _("Function")
        HTTP = "http", _("HTTP request")
        AGENT = "agent", _("Agent")
        MCP = "mcp", _("Tool of an MCP server")
        KNOWLEDGE = "knowledge", _("Search in a knowledge base")

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
    # The string breaks no circle of imports: the agent's module imports this one.
    agent = models.ForeignKey(
        "agents.Agent",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="tools_of",
        verbose_name=_("agent"),
        db_comment="kind agent: whom it asks",
    )
    mcp_server = models.ForeignKey(
        McpServer,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="tools",
        verbose_name=_("MCP server"),
        db_comment="kind mcp: whose tool it is",
    )
    mcp_tool = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        db_comment="kind mcp: the tool's name at its server",
    )

    knowledge_base = models.ForeignKey(
        KnowledgeBase,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="tools",
        verbose_name=_("knowledge base"),
        db_comment="kind knowledge: which it searches",
    )

    class Meta:
        verbose_name = _("tool")
        verbose_name_plural = _("tools")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="tool_name_once")]
        db_table_comment = "Tools of agents"
