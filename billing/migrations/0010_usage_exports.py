"""Exports of the ledger that are made in the background."""

import agentplatform.lib.ids
import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_time_zone"),
        ("billing", "0009_budgets"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageExport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "user_id",
                    models.UUIDField(db_comment="Who asked for it; no key, so that it can be asked who did"),
                ),
                ("user", models.CharField(max_length=150, verbose_name="user")),
                ("api_key_id", models.UUIDField(null=True)),
                ("api_key", models.CharField(blank=True, max_length=100, verbose_name="API key")),
                ("format", models.CharField(max_length=5, verbose_name="format")),
                (
                    "columns",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32),
                        db_comment="In their order; empty: the default ones",
                        size=None,
                    ),
                ),
                (
                    "filters",
                    models.JSONField(
                        db_comment="As in the query string; start and end are always there",
                        verbose_name="filters",
                    ),
                ),
                ("options", models.JSONField(db_comment="bom, decimal, delimiter, tz, compression")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="queued",
                        max_length=9,
                        verbose_name="status",
                    ),
                ),
                (
                    "rows",
                    models.BigIntegerField(
                        db_comment="Written so far, about; in the end exactly", default=0, verbose_name="rows"
                    ),
                ),
                ("error", models.TextField(blank=True, verbose_name="error")),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(
                        db_comment="Fences off whoever had it before", default=0
                    ),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(
                        db_comment="Attempts whose worker was lost, and this one", default=0
                    ),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        db_comment="From when on anybody may take it up; null: it has ended", null=True
                    ),
                ),
                ("size", models.BigIntegerField(db_comment="Bytes", null=True, verbose_name="size")),
                ("sha256", models.CharField(blank=True, db_comment="Hexadecimal", max_length=64)),
                ("manifest", models.JSONField(db_comment="See billing.exports.manifests; signed", null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("started_at", models.DateTimeField(null=True, verbose_name="started at")),
                ("finished_at", models.DateTimeField(null=True, verbose_name="finished at")),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_comment="When its file is removed", null=True, verbose_name="expires at"
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.workspace",
                        verbose_name="workspace",
                    ),
                ),
            ],
            options={
                "verbose_name": "export",
                "verbose_name_plural": "exports",
                "db_table_comment": "Exports of the ledger; their files lie in the storage",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["workspace", "-id"], name="usage_export_newest"),
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)),
                        fields=["due_at"],
                        name="usage_export_due",
                    ),
                    models.Index(
                        condition=models.Q(("status", "completed")),
                        fields=["expires_at"],
                        name="usage_export_expiring",
                    ),
                ],
            },
        ),
    ]
