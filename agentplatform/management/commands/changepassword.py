"""Django's own, and an entry in the audit log."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword

from accounts import audit
from accounts.audit import Action
from accounts.audit.commands import Audited
from accounts.models import User


class Command(Audited, changepassword.Command):
    def handle(self, *args: Any, **options: Any) -> Any:
        output = super().handle(*args, **options)
        user = User.objects.filter(username=options["username"] or getpass.getuser()).first()
        audit.record_of_account(Action.PASSWORD_CHANGED, user, is_by_user=False)
        return output
