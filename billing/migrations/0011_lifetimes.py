"""What groups used since ever; and other cuts, so what there is in the roll-ups is made anew by the next migration."""

import django.db.models.deletion
from django.db import migrations, models


# In both directions: the cuts of the other side mean something else.
EMPTY = "TRUNCATE billing_usagerollup, billing_usagegroup"
ROOM = "ALTER TABLE billing_usagelifetime SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02)"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_audit_log"),
        ("billing", "0010_usage_exports"),
    ]

    operations = [
        migrations.RunSQL(EMPTY, EMPTY),
        migrations.CreateModel(
            name="UsageLifetime",
            fields=[
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
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="billing.usagegroup",
                    ),
                ),
                ("cut", models.PositiveSmallIntegerField(db_comment="The group's")),
                (
                    "first",
                    models.DateTimeField(db_comment="When its first piece of the cut's finest grain begins"),
                ),
                (
                    "last",
                    models.DateTimeField(db_comment="When its last piece of the cut's finest grain begins"),
                ),
            ],
            options={
                "db_table_comment": "Sums over all of the ledger; made from it, and can be made anew",
            },
        ),
        migrations.AlterField(
            model_name="usagegroup",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("ok", "OK"),
                    ("failed", "Failed"),
                    ("cancelled", "Cancelled"),
                    ("unknown", "Unknown"),
                    ("cached", "From the cache"),
                ],
                db_default="",
                default="",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="usagegroup",
            index=models.Index(
                condition=models.Q(("session_id__isnull", True)),
                fields=["workspace", "cut"],
                name="usage_group_of_cut",
            ),
        ),
        migrations.AddField(
            model_name="usagelifetime",
            name="workspace",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="accounts.workspace",
                verbose_name="workspace",
            ),
        ),
        migrations.AddIndex(
            model_name="usagelifetime",
            index=models.Index(
                models.F("workspace"),
                models.F("cut"),
                models.OrderBy(models.F("cost"), descending=True, nulls_last=True),
                name="usage_lifetime_by_cost",
            ),
        ),
        migrations.AddIndex(
            model_name="usagelifetime",
            index=models.Index(
                models.F("workspace"),
                models.F("cut"),
                models.OrderBy(models.F("requests"), descending=True, nulls_last=True),
                name="usage_lifetime_by_requests",
            ),
        ),
        migrations.AddIndex(
            model_name="usagelifetime",
            index=models.Index(fields=["workspace", "cut", "last"], name="usage_lifetime_by_time"),
        ),
        migrations.RunSQL(ROOM, migrations.RunSQL.noop),
    ]
