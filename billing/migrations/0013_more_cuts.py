"""Rolls up the ledger by what came to the cuts, and drops what they take the place of.

New are all calls together, and agent and model with workflow, tag or status. Agent and model, keys and users have finer
grains.
"""

from typing import Any

from django.db import migrations

NEW = frozenset({19, 20, 21, 22, 23, 24, 25})
DROP = """
    DELETE FROM billing_usagerollup WHERE cut IN (12, 15, 16);
    DELETE FROM billing_usagegroup WHERE cut IN (12, 15, 16);
"""


def rebuild_new(apps: Any, schema_editor: Any) -> None:
    """Window by window, each a transaction of its own; broken off, it is begun again.

    It asks the platform's own code for what these cuts are: those that are gone by then need nothing.
    """
    records = apps.get_model("billing", "UsageRecord").objects
    for workspace in apps.get_model("accounts", "Workspace").objects.only("id"):
        if records.filter(workspace_id=workspace.pk).exists():
            from billing.cuts import CUTS
            from billing.rebuilding import rebuild

            for _window in rebuild(workspace.pk, [cut for cut in CUTS if cut.number in NEW]):
                pass


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("billing", "0012_roll_up_again")]

    operations = [
        migrations.RunPython(rebuild_new, migrations.RunPython.noop),
        migrations.RunSQL(DROP, migrations.RunSQL.noop),
    ]
