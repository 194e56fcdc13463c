"""Writes stored secrets anew under the first of FIELD_ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.audit.commands import Audited
from agentplatform.lib.rotation import encrypted_columns, rotate


class Command(Audited, BaseCommand):
    help = "Encrypt all stored secrets with the first key of FIELD_ENCRYPTION_KEYS. Harmless when repeated."
    requires_system_checks = ()

    def handle(self, *args: object, **options: Any) -> None:
        locked = 0
        for model, name in encrypted_columns():
            rotation = rotate(model, name)
            locked += rotation.locked
            self.stdout.write(
                f"{model._meta.db_table}.{name}: {rotation.written} written anew, {rotation.current} were current."
            )
        if locked:
            raise CommandError(
                f"No key of FIELD_ENCRYPTION_KEYS opens {locked} of the secrets; they were left as they are. "
                "Put the key that they were written with back into the list, and run this again."
            )
