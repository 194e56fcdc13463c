"""Agents: a model with a system prompt and tools."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models.chat_models import ChatModel
from agents.models.configurations import Configuration, Kind
from agents.models.tools import Tool


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
        default=dict,
        blank=True,
        db_comment="{window?, summarize?: {trigger_tokens?, trigger_messages?, keep_messages}, long_term?: {scope}}",
    )
    summary_model = models.ForeignKey(
        ChatModel,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="summarizes_for",
        verbose_name=_("summary model"),
        db_comment="Who writes memory.summarize; null: the agent's model",
    )
    knowledge = models.JSONField(default=list, blank=True, db_comment="Names of knowledge bases")
    config = models.JSONField(
        default=dict,
        blank=True,
        db_comment="{max_steps, temperature, max_tokens, timeout (s), retries, cache_ttl (s)}",
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
