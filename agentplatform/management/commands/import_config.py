"""`manage.py import_config`: makes a workspace's configuration what a file, or a folder of files, says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from accounts import audit
from accounts.actor import Actor
from accounts.actors import actor_in, platform_actor
from accounts.audit.commands import Audited
from accounts.command_arguments import workspace_named
from accounts.models import User
from agentplatform.lib.errors import PlatformError
from agents.configuration.folder import read, secret_of
from agents.configuration.importing import Change, make

SIGN = {"created": "+", "updated": "~", "deleted": "-"}
LONGEST = 200


class Command(Audited, BaseCommand):
    help = (
        "Makes a workspace's configuration what a file or a folder of YAML files says: all of it or, where anything is "
        "wrong, nothing. Secrets come from the environment: CONFIG_SECRET_MODEL_FAST_API_KEY for "
        "${secret:model/fast/api_key}."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="a file, or a folder of files")
        parser.add_argument("--workspace", required=True, help="slug of the workspace")
        parser.add_argument("--user", help="who is to be the author, and the owner of new schedules")
        parser.add_argument("--dry-run", action="store_true", help="only say what would change")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="delete what the file does not have, of the sections that it has",
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        actor = self._actor(options["workspace"], options["user"])
        audit.current().actor = actor
        files = read(file)
        try:
            with transaction.atomic():
                if not files.problems:
                    report = make(
                        actor,
                        files.wanted,
                        secrets=secret_of,
                        prune=options["prune"],
                        is_trial=options["dry_run"],
                    )
                    files.explain(report)
                if files.problems:
                    said = "\n".join(map(str, files.problems))
                    raise CommandError(f"{said}\nNothing was changed.")
        except PlatformError as error:
            raise CommandError(f"{error.message}\nNothing was changed.") from error
        self.has_effect = bool(report.changes) and not options["dry_run"]
        for change in report.changes:
            self._tell(change)
        verb = "would be" if options["dry_run"] else "were"
        counts = ", ".join(f"{report.count(change)} {verb} {change}" for change in SIGN)
        self.stdout.write(f"{counts}, {report.unchanged} are unchanged.")

    def _actor(self, slug: str, username: str | None) -> Actor:
        workspace = workspace_named(slug)
        if username is None:
            return platform_actor(workspace, "import_config")
        user = User.objects.filter(username=username).first()
        actor = actor_in(user.pk, workspace.pk, may_be_superuser=True) if user else None
        if actor is None:
            raise CommandError(f"There is no user {username!r} in the workspace {slug!r}.")
        return actor

    def _tell(self, change: Change) -> None:
        self.stdout.write(f"{SIGN[change.change]} {change.type} {change.name}".rstrip())
        if change.change == "updated":
            for path, one in change.difference.items():
                old, new = (json.dumps(one[side], ensure_ascii=False)[:LONGEST] for side in ("old", "new"))
                self.stdout.write(f"    {path}: {old} → {new}")
