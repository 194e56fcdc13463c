"""The JSON of knowledge bases, their documents, and what is found in them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer, StrictSerializer
from agents.api import examples, representations
from agents.api.fields import NameField
from agents.knowledge import documents
from agents.knowledge.documents import LONGEST_NAME
from agents.knowledge.search import LONGEST_QUERY, Found
from agents.models import ChatModel, Document, KnowledgeBase
from agents.models.knowledge import CHUNK_SIZES, MOST_OVERLAP

SNIPPET = 240
LONGEST_CONTENT = 2_000_000


class KnowledgeBaseSerializer(StrictModelSerializer):
    name = NameField()
    description = serializers.CharField(default="", allow_blank=True, max_length=2000)
    embedding_model = NamedRelatedField(
        queryset=ChatModel.objects.all(),
        default=None,
        allow_null=True,
        help_text="Name or id of a model of the purpose `embedding`. Null: it is searched by words alone. Another one, "
        "and all documents are indexed again.",
    )
    chunk_size = serializers.IntegerField(
        default=1000,
        min_value=CHUNK_SIZES[0],
        max_value=CHUNK_SIZES[1],
        help_text="Characters of a chunk, at most.",
    )
    chunk_overlap = serializers.IntegerField(
        default=150,
        min_value=0,
        max_value=MOST_OVERLAP,
        help_text="Characters that a chunk shares with the one before; at most half of chunk_size.",
    )
    document_count = serializers.IntegerField(read_only=True)
    chunk_count = serializers.IntegerField(read_only=True, help_text="What can be found.")

    example = examples.KNOWLEDGE_BASE

    class Meta:
        model = KnowledgeBase
        fields = [
            "id",
            "name",
            "description",
            "embedding_model",
            "chunk_size",
            "chunk_overlap",
            "document_count",
            "chunk_count",
            "created_at",
            "updated_at",
        ]

    def create(self, validated_data: dict[str, Any]) -> KnowledgeBase:
        return self._saved(KnowledgeBase(workspace_id=self.context["actor"].workspace_id), validated_data)

    def update(self, instance: KnowledgeBase, validated_data: dict[str, Any]) -> KnowledgeBase:
        return self._saved(instance, validated_data)

    def _saved(self, base: KnowledgeBase, values: dict[str, Any]) -> KnowledgeBase:
        saved = documents.save_base(base, values, self.context["actor"])
        return representations.knowledge_bases.get(pk=saved.pk)

    def to_representation(self, instance: KnowledgeBase) -> dict[str, Any]:
        return representations.knowledge_base_json(instance)


class DocumentSerializer(StrictModelSerializer):
    """A file of a knowledge base, and how far it is indexed."""

    status = serializers.ChoiceField(choices=Document.Status.choices, read_only=True)
    progress = serializers.FloatField(read_only=True, help_text="0 to 1.")
    error = serializers.CharField(
        read_only=True, allow_null=True, help_text="Why it has failed, or is tried again later."
    )
    chunk_count = serializers.IntegerField(
        read_only=True, help_text="Of the version that is found: while a new one is indexed, of the old one."
    )

    example = examples.DOCUMENT

    class Meta:
        model = Document
        fields = [
            "id",
            "name",
            "media_type",
            "size",
            "sha256",
            "status",
            "progress",
            "error",
            "chunk_count",
            "created_at",
            "updated_at",
            "indexed_at",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Document) -> dict[str, Any]:
        return representations.document_json(instance)


class DocumentUploadSerializer(StrictSerializer):
    """A file, or a text as it is."""

    file = serializers.FileField(
        required=False,
        allow_empty_file=True,
        max_length=1000,
        help_text="As a form (`multipart/form-data`): text, Markdown, HTML, PDF, DOCX or CSV, by its bytes.",
    )
    name = serializers.CharField(
        required=False,
        max_length=LONGEST_NAME,
        help_text="What it is called in citations. Default: the file's name. One of the same name is replaced.",
    )
    content = serializers.CharField(
        required=False,
        trim_whitespace=False,
        max_length=LONGEST_CONTENT,
        help_text="As JSON, in the place of a file: the text. Its kind is by the name's ending: .md, .html, .csv.",
    )
    example = {"name": "holidays.md", "content": "# Holidays\n\nEverybody has 30 days of leave a year."}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("file" in attrs) == ("content" in attrs):
            raise serializers.ValidationError({"file": "Send either a file or a content."})
        if "content" in attrs and "name" not in attrs:
            raise serializers.ValidationError({"name": "A text needs a name."})
        return attrs


class SearchQuerySerializer(StrictSerializer):
    q = serializers.CharField(max_length=LONGEST_QUERY, help_text="A question, or words.")


class PlaceSerializer(StrictSerializer):
    """Where a passage stands, as far as its document knows such places."""

    page = serializers.IntegerField(required=False, help_text="Of a PDF: 1, 2, 3 …")
    heading = serializers.CharField(required=False, help_text="The headings above it, with › between them.")
    lines = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text="Of a text: the first and the last."
    )


class PassageSerializer(StrictSerializer):
    knowledge_base = serializers.CharField()
    document = serializers.CharField(help_text="Its name.")
    document_id = serializers.UUIDField()
    place = PlaceSerializer()
    text = serializers.CharField()
    score = serializers.FloatField(help_text="Within one answer; two searches cannot be compared by it.")
    highlight = serializers.DictField(
        help_text="`{text, matches: [[from, to]]}`: the beginning of what matches, and the places in it, in characters."
    )


class FoundPassagesSerializer(StrictSerializer):
    """Passages, the best first."""

    items = PassageSerializer(many=True)
    total = serializers.IntegerField(help_text="Of `items`.")
    warning = serializers.CharField(
        allow_null=True, help_text="Why only words were looked for, where vectors should have been too."
    )
    example = examples.FOUND_PASSAGES

    def to_representation(self, instance: Found) -> dict[str, Any]:
        items = [
            {
                "knowledge_base": passage.knowledge_base,
                "document": passage.document,
                "document_id": str(passage.document_id),
                "place": passage.place,
                "text": passage.text,
                "score": passage.score,
                "highlight": highlight(passage.text, passage.matches),
            }
            for passage in instance.passages
        ]
        return {"items": items, "total": len(items), "warning": instance.warning or None}


def highlight(text: str, matches: list[tuple[int, int]]) -> dict[str, Any]:
    """The part of `text` from shortly before the first match, and the matches in it."""
    start = max(0, matches[0][0] - SNIPPET // 4) if matches else 0
    shown = text[start : start + SNIPPET]
    places = [[one - start, other - start] for one, other in matches if other - start <= len(shown)]
    return {"text": shown, "matches": places}
