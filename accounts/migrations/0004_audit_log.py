"""The audit log: append-only by triggers, sealed from an outbox, its names of people and keys in a table apart."""

import agentplatform.lib.ids
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models

# Who was erased gets the pseudonym that stands there already. Ids of zeros stand for none, as they do in the entries.
NAMES = """
CREATE FUNCTION accounts_audit_name_of(of_workspace uuid, of_kind text, of_user uuid, called text) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    found uuid;
    whose uuid := COALESCE(of_user, '00000000-0000-0000-0000-000000000000');
BEGIN
    SELECT id INTO found FROM accounts_auditname
    WHERE workspace_id = of_workspace AND kind = of_kind AND user_id = whose AND name = called AND erased_at IS NULL
    LIMIT 1;
    IF found IS NULL THEN
        SELECT id INTO found FROM accounts_auditname
        WHERE workspace_id = of_workspace AND kind = of_kind AND user_id = whose AND erased_at IS NOT NULL
        LIMIT 1;
    END IF;
    IF found IS NULL THEN
        INSERT INTO accounts_auditname (id, workspace_id, kind, user_id, name)
        VALUES (gen_random_uuid(), of_workspace, of_kind, whose, called)
        RETURNING id INTO found;
    END IF;
    RETURN found;
END
$$;
CREATE FUNCTION accounts_keep_audit_names_apart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW."user" <> '' THEN
        NEW.user_name_id := accounts_audit_name_of(NEW.workspace_id, 'user', NEW.user_id, NEW."user");
        NEW."user" := '';
    END IF;
    IF NEW.api_key <> '' THEN
        NEW.api_key_name_id := accounts_audit_name_of(NEW.workspace_id, 'api_key', NEW.user_id, NEW.api_key);
        NEW.api_key := '';
    END IF;
    IF NEW.subject <> '' THEN
        NEW.subject_name_id := accounts_audit_name_of(
            NEW.workspace_id,
            CASE WHEN NEW.resource_type = 'ApiKey' THEN 'api_key' ELSE 'user' END,
            NEW.subject_id,
            NEW.subject
        );
        NEW.subject := '';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_keeps_names_apart BEFORE INSERT ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_keep_audit_names_apart();
"""
NO_NAMES = """
DROP TRIGGER audit_keeps_names_apart ON accounts_auditentry;
DROP FUNCTION accounts_keep_audit_names_apart();
DROP FUNCTION accounts_audit_name_of(uuid, text, uuid, text);
"""
OUTBOX = """
CREATE FUNCTION accounts_await_seal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO accounts_unsealedaudit (record_id, workspace_id) SELECT id, workspace_id FROM written;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_awaits_seal AFTER INSERT ON accounts_auditentry
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION accounts_await_seal();
"""
NO_OUTBOX = """
DROP TRIGGER audit_awaits_seal ON accounts_auditentry;
DROP FUNCTION accounts_await_seal();
"""
# Row triggers leave TRUNCATE alone, which tests use to empty tables and nothing else does.
REFUSE = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'The audit log is append-only: % of % is refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
CREATE TRIGGER audit_seals_are_append_only BEFORE UPDATE OR DELETE ON accounts_auditseal
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
"""
ALLOW = """
DROP TRIGGER audit_seals_are_append_only ON accounts_auditseal;
DROP TRIGGER audit_is_append_only ON accounts_auditentry;
DROP FUNCTION accounts_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_time_zone"),
    ]

    operations = [
        migrations.CreateModel(
            name="AuditSeal",
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
                ("workspace_id", models.UUIDField(db_comment="Zeros: the whole platform")),
            ],
            options={
                "db_table_comment": "Hash chain over the audit log; never updated, never deleted",
            },
        ),
        migrations.CreateModel(
            name="UnsealedAudit",
            fields=[
                ("record_id", models.UUIDField(primary_key=True, serialize=False)),
                ("workspace_id", models.UUIDField()),
            ],
            options={
                "db_table_comment": "Entries of the audit log that wait for their place in the chain",
            },
        ),
        migrations.AddField(
            model_name="workspace",
            name="audits_reads",
            field=models.BooleanField(
                db_comment="Whether reads through the API are in the audit log too",
                db_default=False,
                default=False,
                verbose_name="reads are audited",
            ),
        ),
        migrations.CreateModel(
            name="AuditName",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("workspace_id", models.UUIDField(db_comment="Zeros: of entries that are in no workspace")),
                ("kind", models.CharField(choices=[("user", "User"), ("api_key", "API key")], max_length=8)),
                ("user_id", models.UUIDField(db_comment="The user, or whose key it is; zeros: nobody's")),
                ("name", models.CharField(max_length=200)),
                ("erased_at", models.DateTimeField(db_comment="Since when it is a pseudonym", null=True)),
            ],
            options={
                "verbose_name": "name in the audit log",
                "verbose_name_plural": "names in the audit log",
                "db_table_comment": "Names in the audit log, apart from it, because they can be erased and it cannot",
                "indexes": [
                    models.Index(
                        condition=models.Q(("erased_at", None)),
                        fields=["workspace_id", "kind", "user_id", "name"],
                        name="audit_name_known",
                    ),
                    models.Index(
                        condition=models.Q(("erased_at__isnull", False)),
                        fields=["workspace_id", "kind", "user_id"],
                        name="audit_name_erased",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("timestamp", models.DateTimeField(verbose_name="timestamp")),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("created", "Created"),
                            ("updated", "Updated"),
                            ("deleted", "Deleted"),
                            ("restored", "Restored"),
                            ("published", "Published"),
                            ("tested", "Tested"),
                            ("read", "Read"),
                            ("exported", "Exported"),
                            ("erased", "Erased"),
                            ("signed_in", "Signed in"),
                            ("signed_out", "Signed out"),
                            ("sign_in_failed", "Sign-in failed"),
                            ("token_refreshed", "Token refreshed"),
                            ("password_changed", "Password changed"),
                            ("secret_changed", "Secret changed"),
                            ("revoked", "Revoked"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("edited", "Edited and approved"),
                            ("run_created", "Run created"),
                            ("run_started", "Run started"),
                            ("run_paused", "Run paused"),
                            ("run_resumed", "Run resumed"),
                            ("run_cancelled", "Run cancelled"),
                            ("run_requeued", "Run requeued"),
                            ("command_run", "Command run"),
                            ("other", "Another operation"),
                        ],
                        max_length=20,
                        verbose_name="action",
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[("succeeded", "Succeeded"), ("refused", "Refused")],
                        default="succeeded",
                        max_length=9,
                        verbose_name="outcome",
                    ),
                ),
                ("resource_type", models.CharField(blank=True, max_length=40, verbose_name="resource type")),
                ("resource_id", models.UUIDField(null=True, verbose_name="resource id")),
                (
                    "resource_name",
                    models.CharField(
                        blank=True,
                        db_comment="Empty where it is a person's or a key's",
                        max_length=200,
                        verbose_name="resource",
                    ),
                ),
                (
                    "subject_id",
                    models.UUIDField(db_comment="The person that the resource is or belongs to", null=True),
                ),
                (
                    "subject",
                    models.CharField(
                        blank=True,
                        db_comment="Empty once written: see subject_name",
                        editable=False,
                        max_length=200,
                    ),
                ),
                ("user_id", models.UUIDField(null=True, verbose_name="user id")),
                (
                    "user",
                    models.CharField(
                        blank=True,
                        db_comment="Empty once written: see user_name",
                        editable=False,
                        max_length=150,
                    ),
                ),
                ("api_key_id", models.UUIDField(null=True, verbose_name="API key id")),
                (
                    "api_key",
                    models.CharField(
                        blank=True,
                        db_comment="Empty once written: see api_key_name",
                        editable=False,
                        max_length=100,
                    ),
                ),
                (
                    "api_key_prefix",
                    models.CharField(blank=True, max_length=16, verbose_name="API key prefix"),
                ),
                (
                    "via",
                    models.CharField(
                        choices=[
                            ("api", "API"),
                            ("admin", "Admin"),
                            ("command", "Command"),
                            ("browser", "Browser"),
                            ("websocket", "WebSocket"),
                            ("mcp", "MCP"),
                            ("system", "System"),
                        ],
                        max_length=9,
                        verbose_name="via",
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        blank=True, db_comment="Of the client", max_length=64, verbose_name="address"
                    ),
                ),
                ("request_id", models.CharField(blank=True, max_length=128, verbose_name="request id")),
                ("method", models.CharField(blank=True, max_length=8, verbose_name="method")),
                (
                    "path",
                    models.CharField(
                        blank=True,
                        db_comment="The route's template, or the command",
                        max_length=200,
                        verbose_name="path",
                    ),
                ),
                (
                    "before",
                    models.JSONField(
                        db_comment="Changed fields by name; null: nothing to tell",
                        null=True,
                        verbose_name="before",
                    ),
                ),
                (
                    "after",
                    models.JSONField(
                        db_comment="Changed fields by name; null: nothing to tell",
                        null=True,
                        verbose_name="after",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_comment="Zeros: the whole platform",
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.workspace",
                        verbose_name="workspace",
                    ),
                ),
                (
                    "api_key_name",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.auditname",
                        verbose_name="API key",
                    ),
                ),
                (
                    "subject_name",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.auditname",
                        verbose_name="person or key",
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
                        to="accounts.auditname",
                        verbose_name="user",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
                "db_table_comment": "Append-only log of what was done; never updated, never deleted",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["workspace", "id"], name="audit_of_workspace"),
                    models.Index(fields=["workspace", "resource_id", "id"], name="audit_of_resource"),
                    models.Index(fields=["workspace", "user_id", "id"], name="audit_of_user"),
                    models.Index(
                        condition=models.Q(("api_key_id__isnull", False)),
                        fields=["workspace", "api_key_id", "id"],
                        name="audit_of_key",
                    ),
                    django.contrib.postgres.indexes.GinIndex(
                        django.contrib.postgres.search.SearchVector(
                            "action", "resource_type", "resource_name", "before", "after", config="simple"
                        ),
                        name="audit_words",
                    ),
                ],
            },
        ),
        migrations.RunSQL(NAMES, NO_NAMES),
        migrations.RunSQL(OUTBOX, NO_OUTBOX),
        migrations.RunSQL(REFUSE, ALLOW),
    ]
