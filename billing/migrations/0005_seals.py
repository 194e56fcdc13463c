"""Entries of the ledger get their place in a hash chain, and columns for what repricing and breakdowns need.

What is committed waits in an outbox, where a trigger puts it whoever writes it; the entries that are there already wait
in it too.
"""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
from django.db import migrations, models

SEALS_ARE_APPEND_ONLY = """
CREATE TRIGGER seals_are_append_only BEFORE UPDATE OR DELETE ON billing_ledgerseal
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()
"""
OUTBOX = """
CREATE FUNCTION billing_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_unsealedusage (record_id, workspace_id) SELECT id, workspace_id FROM written;
    RETURN NULL;
END
$$;
CREATE TRIGGER usage_awaits_seal AFTER INSERT ON billing_usagerecord
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION billing_await_seal()
"""
NO_OUTBOX = """
DROP TRIGGER usage_awaits_seal ON billing_usagerecord;
DROP FUNCTION billing_await_seal()
"""
ALL_WAIT = """
INSERT INTO billing_unsealedusage (record_id, workspace_id)
SELECT id, workspace_id FROM billing_usagerecord entry
WHERE NOT EXISTS (SELECT FROM billing_ledgerseal seal WHERE seal.record_id = entry.id)
ON CONFLICT DO NOTHING
"""
REVISION_ONCE = """
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS usage_revision_once
ON billing_usagerecord (call_id, revision, is_reversal) WHERE correction_of IS NOT NULL
"""


class Migration(migrations.Migration):
    # Nobody who writes into the ledger waits for what reads all of it.
    atomic = False

    dependencies = [
        ("accounts", "0003_time_zone"),
        ("billing", "0004_names_apart"),
    ]

    operations = [
        migrations.CreateModel(
            name="LedgerSeal",
            fields=[
                ("position", models.BigIntegerField(db_comment="1, 2, 3 … without a gap")),
                ("record_id", models.UUIDField(unique=True)),
                (
                    "hash",
                    models.BinaryField(
                        db_comment="Over the hash before, the position and the row", max_length=32
                    ),
                ),
                ("format", models.PositiveSmallIntegerField(db_comment="Which columns it covers")),
                (
                    "signature",
                    models.BinaryField(
                        db_comment="HMAC of the hash with SECRET_KEY, of the last row of each batch",
                        max_length=32,
                        null=True,
                    ),
                ),
                ("sealed_at", models.DateTimeField(auto_now_add=True)),
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
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "workspace_id",
                        "position",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
            ],
            options={
                "db_table_comment": "Hash chain over the ledger; never updated, never deleted",
            },
        ),
        migrations.CreateModel(
            name="UnsealedUsage",
            fields=[
                ("record_id", models.UUIDField(primary_key=True, serialize=False)),
                ("workspace_id", models.UUIDField()),
            ],
            options={
                "db_table_comment": "Entries of the ledger that wait for their place in the chain",
            },
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="input_audio_tokens",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="input_image_tokens",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="is_reversal",
            field=models.BooleanField(
                db_comment="Negates `correction_of`: counts and cost are negative",
                db_default=False,
                default=False,
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="output_audio_tokens",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="output_image_tokens",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="prices",
            field=models.JSONField(
                db_comment='Other prices of this call by what they are of, as decimal strings: {"cached": "0.000000075"}',
                db_default={},
                default=dict,
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="recorded_at",
            field=models.DateTimeField(
                db_comment="When this entry was written",
                db_default=django.db.models.functions.datetime.Now(),
                default=django.utils.timezone.now,
                verbose_name="recorded at",
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="revision",
            field=models.PositiveSmallIntegerField(
                db_comment="Of the call's price: 1 as settled, one more with each repricing",
                db_default=1,
                default=1,
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="tags",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50),
                db_comment="Of the run",
                db_default=[],
                default=list,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="workflow_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AlterField(
            model_name="usagerecord",
            name="correction_of",
            field=models.UUIDField(db_comment="The entry that this one reverses or replaces", null=True),
        ),
        migrations.AlterField(
            model_name="usagerecord",
            name="timestamp",
            field=models.DateTimeField(
                db_comment="When the call was opened or settled; of a correction that of what it corrects",
                verbose_name="timestamp",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            [migrations.RunSQL(REVISION_ONCE, "DROP INDEX CONCURRENTLY usage_revision_once")],
            [
                migrations.AddConstraint(
                    model_name="usagerecord",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("correction_of__isnull", False)),
                        fields=("call_id", "revision", "is_reversal"),
                        name="usage_revision_once",
                    ),
                )
            ],
        ),
        migrations.RunSQL(SEALS_ARE_APPEND_ONLY, "DROP TRIGGER seals_are_append_only ON billing_ledgerseal"),
        migrations.RunSQL(OUTBOX, NO_OUTBOX),
        migrations.RunSQL(ALL_WAIT, migrations.RunSQL.noop),
    ]
