"""`manage.py verify_ledger`: proves that nothing that is written once was changed, or names the first bad row."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit.models import PLATFORM
from accounts.command_arguments import workspaces_named
from accounts.models import Workspace
from agentplatform.lib.hash_chain import Chain, Head, chains, head, verify, waiting


class Command(BaseCommand):
    help = (
        "Recomputes the hash chains of workspaces from the rows as they are now. Ends with status 1 where a row was "
        "changed, removed or inserted. Keep what it prints elsewhere: with --head it proves later that nothing up to "
        "there was removed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--workspace", help="slug of one workspace (default: all)")
        parser.add_argument("--chain", choices=sorted(chains), help="one chain (default: all)")
        parser.add_argument("--head", help="a head that was printed before, as POSITION:HASH")

    def handle(self, *args: Any, **options: Any) -> None:
        names = [options["chain"]] if options["chain"] else sorted(chains)
        noted = _noted(options["head"])
        if noted and not (options["workspace"] and options["chain"]):
            raise CommandError("A head is of one chain: name it with --workspace and --chain.")
        faults = 0
        for workspace in workspaces_named(options["workspace"]):
            for name in names:
                faults += not self._is_right(workspace, name, chains[name], noted)
        if "audit" in names and not options["workspace"]:
            platform = Workspace(pk=PLATFORM, slug="(platform)")
            faults += not self._is_right(platform, "audit", chains["audit"], None)
        if faults:
            raise CommandError(f"{faults} of the chains are not as they were sealed.")

    def _is_right(self, workspace: Workspace, name: str, chain: Chain, noted: Head | None) -> bool:
        verdict = verify(chain, workspace.pk)
        if noted and not verdict.fault:
            # The whole chain holds; does it still contain what was noted?
            verdict = verify(chain, workspace.pk, after=noted, limit=1)
        found = verdict.fault or f"right, {waiting(chain, workspace.pk)} waiting"
        last = verdict.head if verdict.fault else head(chain, workspace.pk)
        self.stdout.write(f"{workspace.slug} {name} {last} {found}")
        return verdict.fault is None


def _noted(text: str | None) -> Head | None:
    if text is None:
        return None
    position, _, digest = text.partition(":")
    try:
        return Head(int(position), bytes.fromhex(digest))
    except ValueError as error:
        raise CommandError("Give the head as it was printed: POSITION:HASH.") from error
