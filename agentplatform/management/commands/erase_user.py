"""`manage.py erase_user`: erases a person's data, and what says who they were."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.commands import Audited
from accounts.command_arguments import workspace_named
from accounts.models import User
from accounts.removal import check_removable
from agentplatform.lib.errors import PlatformError
from runs.subjects.people import erase_everywhere, erase_from


class Command(Audited, BaseCommand):
    help = (
        "Erases all that a user has said and done, and the account. The ledger stays, under a pseudonym. Killed on the "
        "way, it goes on where it was when it is repeated. There is no way back but a backup."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--workspace", help="slug of one workspace (default: all)")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            self.stdout.write(f"There is no user {options['username']!r}, so there is nothing to erase.")
            self.has_effect = False
            return
        slug = options["workspace"]
        workspace = None if slug is None else workspace_named(slug)
        if not options["yes"] and input(f"Type {user.username} to erase it for ever: ") != user.username:
            raise CommandError("Nothing was erased.")
        try:
            if workspace:
                check_removable(user, workspace.pk)
                done = erase_from(user, workspace.pk)
            else:
                done = erase_everywhere(user)
        except PlatformError as error:
            raise CommandError(error.message) from error
        told = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in sorted(done.items()))
        self.stdout.write(f"Erased: {told or 'nothing was left'}.")
