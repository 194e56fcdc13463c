"""The ledger as a file: streamed at once, or made in the background to be downloaded."""

from __future__ import annotations

from django.http import HttpResponseBase
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import FileViewSet, TenantViewSet
from agentplatform.lib.csv_stream import csv_response, require_room
from agentplatform.lib.downloads import download, passing
from agentplatform.lib.schema import failures
from billing.api.export_serializers import (
    AskingSerializer,
    ManifestSerializer,
    ProofSerializer,
    StreamQuerySerializer,
    UsageExportSerializer,
)
from billing.api.filters import UsageExportFilter
from billing.exports import columns, requests
from billing.exports.options import FORMATS, GZIP, Options
from billing.exports.streams import usage_stream
from billing.exports.writing import small_workbook
from billing.models import UsageExport, UsageRecord
from billing.usage_filters import UsageFilter

STREAMED = {
    (200, "text/csv"): OpenApiResponse(
        OpenApiTypes.STR, "The rows, the header first.", [OpenApiExample("One call", value=columns.EXAMPLE)]
    ),
    (200, FORMATS["jsonl"]): OpenApiResponse(
        OpenApiTypes.STR, "An object per line.", [OpenApiExample("Six columns", value=columns.JSON_EXAMPLE)]
    ),
    (200, FORMATS["xlsx"]): OpenApiResponse(OpenApiTypes.BINARY, "A workbook."),
}
FILE = OpenApiResponse(OpenApiTypes.BINARY, description="The file, or the part of it that was asked for.")
FILES = {
    (status, content_type): FILE
    for status in (200, 206)
    for content_type in ("text/csv", FORMATS["jsonl"], FORMATS["xlsx"], GZIP)
}
RANGE = [
    OpenApiParameter("Range", str, OpenApiParameter.HEADER, description="One range, like bytes=1000-."),
    OpenApiParameter("If-Range", str, OpenApiParameter.HEADER, description="The ETag of the part one has."),
]


class UsageStreamViewSet(FileViewSet):
    """The ledger as a file, at once."""

    queryset = UsageRecord.objects.all()
    filter_backends = [DjangoFilterBackend]
    filterset_class = UsageFilter
    permissions = {"export": "export:usage"}

    @extend_schema(
        parameters=[StreamQuerySerializer], responses={**STREAMED, **failures(413, 422, 429)}, filters=True
    )
    def export(self, request: Request) -> HttpResponseBase:
        """Export usage

        As CSV, JSON Lines or XLSX; one row per settled model call and correction, in order of time. CSV and JSON Lines
        are streamed however long they are, a workbook has at most 20,000 rows. Amounts are plain decimals. In CSV, what
        spreadsheets take for a formula (text that begins with =, +, - or @) has an apostrophe before it. If the
        connection breaks off before the end, the file is not complete: exports in the background can be resumed.
        """
        query = StreamQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        options = Options.of(query.validated_data)
        require_room()
        order = requests.at_once(self.actor, options, request.query_params, beside=frozenset(query.fields))
        slug = order.workspace.slug
        name = options.filename(slug, order.period)
        if options.format == "xlsx":
            return passing(small_workbook(order), name, options.content_type)
        stream = usage_stream(order.records, slug, options, of_one_run=order.of_one_run)
        return csv_response(stream, name, options.content_type)


class UsageExportViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, TenantViewSet
):
    """Exports of usage that are made in the background: one's own, and all for those who may read everybody's usage."""

    queryset = UsageExport.objects.all()
    serializer_class = UsageExportSerializer
    filterset_class = UsageExportFilter
    ordering_fields = ["created_at"]
    permissions = dict.fromkeys(
        ["list", "retrieve", "create", "destroy", "manifest", "download", "verify"], "export:usage"
    )
    changes_nothing = frozenset({"verify"})

    @extend_schema(request=AskingSerializer, responses={202: UsageExportSerializer})
    def create(self, request: Request) -> Response:
        """Export usage in the background

        A worker writes the file and its manifest from one moment of the ledger; read the export until its `status` is
        `completed`, then download it. A period without an end ends now.
        """
        body = self.body_of(AskingSerializer)
        asked = {"format": body["format"], "columns": body["columns"], **body["options"]}
        export = requests.ask(self.actor, Options.of(asked, prefix="options."), body["filters"])
        return Response(UsageExportSerializer(export).data, status=202)

    def perform_destroy(self, instance: UsageExport) -> None:
        """One that is under way is stopped."""
        requests.delete(self.actor, instance.pk)

    @extend_schema(responses={200: ManifestSerializer, **failures(409)})
    def manifest(self, request: Request, pk: str) -> Response:
        """Read the manifest of an export

        What was asked, by whom, what came out, and where the ledger's chain stood then; signed.
        """
        return Response(requests.completed_manifest(self.get_object()))

    @extend_schema(
        parameters=RANGE,
        responses={
            **FILES,
            416: OpenApiResponse(description="The range begins behind the end."),
            **failures(409),
        },
    )
    def download(self, request: Request, pk: str) -> HttpResponseBase:
        """Download an export

        Whole, or from where it broke off (`Range`). The ETag is the SHA-256 of the file.
        """
        file = requests.file_of(self.actor, self.get_object())
        return download(str(request.method), request.headers, file)

    @extend_schema(request=None, responses={200: ProofSerializer, **failures(409)})
    def verify(self, request: Request, pk: str) -> Response:
        """Verify an export

        Reads the file from the storage again and compares it with its manifest, the manifest with its signature, and
        the ledger's chain with where it stood then.
        """
        proof = requests.prove_stored(self.actor, self.get_object())
        return Response(ProofSerializer(proof).data)
