"""Knowledge bases with their documents, chunks and vectors; models have a purpose; tools search a base."""

import agentplatform.lib.ids
import agents.models.knowledge
import django.core.validators
import django.db.models.deletion
import re
from django.db import migrations, models

from agentplatform.lib.words import MARKS, pairs_sql

# Words are stemmed as English ones, which leaves those of other languages almost as they are; a name like `WORKER_CONCURRENCY`
# or `runs/sweep.py` is taken apart, or PostgreSQL would take it for one word, and a path for the name of a host.
WORDS = f"""
CREATE OR REPLACE FUNCTION agents_words(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH text AS (SELECT translate(regexp_replace(content, '{MARKS}', ' ', 'g'), '_./', '   ') AS content)
    SELECT to_tsvector('english'::regconfig, {pairs_sql("text.content")}) FROM text
$$
"""  # noqa: S608 - made of constants
TRIGGER = """
CREATE OR REPLACE FUNCTION agents_chunk_keep_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.terms := array_to_tsvector(ARRAY['base:' || NEW.knowledge_base_id::text])
        || setweight(agents_words(NEW.heading), 'B') || agents_words(NEW.text);
    RETURN NEW;
END
$$;
CREATE TRIGGER chunk_keeps_terms BEFORE INSERT OR UPDATE OF text, heading, knowledge_base_id ON agents_chunk
FOR EACH ROW EXECUTE FUNCTION agents_chunk_keep_terms()
"""
NO_TRIGGER = """
DROP TRIGGER IF EXISTS chunk_keeps_terms ON agents_chunk;
DROP FUNCTION IF EXISTS agents_chunk_keep_terms()
"""
# Ranking reads the words of thousands of chunks and the texts of ten: words stay in the row, texts go out of it first.
TERMS = """
ALTER TABLE agents_chunk ADD COLUMN terms tsvector;
ALTER TABLE agents_chunk ALTER COLUMN terms SET STORAGE MAIN;
COMMENT ON COLUMN agents_chunk.terms IS 'Its words and base:<id>; see agents.knowledge.search'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0002_run_limits"),
        ("agents", "0005_model_inputs"),
    ]

    operations = [
        migrations.AlterModelTableComment(
            name="chatmodel",
            table_comment="Models",
        ),
        migrations.AddField(
            model_name="chatmodel",
            name="purpose",
            field=models.CharField(
                choices=[("chat", "Chat"), ("embedding", "Embedding")],
                db_comment="What it is asked for",
                db_default="chat",
                default="chat",
                max_length=16,
                verbose_name="purpose",
            ),
        ),
        migrations.AlterField(
            model_name="chatmodel",
            name="provider",
            field=models.CharField(
                db_comment="A key of agents.providers.registry: openai, anthropic, google, demo, local",
                max_length=32,
                verbose_name="provider",
            ),
        ),
        migrations.AlterField(
            model_name="tool",
            name="tool_kind",
            field=models.CharField(
                choices=[
                    ("function", "Function"),
                    ("http", "HTTP request"),
                    ("agent", "Agent"),
                    ("mcp", "Tool of an MCP server"),
                    ("knowledge", "Search in a knowledge base"),
                ],
                db_column="kind",
                max_length=16,
                verbose_name="kind",
            ),
        ),
        migrations.CreateModel(
            name="KnowledgeBase",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        max_length=100,
                        validators=[
                            django.core.validators.RegexValidator(
                                re.compile("^[A-Za-z0-9][A-Za-z0-9_.-]*\\Z"),
                                "Start with a letter or digit and use letters, digits, hyphens, dots and underscores only.",
                            )
                        ],
                        verbose_name="name",
                    ),
                ),
                ("description", models.TextField(blank=True, max_length=2000, verbose_name="description")),
                (
                    "chunk_size",
                    models.PositiveSmallIntegerField(
                        db_comment="Characters of a chunk, at most",
                        default=1000,
                        validators=[
                            django.core.validators.MinValueValidator(200),
                            django.core.validators.MaxValueValidator(4000),
                        ],
                        verbose_name="chunk size",
                    ),
                ),
                (
                    "chunk_overlap",
                    models.PositiveSmallIntegerField(
                        db_comment="Characters that a chunk shares with the one before, about",
                        default=150,
                        validators=[django.core.validators.MaxValueValidator(1000)],
                        verbose_name="chunk overlap",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
                (
                    "embedding_model",
                    models.ForeignKey(
                        blank=True,
                        db_comment="Empty: it is searched by words alone",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="knowledge_bases",
                        to="agents.chatmodel",
                        verbose_name="embedding model",
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
                "verbose_name": "knowledge base",
                "verbose_name_plural": "knowledge bases",
                "db_table_comment": "Documents that agents search",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Document",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=255, verbose_name="name")),
                (
                    "media_type",
                    models.CharField(
                        db_comment="By its bytes, not by what was said",
                        max_length=100,
                        verbose_name="media type",
                    ),
                ),
                ("size", models.PositiveBigIntegerField(db_comment="Bytes", verbose_name="size")),
                ("sha256", models.CharField(db_comment="Of the bytes, hexadecimal", max_length=64)),
                ("stored_as", models.CharField(db_comment="The file's name in the storage", max_length=200)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("indexing", "Indexing"),
                            ("ready", "Ready"),
                            ("failed", "Failed"),
                        ],
                        db_default="pending",
                        default="pending",
                        max_length=16,
                        verbose_name="status",
                    ),
                ),
                (
                    "progress",
                    models.FloatField(db_comment="0 to 1", db_default=0, default=0, verbose_name="progress"),
                ),
                ("error", models.TextField(blank=True, db_default="", default="", verbose_name="error")),
                (
                    "chunk_count",
                    models.PositiveIntegerField(
                        db_comment="Of the version that is found",
                        db_default=0,
                        default=0,
                        verbose_name="chunks",
                    ),
                ),
                (
                    "payer",
                    models.JSONField(
                        db_comment="Who has asked for it: {user_id, user, api_key_id, api_key}; calls of models are in this name",
                        default=dict,
                        editable=False,
                    ),
                ),
                (
                    "attempt",
                    models.PositiveIntegerField(
                        db_comment="Attempts at indexing so far; only the latest may write",
                        db_default=0,
                        default=0,
                    ),
                ),
                (
                    "live_attempt",
                    models.PositiveIntegerField(
                        db_comment="Whose chunks are found; empty: none yet", null=True
                    ),
                ),
                (
                    "tries",
                    models.PositiveSmallIntegerField(
                        db_comment="Attempts since it was asked for", db_default=0, default=0
                    ),
                ),
                (
                    "due_at",
                    models.DateTimeField(
                        db_comment="When it may be taken up: waiting, or in hands that do not beat any more",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
                ("indexed_at", models.DateTimeField(null=True, verbose_name="indexed at")),
                (
                    "knowledge_base",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="documents",
                        to="agents.knowledgebase",
                        verbose_name="knowledge base",
                    ),
                ),
            ],
            options={
                "verbose_name": "document",
                "verbose_name_plural": "documents",
                "db_table_comment": "Files of knowledge bases",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Chunk",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "attempt",
                    models.PositiveIntegerField(db_comment="The document's attempt that has made it"),
                ),
                (
                    "position",
                    models.PositiveIntegerField(
                        db_comment="0, 1, 2 … in the document", verbose_name="position"
                    ),
                ),
                ("text", models.TextField(verbose_name="text")),
                (
                    "heading",
                    models.TextField(
                        blank=True,
                        db_comment="The headings above it, from the outermost, with › between them",
                        verbose_name="heading",
                    ),
                ),
                ("page", models.PositiveIntegerField(db_comment="1, 2, 3 …", null=True, verbose_name="page")),
                (
                    "first_line",
                    models.PositiveIntegerField(db_comment="1, 2, 3 …", null=True, verbose_name="first line"),
                ),
                ("last_line", models.PositiveIntegerField(null=True, verbose_name="last line")),
                (
                    "hash",
                    models.UUIDField(
                        db_comment="Of heading and text: the same words need not be embedded again"
                    ),
                ),
                (
                    "document",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chunks",
                        to="agents.document",
                        verbose_name="document",
                    ),
                ),
                (
                    "knowledge_base",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="agents.knowledgebase",
                    ),
                ),
            ],
            options={
                "verbose_name": "chunk",
                "verbose_name_plural": "chunks",
                "db_table_comment": "Pieces of documents that are found",
            },
        ),
        migrations.AddField(
            model_name="tool",
            name="knowledge_base",
            field=models.ForeignKey(
                blank=True,
                db_comment="kind knowledge: which it searches",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tools",
                to="agents.knowledgebase",
                verbose_name="knowledge base",
            ),
        ),
        migrations.CreateModel(
            name="ChunkVector",
            fields=[
                (
                    "chunk",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="vector",
                        serialize=False,
                        to="agents.chunk",
                    ),
                ),
                ("knowledge_base_id", models.UUIDField(db_comment="Of its document; no key, to be fast")),
                (
                    "space",
                    models.UUIDField(
                        db_comment="Which model has made it: vectors of one space can be compared with one another"
                    ),
                ),
                ("embedding", agents.models.knowledge.RealArrayField()),
            ],
            options={
                "verbose_name": "vector",
                "verbose_name_plural": "vectors",
                "db_table_comment": "Embeddings of chunks",
                "indexes": [models.Index(fields=["knowledge_base_id", "space"], name="vector_of_base")],
            },
        ),
        migrations.AddConstraint(
            model_name="knowledgebase",
            constraint=models.UniqueConstraint(fields=("workspace", "name"), name="knowledge_base_name_once"),
        ),
        migrations.AddIndex(
            model_name="document",
            index=models.Index(
                condition=models.Q(("status__in", ["pending", "indexing"])),
                fields=["due_at"],
                name="document_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="document",
            constraint=models.UniqueConstraint(fields=("knowledge_base", "name"), name="document_name_once"),
        ),
        migrations.AddConstraint(
            model_name="chunk",
            constraint=models.UniqueConstraint(
                fields=("document", "attempt", "position"), name="chunk_position_once"
            ),
        ),
        migrations.RunSQL(WORDS, "DROP FUNCTION IF EXISTS agents_words(text)"),
        migrations.RunSQL(TERMS, "ALTER TABLE agents_chunk DROP COLUMN terms"),
        migrations.RunSQL(TRIGGER, NO_TRIGGER),
        migrations.RunSQL(
            "CREATE INDEX chunk_terms ON agents_chunk USING gin (terms)", "DROP INDEX IF EXISTS chunk_terms"
        ),
    ]
