"""Servers that speak the Model Context Protocol, whose tools are discovered and imported."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models.configurations import Configuration, Kind


class McpServer(Configuration):
    """A server that is started as a command (stdio) or reached by its URL (streamable HTTP)."""

    class Transport(models.TextChoices):
        STDIO = "stdio", _("Command (stdio)")
        HTTP = "http", _("Streamable HTTP")

    class Health(models.TextChoices):
        UNKNOWN = "unknown", _("Unknown")
        HEALTHY = "healthy", _("Healthy")
        FAILING = "failing", _("Failing")

    kind = Kind.MCP_SERVER
    resource = "McpServer"

    transport = models.CharField(_("transport"), max_length=8, choices=Transport.choices)
    command = models.CharField(
        _("command"), max_length=500, blank=True, db_comment="stdio: one of MCP_ALLOWED_COMMANDS"
    )
    arguments = ArrayField(
        models.CharField(max_length=2000), default=list, blank=True, verbose_name=_("arguments")
    )
    environment = models.JSONField(
        default=dict, blank=True, db_comment="stdio: variables that are not secret, name → value"
    )
    url = models.URLField(_("URL"), max_length=500, blank=True, db_comment="http: the endpoint")
    headers = models.JSONField(default=dict, blank=True, db_comment="http: headers that are not secret")
    secret_values = models.JSONField(
        default=dict,
        blank=True,
        editable=False,
        db_comment="Secret header (http) or variable (stdio) → {secret: id of agents_secret, hint}",
    )
    timeout_seconds = models.PositiveSmallIntegerField(
        default=30, validators=[MinValueValidator(1), MaxValueValidator(600)]
    )
    health = models.CharField(
        _("health"), max_length=8, choices=Health.choices, default=Health.UNKNOWN, editable=False
    )
    health_message = models.TextField(blank=True, editable=False, db_comment="What the last try has said")
    checked_at = models.DateTimeField(_("checked at"), null=True, editable=False)
    discovered = models.JSONField(
        default=list,
        editable=False,
        db_comment="Tools at the last discovery: [{name, title, description, input_schema, annotations{}}]",
    )
    server_info = models.JSONField(
        default=dict, editable=False, db_comment="What it says of itself: {name, version, protocol}"
    )

    class Meta:
        verbose_name = _("MCP server")
        verbose_name_plural = _("MCP servers")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="mcp_server_name_once")]
        db_table_comment = "Servers of the Model Context Protocol"
