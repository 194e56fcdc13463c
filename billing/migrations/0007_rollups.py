"""Roll-ups of the ledger. They fill as entries are sealed, those that are there already too: all of them wait for that."""

import django.db.models.deletion
from django.db import migrations, models

# Most writes add to a row that is there: with room on its page that touches no index.
ROOM = "ALTER TABLE billing_usagerollup SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_time_zone"),
        ("billing", "0006_price_versions"),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageGroup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_comment="A hash of all the rest", editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "cut",
                    models.PositiveSmallIntegerField(
                        db_comment="Which dimensions it has; see billing/cuts.py"
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("ok", "OK"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                            ("unknown", "Unknown"),
                            ("cached", "From the cache"),
                        ],
                        max_length=16,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("agent_id", models.UUIDField(null=True)),
                ("agent", models.CharField(db_default="", default="", max_length=100)),
                ("provider", models.CharField(db_default="", default="", max_length=32)),
                ("model", models.CharField(db_default="", default="", max_length=200)),
                ("workflow_id", models.UUIDField(null=True)),
                ("workflow", models.CharField(db_default="", default="", max_length=100)),
                ("user_id", models.UUIDField(null=True)),
                ("api_key_id", models.UUIDField(null=True)),
                (
                    "tag",
                    models.CharField(db_comment="Null: of calls without tags", max_length=50, null=True),
                ),
                ("session_id", models.UUIDField(null=True)),
                (
                    "api_key_name",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.ledgername",
                        verbose_name="API key",
                    ),
                ),
                (
                    "user_name",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.ledgername",
                        verbose_name="user",
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
                "db_table_comment": "What rows of the roll-ups of usage are of",
                "indexes": [
                    models.Index(
                        fields=["workspace", "cut", "agent"],
                        condition=models.Q(("agent", ""), _negated=True),
                        name="usage_group_agent",
                    ),
                    models.Index(
                        fields=["workspace", "cut", "agent_id"],
                        condition=models.Q(("agent_id__isnull", False)),
                        name="usage_group_agent_id",
                    ),
                    models.Index(
                        fields=["workspace", "cut", "user_id"],
                        condition=models.Q(("user_id__isnull", False)),
                        name="usage_group_user",
                    ),
                    models.Index(
                        fields=["workspace", "cut", "api_key_id"],
                        condition=models.Q(("api_key_id__isnull", False)),
                        name="usage_group_api_key",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageRollup",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "group_id",
                        "grain",
                        "start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "grain",
                    models.PositiveSmallIntegerField(
                        db_comment="How long the piece is; see billing/grains.py"
                    ),
                ),
                ("start", models.DateTimeField(db_comment="When the piece begins")),
                ("cut", models.PositiveSmallIntegerField(db_comment="The group's")),
                ("requests", models.BigIntegerField()),
                ("input_tokens", models.BigIntegerField()),
                ("cached_tokens", models.BigIntegerField()),
                ("cache_write_tokens", models.BigIntegerField()),
                ("output_tokens", models.BigIntegerField()),
                ("reasoning_tokens", models.BigIntegerField()),
                ("unpriced_requests", models.BigIntegerField()),
                (
                    "cost",
                    models.DecimalField(
                        db_comment="Null: nothing in it is priced",
                        decimal_places=12,
                        max_digits=36,
                        null=True,
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="billing.usagegroup",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="accounts.workspace",
                        verbose_name="workspace",
                    ),
                ),
            ],
            options={
                "db_table_comment": "Sums over the ledger; made from it, and can be made anew",
                "indexes": [
                    models.Index(fields=["workspace", "cut", "grain", "start"], name="usage_rollup_by_time")
                ],
            },
        ),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
    ]
