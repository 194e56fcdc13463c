"""The routes of knowledge bases and their documents."""

from __future__ import annotations

from typing import Any

from django.core.files.base import ContentFile, File
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.json import JSONParser
from agentplatform.lib.pagination import whole_number
from agents.api import filters, representations
from agents.api.knowledge_serializers import (
    DocumentSerializer,
    DocumentUploadSerializer,
    FoundPassagesSerializer,
    KnowledgeBaseSerializer,
    SearchQuerySerializer,
)
from agents.api.views import LockingViewSet
from agents.knowledge import documents
from agents.knowledge.search import MOST_FOUND, search
from agents.metering import Payer
from agents.models import Document, KnowledgeBase

FOUND = 10
LIMIT = OpenApiParameter("limit", int, description=f"1 to {MOST_FOUND}. Default: {FOUND}.")
READ, WRITE, DELETE = "read:knowledge", "write:knowledge", "delete:knowledge"
BASE = OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Id or name.")
DOCUMENT = OpenApiParameter(
    "document", OpenApiTypes.STR, OpenApiParameter.PATH, description="Id or name of the document."
)


class KnowledgeBaseViewSet(LockingViewSet):
    """Knowledge bases: documents that agents search."""

    queryset = representations.knowledge_bases
    serializer_class = KnowledgeBaseSerializer
    permissions = {
        "list": READ,
        "retrieve": READ,
        "search": READ,
        "create": WRITE,
        "update": WRITE,
        "partial_update": WRITE,
        "reindex": WRITE,
        "destroy": DELETE,
    }

    def perform_destroy(self, instance: KnowledgeBase) -> None:
        documents.delete_base(instance)

    @extend_schema(
        parameters=[SearchQuerySerializer, LIMIT], responses=FoundPassagesSerializer, filters=False
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def search(self, request: Request, **kwargs: Any) -> Response:
        """Search a knowledge base

        The best passages first: by words, and by meaning where the base has an embedding model.
        """
        limit = whole_number(request, "limit", FOUND, 1, MOST_FOUND)
        given = {name: value for name, value in request.query_params.items() if name != "limit"}
        chosen = SearchQuerySerializer(data=given)
        chosen.is_valid(raise_exception=True)
        base, actor = self.get_object(), self.actor
        payer = Payer(actor.user_id, actor.username, actor.api_key_id, actor.api_key_name)
        found = search(base.workspace_id, [base.pk], chosen.validated_data["q"], limit, payer)
        return Response(FoundPassagesSerializer(found).data)

    @extend_schema(request=None, responses={202: KnowledgeBaseSerializer})
    @action(detail=True, methods=["post"])
    def reindex(self, request: Request, **kwargs: Any) -> Response:
        """Index all documents again

        From their files, in the background. Until each is ready, what was found before is found.
        """
        base = self.get_object()
        documents.index_again(Document.objects.filter(knowledge_base=base), self.actor)
        return Response(self.get_serializer(base).data, status=202)


class DocumentViewSet(mixins.ListModelMixin, TenantViewSet):
    """The documents of a knowledge base."""

    queryset = Document.objects.all()
    serializer_class = DocumentSerializer
    filterset_class = filters.DocumentFilter
    search_fields = ["name"]
    ordering_fields = ["name", "size", "created_at", "updated_at", "indexed_at"]
    parser_classes = [JSONParser, MultiPartParser]
    permissions = {
        "list": READ,
        "retrieve": READ,
        "create": WRITE,
        "reindex": WRITE,
        "destroy": DELETE,
    }

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        return queryset.filter(knowledge_base=self._base()) if "pk" in self.kwargs else queryset

    def _base(self) -> KnowledgeBase:
        return KnowledgeBase.objects.all().named(self.actor, self.kwargs["pk"])

    def get_object(self) -> Document:
        rows: Any = self.get_queryset()
        found: Document = rows.named(self.actor, self.kwargs["document"])
        return found

    @extend_schema(operation_id="knowledge_documents_list", parameters=[BASE])
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the documents"""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="knowledge_documents_create",
        parameters=[BASE],
        request={
            "multipart/form-data": DocumentUploadSerializer,
            "application/json": DocumentUploadSerializer,
        },
        responses={202: DocumentSerializer},
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Add a document

        As a file or as a text. It is indexed in the background; `status` and `progress` tell how far that is. A
        document of the same name is replaced, and found until the new one is ready.
        """
        base = self._base()
        sent = self.body_of(DocumentUploadSerializer)
        file: File[bytes] = sent["file"] if "file" in sent else ContentFile(sent["content"].encode())
        name = sent.get("name") or file.name or ""
        document = documents.add(base, name, file, self.actor)
        return Response(self.get_serializer(document).data, status=202)

    @extend_schema(operation_id="knowledge_documents_retrieve", parameters=[BASE, DOCUMENT])
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read a document's state"""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(operation_id="knowledge_documents_destroy", parameters=[BASE, DOCUMENT])
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a document

        With its chunks, vectors and file. If it is being indexed, that ends.
        """
        documents.delete(self.get_object())
        return Response(status=204)

    @extend_schema(
        operation_id="knowledge_documents_reindex",
        parameters=[BASE, DOCUMENT],
        request=None,
        responses={202: DocumentSerializer},
    )
    def reindex(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Index a document again

        From its file, in the background: after a failure, say.
        """
        document = self.get_object()
        documents.index_again(Document.objects.filter(pk=document.pk), self.actor)
        document.refresh_from_db()
        return Response(self.get_serializer(document).data, status=202)
