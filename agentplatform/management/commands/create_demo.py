"""Creates the demo workspace, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from accounts.audit.commands import Audited
from agentplatform.demo import Credential, create_demo, credentials_file


class Command(Audited, BaseCommand):
    help = "Create the workspace `demo` with a user for each role and its agents, unless it exists."
    requires_system_checks = ()

    def handle(self, *args: object, **options: Any) -> None:
        credentials = create_demo()
        self.has_effect = bool(credentials)
        if credentials:
            self.stdout.write('The workspace "demo" has these users; their passwords are shown only now:\n\n')
            for line in _table(credentials):
                self.stdout.write(line)
            self.stdout.write(f"\nThey are kept in {credentials_file()}, for your eyes only.")
        elif credentials_file().exists():
            self.stdout.write(
                f'The users of the workspace "demo" and their passwords are in {credentials_file()}.'
            )
        else:
            self.stdout.write(
                'The workspace "demo" exists. `manage.py changepassword admin` sets a new password.'
            )


def _table(credentials: list[Credential]) -> list[str]:
    width = max(len(credential.username) for credential in credentials)
    return [f"  {credential.username:<{width}}  {credential.password}" for credential in credentials]
