"""Chat models, and which stand in when one fails."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.translation import gettext_lazy as _

from agents.models.configurations import Configuration, Kind, Secret


class Input(models.TextChoices):
    """What a model takes beside text."""

    IMAGE = "image", _("Images")
    FILE = "file", _("Files (PDF)")


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
    inputs = ArrayField(
        models.CharField(max_length=16, choices=Input.choices),
        default=list,
        blank=True,
        db_default=[],
        verbose_name=_("inputs"),
        db_comment="What it takes beside text: image, file",
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
