"""Django's own, and an entry in the audit log."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.management.commands import createsuperuser

from accounts import audit
from accounts.audit import Action
from accounts.audit.commands import Audited
from accounts.models import User
from agentplatform.lib.ids import uuid7


class Command(Audited, createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        before = uuid7()
        super().handle(*args, **options)
        for user in User.objects.filter(pk__gt=before, is_superuser=True):
            audit.record_of_account(Action.CREATED, user, is_by_user=False, after={"is_superuser": True})
