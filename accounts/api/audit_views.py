"""The audit log over REST: read, exported, and verified."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins
from rest_framework.request import Request

from accounts import audit
from accounts.api.audit_filters import AuditFilter
from accounts.api.audit_serializers import AuditEntrySerializer, AuditExportQuerySerializer
from accounts.api.base import FileViewSet, TenantViewSet
from accounts.api.chains import ChainViewSet
from accounts.audit import Action, AuditEntry
from accounts.audit.exports import EXAMPLE, JSON_EXAMPLE, audit_stream
from accounts.audit.sealing import AUDIT_LOG
from agentplatform.lib.csv_stream import csv_response, require_room
from agentplatform.lib.filtering import PAGING, check
from agentplatform.lib.schema import failures

content_types = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}


@extend_schema_view(
    list=extend_schema(summary="List audit entries"), retrieve=extend_schema(summary="Read an audit entry")
)
class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, TenantViewSet):
    """What was done in the workspace, the newest first. Nothing in it says what was said to agents."""

    queryset = AuditEntry.objects.select_related("user_name", "api_key_name", "subject_name")
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    ordering_fields = ["id"]
    keyset = True
    permissions = {"list": "read:audit", "retrieve": "read:audit"}


class AuditExportViewSet(FileViewSet):
    """The audit log as a file."""

    queryset = AuditEntry.objects.all()
    filterset_class = AuditFilter
    permissions = {"export": "export:audit"}

    @extend_schema(
        operation_id="audit_log_export",
        parameters=[AuditExportQuerySerializer],
        responses={
            (200, "text/csv"): OpenApiResponse(
                OpenApiTypes.STR, "The rows, the header first.", [OpenApiExample("One entry", value=EXAMPLE)]
            ),
            (200, "application/x-ndjson"): OpenApiResponse(
                OpenApiTypes.STR, "An entry on each line.", [OpenApiExample("One entry", value=JSON_EXAMPLE)]
            ),
            **failures(422, 429),
        },
        filters=True,
    )
    def export(self, request: Request) -> HttpResponseBase:
        """Export the audit log

        As CSV or JSON Lines, the oldest entry first, streamed however long it is. The export itself is an entry too. If
        the connection breaks off before the end, the file is not complete.
        """
        query = AuditExportQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        file_format = query.validated_data["format"]
        require_room()
        entries = self._chosen(request)
        audit.record(Action.EXPORTED, audit.Thing("AuditLog"), after={"format": file_format})
        slug = self.actor.workspace_slug
        name = f"audit-{slug}-{timezone.now():%Y%m%dT%H%M%S}.{file_format}"
        return csv_response(audit_stream(entries, slug, file_format), name, content_types[file_format])

    def _chosen(self, request: Request) -> Any:
        """The entries that the query string asks for. Raises Invalid where it is not clear."""
        filters = AuditFilter(request.query_params, self.get_queryset(), request=request)
        check(filters, beside=PAGING | {"format"})
        return filters.qs


class AuditChainViewSet(ChainViewSet):
    """The chain over the entries of the workspace's audit log."""

    queryset = AuditEntry.objects.all()
    chain = AUDIT_LOG
    permissions = {"read_head": "read:audit", "verify_rows": "read:audit"}
