"""Fills the roll-ups from the ledger, where there is one already."""

from typing import Any

from django.db import migrations


def rebuild_all(apps: Any, schema_editor: Any) -> None:
    """Window by window, each a transaction of its own; broken off, it is begun again.

    It asks the platform's own code for what the roll-ups are, so whoever changes their columns moves this behind it.
    """
    records = apps.get_model("billing", "UsageRecord").objects
    for workspace in apps.get_model("accounts", "Workspace").objects.only("id"):
        if records.filter(workspace_id=workspace.pk).exists():
            from billing.rebuilding import rebuild

            for _window in rebuild(workspace.pk):
                pass


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0011_lifetimes")]

    operations = [migrations.RunPython(rebuild_all, migrations.RunPython.noop)]
