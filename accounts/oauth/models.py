"""Which account at a provider belongs to which user."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from agentplatform.lib.ids import uuid7


class ProviderAccount(models.Model):
    """An account at a provider, known by the provider's id of it: addresses change hands, ids do not."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="provider_accounts",
        verbose_name=_("user"),
    )
    provider = models.CharField(_("provider"), max_length=32)
    subject = models.CharField(_("id there"), max_length=255, db_comment="The provider's id of its user")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("account at a provider")
        verbose_name_plural = _("accounts at providers")
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="provider_account_of_one_user")
        ]
        db_table_comment = "Accounts at Google or GitHub that users sign in with"

    def __str__(self) -> str:
        return f"{self.user_id} at {self.provider}"
