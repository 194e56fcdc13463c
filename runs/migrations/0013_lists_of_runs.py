"""Indexes that lists of runs and sessions are filtered and searched by."""

from django.conf import settings
from django.db import migrations, models

from agentplatform.lib.migrations import EnsureIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0009_lists_of_the_audit_log"),
        ("agents", "0007_tried_versions"),
        ("runs", "0012_where_runs_come_from"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="request_id",
            field=models.CharField(
                blank=True,
                db_comment="The request that started it, as its log lines name it",
                db_default="",
                default="",
                max_length=128,
                verbose_name="request id",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="run",
            index=models.Index(
                condition=models.Q(("status__in", ["created", "paused", "waiting", "failed", "cancelled"])),
                fields=["workspace", "status", "-id"],
                name="run_of_status",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="run",
            index=models.Index(
                condition=models.Q(("request_id", ""), _negated=True),
                fields=["request_id"],
                name="run_of_request",
            ),
        ),
        EnsureIndexConcurrently(
            model_name="session",
            index=models.Index(
                condition=models.Q(("end_user", ""), _negated=True),
                fields=["end_user", "-id"],
                name="session_of_end_user",
            ),
        ),
    ]
