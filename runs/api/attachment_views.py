"""The routes of files that are sent along with messages."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.errors import Invalid
from agentplatform.lib.schema import failures
from runs.api.chat import SESSION_ID
from runs.api.representations import attachment_json
from runs.api.session_serializers import AttachmentSerializer, AttachmentUploadSerializer
from runs.conversations import attachments
from runs.conversations.file_types import IMAGES
from runs.models import Attachment, Session


class AttachmentViewSet(mixins.RetrieveModelMixin, mixins.DestroyModelMixin, TenantViewSet):
    """Files of messages in one's own sessions, and in everybody's for those who may see them."""

    queryset = Attachment.objects.all()
    serializer_class = AttachmentSerializer
    filter_backends = []
    permissions = {
        "retrieve": "read:session",
        "content": "read:session",
        "upload": "write:session",
        "destroy": "write:session",
    }

    def perform_destroy(self, instance: Attachment) -> None:
        attachments.withdraw(self.actor, instance)

    @extend_schema(
        operation_id="sessions_attachment_upload",
        parameters=[SESSION_ID],
        request={"multipart/form-data": AttachmentUploadSerializer},
        responses={201: AttachmentSerializer, **failures(404, 413, 422)},
    )
    def upload(self, request: Request, pk: str) -> Response:
        """Upload a file for a message

        As a form with the field `file`. What it is, is found from its bytes; name and type that say otherwise are
        refused. Send its id with a message of the session within a day.
        """
        session = Session.objects.named(self.actor, pk)
        file = request.FILES.get("file")
        if file is None or len(request.FILES.getlist("file")) > 1:
            raise Invalid({"file": "Send one file, as the field 'file' of a form (multipart/form-data)."})
        made = attachments.upload(self.actor, session.pk, file)
        return Response(attachment_json(made), status=201)

    @extend_schema(
        responses={
            (200, "*/*"): OpenApiResponse(OpenApiTypes.BINARY, description="The file."),
            **failures(404),
        },
    )
    def content(self, request: Request, pk: str) -> HttpResponse:
        """Read a file of a message

        As it was uploaded, with the type that was found. Pictures may be shown; all others are downloads.
        """
        attachment: Attachment = self.get_object()
        kind = attachment.media_type
        response = HttpResponse(
            attachments.read(attachment),
            content_type=f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
        )
        disposition: Any = content_disposition_header(kind not in IMAGES, attachment.name)
        response["Content-Disposition"] = disposition or "inline"
        response["X-Content-Type-Options"] = "nosniff"
        response["Content-Security-Policy"] = "sandbox; default-src 'none'"
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        response["Cache-Control"] = "private, max-age=3600, immutable"
        return response
