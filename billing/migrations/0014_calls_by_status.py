"""An index of calls that ended otherwise than most."""

from django.db import migrations, models

from agentplatform.lib.migrations import EnsureIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0009_lists_of_the_audit_log"),
        ("billing", "0013_more_cuts"),
    ]

    operations = [
        EnsureIndexConcurrently(
            model_name="usagerecord",
            index=models.Index(
                condition=models.Q(("entry", "settled"), models.Q(("status", "ok"), _negated=True)),
                fields=["workspace", "status", "-id"],
                name="usage_of_status",
            ),
        ),
    ]
