"""Signing in by a form: slowed down after failures, as over the API."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts import audit
from accounts.audit import Action
from accounts.models import User
from accounts.security import Kind, note
from accounts.throttling import LoginGuard, client_address
from agentplatform.lib.errors import RateLimited

TOO_MANY = _("Too many failed attempts to sign in; wait %(seconds)d seconds before the next.")


def note_failure(username: str, address: str) -> None:
    """Tells the audit log and the operators of a wrong password, by whomever."""
    user = User.objects.filter(username=username).first()
    audit.record_of_account(Action.SIGN_IN_FAILED, user, is_proved=False)
    note(Kind.SIGN_IN_FAILED, address, f"user:{user.pk}" if user else "")


class SlowedDown(forms.AuthenticationForm):
    """Mixin of a form that checks a password: the next attempt after failures has to wait."""

    def clean(self) -> dict[str, Any]:
        assert self.request is not None
        address = client_address(self.request)
        guard = LoginGuard(address, self.cleaned_data.get("username", ""))
        try:
            guard.enter()
        except RateLimited as error:
            seconds = max(1, round(error.wait))
            raise ValidationError(TOO_MANY, params={"seconds": seconds}) from error
        try:
            cleaned: dict[str, Any] = super().clean()
        except ValidationError:
            note_failure(self.cleaned_data.get("username", ""), address)
            raise
        guard.succeeded()
        if (user := self.get_user()) is not None:
            audit.record_of_account(Action.SIGNED_IN, user)
        return cleaned


class SignInForm(SlowedDown):
    """The form of the page that people sign in on."""


def note_end(user: User | None, **_: Any) -> None:
    """Tells the audit log that somebody has signed out of the pages; Django's signal says so for each of them."""
    if user is not None:
        audit.record_of_account(Action.SIGNED_OUT, user)
