"""Memories of users, with a column of their words that a trigger keeps and the ORM does not read along."""

import agentplatform.lib.ids
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


# The words of all texts in a value, by the function that messages have theirs from; `session:` names the user here.
TERMS = """
CREATE FUNCTION runs_memory_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.terms := runs_message_terms(
        COALESCE(
            (
                SELECT string_agg(part #>> '{}', ' ')
                FROM jsonb_path_query(NEW.value, 'strict $.**') AS parts (part)
                WHERE jsonb_typeof(part) = 'string'
            ),
            ''
        ),
        NEW.user_id
    );
    RETURN NEW;
END
$$;
ALTER TABLE runs_memory ADD COLUMN terms tsvector;
COMMENT ON COLUMN runs_memory.terms IS 'The words of value; see runs.memory.rows';
CREATE TRIGGER memory_keeps_terms BEFORE INSERT OR UPDATE OF value, user_id ON runs_memory
FOR EACH ROW EXECUTE FUNCTION runs_memory_keep_terms();
CREATE INDEX memory_terms ON runs_memory USING gin (terms)
"""
NO_TERMS = """
DROP INDEX memory_terms;
DROP TRIGGER memory_keeps_terms ON runs_memory;
DROP FUNCTION runs_memory_keep_terms();
ALTER TABLE runs_memory DROP COLUMN terms
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_run_limits"),
        ("agents", "0004_memory_policy"),
        ("runs", "0007_conversation_tree"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name="runstep",
            name="type",
            field=models.CharField(
                choices=[
                    ("model", "Model call"),
                    ("summary", "Summary"),
                    ("tool", "Tool calls"),
                    ("agent", "Agent"),
                    ("http", "HTTP request"),
                    ("condition", "Condition"),
                    ("parallel", "Parallel branches"),
                    ("join", "Join"),
                    ("loop", "Loop"),
                    ("approval", "Approval"),
                    ("transform", "Transform"),
                    ("workflow", "Workflow"),
                    ("end", "End"),
                ],
                max_length=16,
            ),
        ),
        migrations.CreateModel(
            name="Memory",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "end_user",
                    models.CharField(
                        blank=True,
                        db_comment="The client's own user, free text",
                        max_length=200,
                        verbose_name="end user",
                    ),
                ),
                (
                    "namespace",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        db_comment="LangGraph's path to it",
                        size=None,
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        db_comment="LangGraph's name of it, once in its namespace", max_length=200
                    ),
                ),
                (
                    "value",
                    models.JSONField(
                        db_comment="At most 4 KB; {content, topic} of the built-in tools",
                        verbose_name="content",
                    ),
                ),
                (
                    "run_id",
                    models.UUIDField(
                        db_comment="The run that has written it; runs come and go, so no key",
                        null=True,
                        verbose_name="run",
                    ),
                ),
                ("created_at", models.DateTimeField(verbose_name="created at")),
                ("updated_at", models.DateTimeField(verbose_name="updated at")),
                (
                    "agent",
                    models.ForeignKey(
                        blank=True,
                        db_comment="Whose memory it is; null: that of all agents of the workspace",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memories",
                        to="agents.agent",
                        verbose_name="agent",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
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
                "verbose_name": "memory",
                "verbose_name_plural": "memories",
                "db_table_comment": "What agents remember of their users",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["workspace", "-id"], name="memory_newest"),
                    models.Index(
                        fields=["user", "workspace", "end_user", "-updated_at"], name="memory_of_user"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("agent__isnull", False)),
                        fields=("user", "workspace", "end_user", "agent", "namespace", "key"),
                        name="memory_of_agent_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("agent", None)),
                        fields=("user", "workspace", "end_user", "namespace", "key"),
                        name="memory_of_all_once",
                    ),
                ],
            },
        ),
        migrations.RunSQL(TERMS, NO_TERMS),
    ]
