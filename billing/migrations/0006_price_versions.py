"""Prices get kinds, tiers, versions and a source; periods can be repriced.

On the way back imported prices and superseded versions are removed: the version before could not tell them apart.
"""

import agentplatform.lib.ids
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


ONLY_THE_NEWEST = """
DELETE FROM billing_price price WHERE is_imported OR EXISTS (
    SELECT FROM billing_price newer
    WHERE newer.workspace_id = price.workspace_id AND newer.provider = price.provider AND newer.model = price.model
    AND newer.valid_from = price.valid_from AND NOT newer.is_imported AND newer.version > price.version
)
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_time_zone"),
        ("billing", "0005_seals"),
    ]

    operations = [
        migrations.CreateModel(
            name="Repricing",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("start", models.DateTimeField(verbose_name="start")),
                ("end", models.DateTimeField(help_text="Not part of the period.", verbose_name="end")),
                ("provider", models.CharField(blank=True, max_length=32, verbose_name="provider")),
                ("model", models.CharField(blank=True, max_length=200, verbose_name="model")),
                (
                    "agent",
                    models.CharField(
                        blank=True,
                        help_text="Its id, or its name then.",
                        max_length=100,
                        verbose_name="agent",
                    ),
                ),
                (
                    "dry_run",
                    models.BooleanField(
                        default=False,
                        help_text="Only say what would change; nothing is written.",
                        verbose_name="dry run",
                    ),
                ),
                ("reason", models.CharField(max_length=500, verbose_name="reason")),
                (
                    "user_id",
                    models.UUIDField(
                        db_comment="Who asked for it; null: a command", editable=False, null=True
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("done", "Done"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        editable=False,
                        max_length=8,
                        verbose_name="status",
                    ),
                ),
                (
                    "looked_at",
                    models.BigIntegerField(default=0, editable=False, verbose_name="calls looked at"),
                ),
                ("changed", models.BigIntegerField(default=0, editable=False, verbose_name="calls changed")),
                (
                    "unknown",
                    models.BigIntegerField(
                        db_comment="Stay as they are",
                        default=0,
                        editable=False,
                        verbose_name="calls without a price",
                    ),
                ),
                (
                    "sums",
                    models.JSONField(
                        db_comment='By currency: {"USD": {"before": "1.5", "after": "1.2", "difference": "-0.3"}}',
                        default=dict,
                        editable=False,
                        verbose_name="sums",
                    ),
                ),
                ("error", models.CharField(blank=True, editable=False, max_length=500, verbose_name="error")),
                (
                    "last_timestamp",
                    models.DateTimeField(
                        db_comment="With last_id: how far it has come, in order of the ledger",
                        editable=False,
                        null=True,
                    ),
                ),
                ("last_id", models.UUIDField(editable=False, null=True)),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="updated at"
                    ),
                ),
                ("finished_at", models.DateTimeField(editable=False, null=True, verbose_name="finished at")),
            ],
            options={
                "verbose_name": "repricing",
                "verbose_name_plural": "repricings",
                "db_table_comment": "Periods that were priced anew, and what came of it",
                "ordering": ["-id"],
            },
        ),
        migrations.AlterModelOptions(
            name="price",
            options={
                "ordering": ["provider", "model", "-valid_from", "-version"],
                "verbose_name": "price",
                "verbose_name_plural": "prices",
            },
        ),
        migrations.AlterModelTableComment(
            name="price",
            table_comment="Prices of workspaces per million tokens: their own, and imported ones",
        ),
        migrations.RemoveConstraint(
            model_name="price",
            name="price_once_per_moment",
        ),
        migrations.AddField(
            model_name="price",
            name="cached_audio_per_million",
            field=models.DecimalField(
                blank=True,
                decimal_places=6,
                max_digits=18,
                null=True,
                verbose_name="cached audio per million",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="input_audio_per_million",
            field=models.DecimalField(
                blank=True, decimal_places=6, max_digits=18, null=True, verbose_name="input audio per million"
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="input_image_per_million",
            field=models.DecimalField(
                blank=True, decimal_places=6, max_digits=18, null=True, verbose_name="input image per million"
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="is_imported",
            field=models.BooleanField(
                db_comment="From a list; see `source`",
                db_default=False,
                default=False,
                editable=False,
                verbose_name="imported",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="output_audio_per_million",
            field=models.DecimalField(
                blank=True,
                decimal_places=6,
                max_digits=18,
                null=True,
                verbose_name="output audio per million",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="output_image_per_million",
            field=models.DecimalField(
                blank=True,
                decimal_places=6,
                max_digits=18,
                null=True,
                verbose_name="output image per million",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="per_request",
            field=models.DecimalField(
                blank=True,
                decimal_places=12,
                help_text="Added to each call that took tokens.",
                max_digits=24,
                null=True,
                verbose_name="per request",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="reasoning_per_million",
            field=models.DecimalField(
                blank=True, decimal_places=6, max_digits=18, null=True, verbose_name="reasoning per million"
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="source",
            field=models.CharField(
                db_default="workspace",
                default="workspace",
                editable=False,
                max_length=64,
                verbose_name="source",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="tiers",
            field=models.JSONField(
                blank=True,
                db_comment='Prices of calls with more input tokens: [{"above": 200000, "input_per_million": "4"}]',
                db_default=[],
                default=list,
                help_text='Prices of calls with a longer input, in ascending order: [{"above": 200000, "input_per_million": "4"}].',
                verbose_name="tiers",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="valid_until",
            field=models.DateTimeField(
                blank=True,
                help_text="Empty: until another one begins. The moment of its beginning: it is never valid.",
                null=True,
                verbose_name="valid until",
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="version",
            field=models.PositiveSmallIntegerField(
                db_comment="Of the price from this moment; the newest counts",
                db_default=1,
                default=1,
                editable=False,
                verbose_name="version",
            ),
        ),
        migrations.AlterField(
            model_name="price",
            name="created_at",
            field=models.DateTimeField(auto_now_add=True, verbose_name="created at"),
        ),
        migrations.AlterField(
            model_name="price",
            name="valid_from",
            field=models.DateTimeField(
                help_text="May have passed: what is recorded already keeps its price until its period is repriced.",
                verbose_name="valid from",
            ),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, ONLY_THE_NEWEST),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.UniqueConstraint(
                fields=("workspace", "provider", "model", "valid_from", "is_imported", "version"),
                name="price_version_once",
            ),
        ),
        migrations.AddField(
            model_name="repricing",
            name="workspace",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.workspace",
                verbose_name="workspace",
            ),
        ),
        migrations.AddIndex(
            model_name="repricing",
            index=models.Index(fields=["workspace", "-id"], name="repricing_newest"),
        ),
        migrations.AddConstraint(
            model_name="repricing",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=("workspace",),
                name="repricing_one_at_a_time",
            ),
        ),
    ]
