"""Names of people and keys move out of the ledger into a table where they can be erased.

From now on a trigger does that with every entry, so a process of the version before goes on as it was. The entries that
are there already are the only ones that were ever changed: batch by batch, and only their names, which is all that the
ledger's own trigger lets pass meanwhile. Where it breaks off it can be run again.
"""

import uuid
from typing import Any

import agentplatform.lib.ids
import django.db.models.deletion
from django.db import migrations, models


# Who was erased gets the pseudonym that stands there already.
NAMES = """
CREATE OR REPLACE FUNCTION billing_name_of(of_workspace uuid, of_kind text, of_user uuid, called text) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    found uuid;
    whose uuid := COALESCE(of_user, '00000000-0000-0000-0000-000000000000');
BEGIN
    FOR attempt IN 1..2 LOOP
        SELECT id INTO found FROM billing_ledgername
        WHERE workspace_id = of_workspace AND kind = of_kind AND user_id = whose AND name = called AND erased_at IS NULL;
        IF found IS NULL THEN
            SELECT id INTO found FROM billing_ledgername
            WHERE workspace_id = of_workspace AND kind = of_kind AND user_id = whose AND erased_at IS NOT NULL
            LIMIT 1;
        END IF;
        IF found IS NOT NULL THEN
            RETURN found;
        END IF;
        -- Somebody else may be about to write the same.
        INSERT INTO billing_ledgername (id, workspace_id, kind, user_id, name)
        VALUES (gen_random_uuid(), of_workspace, of_kind, whose, called)
        ON CONFLICT DO NOTHING;
    END LOOP;
    SELECT id INTO STRICT found FROM billing_ledgername
    WHERE workspace_id = of_workspace AND kind = of_kind AND user_id = whose AND name = called AND erased_at IS NULL;
    RETURN found;
END
$$;
CREATE OR REPLACE FUNCTION billing_keep_names_apart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW."user" <> '' THEN
        NEW.user_name_id := billing_name_of(NEW.workspace_id, 'user', NEW.user_id, NEW."user");
        NEW."user" := '';
    END IF;
    IF NEW.end_user <> '' THEN
        NEW.end_user_name_id := billing_name_of(NEW.workspace_id, 'end_user', NEW.user_id, NEW.end_user);
        NEW.end_user := '';
    END IF;
    IF NEW.api_key <> '' THEN
        NEW.api_key_name_id := billing_name_of(NEW.workspace_id, 'api_key', NEW.user_id, NEW.api_key);
        NEW.api_key := '';
    END IF;
    RETURN NEW;
END
$$;
CREATE OR REPLACE TRIGGER usage_keeps_names_apart BEFORE INSERT ON billing_usagerecord
    FOR EACH ROW EXECUTE FUNCTION billing_keep_names_apart()
"""
NO_NAMES = """
DROP TRIGGER usage_keeps_names_apart ON billing_usagerecord;
DROP FUNCTION billing_keep_names_apart();
DROP FUNCTION billing_name_of(uuid, text, uuid, text)
"""
REFUSE = """
CREATE OR REPLACE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The ledger is append-only: % of % is refused; append a correction.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$
"""
ALLOW_NAMES = """
CREATE OR REPLACE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    names text[] := ARRAY['user', 'end_user', 'api_key', 'user_name_id', 'end_user_name_id', 'api_key_name_id'];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF to_jsonb(NEW) - names = to_jsonb(OLD) - names THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'The ledger is append-only: % of % is refused; append a correction.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$
"""
BATCH = 5_000
MOVE = """
WITH batch AS (SELECT id FROM billing_usagerecord WHERE id > %s ORDER BY id LIMIT %s), moved AS (
    UPDATE billing_usagerecord entry SET
        user_name_id = CASE WHEN entry."user" = '' THEN entry.user_name_id
            ELSE billing_name_of(entry.workspace_id, 'user', entry.user_id, entry."user") END,
        end_user_name_id = CASE WHEN entry.end_user = '' THEN entry.end_user_name_id
            ELSE billing_name_of(entry.workspace_id, 'end_user', entry.user_id, entry.end_user) END,
        api_key_name_id = CASE WHEN entry.api_key = '' THEN entry.api_key_name_id
            ELSE billing_name_of(entry.workspace_id, 'api_key', entry.user_id, entry.api_key) END,
        "user" = '', end_user = '', api_key = ''
    FROM batch WHERE entry.id = batch.id AND (entry."user" <> '' OR entry.end_user <> '' OR entry.api_key <> '')
)
SELECT max(id::text) FROM batch
"""
MOVE_BACK = """
WITH batch AS (SELECT id FROM billing_usagerecord WHERE id > %s ORDER BY id LIMIT %s), moved AS (
    UPDATE billing_usagerecord entry SET
        "user" = COALESCE((SELECT left(name, 150) FROM billing_ledgername WHERE id = entry.user_name_id), ''),
        end_user = COALESCE((SELECT name FROM billing_ledgername WHERE id = entry.end_user_name_id), ''),
        api_key = COALESCE((SELECT left(name, 100) FROM billing_ledgername WHERE id = entry.api_key_name_id), '')
    FROM batch WHERE entry.id = batch.id
)
SELECT max(id::text) FROM batch
"""


def _in_batches(statement: str) -> Any:
    def move(apps: Any, schema_editor: Any) -> None:
        """A batch a transaction, in order of id."""
        last: str | None = str(uuid.UUID(int=0))
        while last:
            with schema_editor.connection.cursor() as cursor:
                cursor.execute(statement, [last, BATCH])
                last = cursor.fetchone()[0]

    return move


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0002_run_limits"),
        ("billing", "0003_answers_from_the_cache"),
    ]

    operations = [
        migrations.AlterField(
            model_name="usagerecord",
            name="api_key",
            field=models.CharField(
                blank=True, db_comment="Empty once written: see api_key_name", editable=False, max_length=100
            ),
        ),
        migrations.AlterField(
            model_name="usagerecord",
            name="end_user",
            field=models.CharField(
                blank=True, db_comment="Empty once written: see end_user_name", editable=False, max_length=200
            ),
        ),
        migrations.AlterField(
            model_name="usagerecord",
            name="user",
            field=models.CharField(
                blank=True, db_comment="Empty once written: see user_name", editable=False, max_length=150
            ),
        ),
        migrations.CreateModel(
            name="LedgerName",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("user", "User"), ("api_key", "API key"), ("end_user", "End user")],
                        max_length=8,
                    ),
                ),
                (
                    "user_id",
                    models.UUIDField(
                        db_comment="The user, or whose key or end user it is; zeros: nobody's. No key: the ledger outlives users"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("erased_at", models.DateTimeField(db_comment="Since when it is a pseudonym", null=True)),
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
                "verbose_name": "name",
                "verbose_name_plural": "names",
                "db_table_comment": "Names in the ledger, apart from it, because they can be erased and it cannot",
            },
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="api_key_name",
            field=models.ForeignKey(
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
        migrations.AddField(
            model_name="usagerecord",
            name="end_user_name",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="billing.ledgername",
                verbose_name="end user",
            ),
        ),
        migrations.AddField(
            model_name="usagerecord",
            name="user_name",
            field=models.ForeignKey(
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
        migrations.AddIndex(
            model_name="ledgername",
            index=models.Index(
                condition=models.Q(("erased_at__isnull", False)),
                fields=["workspace", "kind", "user_id"],
                name="ledger_name_erased",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgername",
            constraint=models.UniqueConstraint(
                condition=models.Q(("erased_at", None)),
                fields=("workspace", "kind", "user_id", "name"),
                name="ledger_name_once",
            ),
        ),
        migrations.RunSQL(NAMES, NO_NAMES),
        migrations.RunSQL(ALLOW_NAMES, REFUSE),
        migrations.RunPython(_in_batches(MOVE), _in_batches(MOVE_BACK)),
        migrations.RunSQL(REFUSE, ALLOW_NAMES),
    ]
