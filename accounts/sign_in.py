"""Signing in by a form: slowed down after failures, as over the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.throttling import LoginGuard, client_address
from agentplatform.lib.errors import RateLimited

TOO_MANY = _("Too many failed attempts to sign in; wait %(seconds)d seconds before the next.")


class SlowedDown(forms.AuthenticationForm):
    """Mixin of a form that checks a password: the next attempt after failures has to wait."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        guard = LoginGuard(client_address(self.request), self.cleaned_data.get("username", ""))
        try:
            guard.enter()
        except RateLimited as error:
            seconds = max(1, round(error.wait))
            raise ValidationError(TOO_MANY, params={"seconds": seconds}) from error
        cleaned: dict[str, Any] = super().clean()
        guard.succeeded()
        return cleaned


class SignInForm(SlowedDown):
    """The form of the page that people sign in on."""
