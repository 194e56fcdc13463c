"""What is worth telling of."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Kind(models.TextChoices):
    """What has happened."""

    SIGN_IN_FAILED = "sign_in_failed", _("Sign-in failed")
    SIGN_IN_SLOWED = "sign_in_slowed", _("Sign-in slowed down after failures")
    PROVIDER_REFUSED = "provider_refused", _("Sign-in by a provider refused")
    KEY_UNKNOWN = "key_unknown", _("Unknown API key")
    KEY_EXPIRED = "key_expired", _("Expired API key")
    KEY_REVOKED = "key_revoked", _("Revoked API key")
    FOREIGN_WORKSPACE = "foreign_workspace", _("Foreign workspace asked for")
    FOREIGN_OBJECT = "foreign_object", _("Object of a foreign workspace asked for")
    CREDENTIAL_IN_URL = "credential_in_url", _("Credential in a URL")
    FORGED_REQUEST = "forged_request", _("Request forgery refused")
