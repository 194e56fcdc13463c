"""The routes of workflows. Running them is `runs`' to do."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.audit import Action
from agentplatform.lib.errors import Invalid, NotFound, PayloadTooLarge
from agentplatform.lib.json import JSONParser, dumps
from agentplatform.lib.pagination import whole_number
from agentplatform.lib.schema import failures
from agents.api import filters, representations, workflow_serializers
from agents.api.views import ConfigurationViewSet, permissions_for
from agents.api.workflow_serializers import MOST_VERSIONS
from agents.models import Version, Workflow
from agents.versions import compare, history
from agents.workflows import drafts, publishing, text
from agents.workflows.diff import diff_documents
from agents.workflows.loading import load
from agents.workflows.schema import published_schema
from agents.workflows.text import LONGEST_TEXT, TextFault

FORMATS = {"yaml": "application/yaml", "json": "application/json"}
VERSION = OpenApiParameter("version", int, description="Default: the draft.")


class YamlParser(BaseParser):
    """A body that is the definition itself."""

    media_type = "application/yaml"
    field = "definition"
    longest = LONGEST_TEXT
    """Characters."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        # A character has at most four bytes in UTF-8.
        most = 4 * self.longest
        body = stream.read(most + 1)
        if len(body) > most:
            raise PayloadTooLarge(f"Send at most {self.longest} characters.")
        try:
            return {self.field: body.decode()}
        except UnicodeDecodeError as error:
            raise Invalid({text.FIELD: "Send it in UTF-8."}) from error


class OldYamlParser(YamlParser):
    media_type = "application/x-yaml"


class TextYamlParser(YamlParser):
    media_type = "text/yaml"


class WorkflowViewSet(ConfigurationViewSet):
    """Workflows: documents of nodes and edges that runs execute."""

    queryset = representations.workflows
    serializer_class = workflow_serializers.WorkflowSerializer
    filterset_class = filters.WorkflowFilter
    permissions = permissions_for(
        "workflow",
        load="write:workflow",
        validate="read:workflow",
        validate_any="read:workflow",
        publish="publish:workflow",
        export="read:workflow",
        diff="read:workflow",
        document_schema="read:workflow",
    )

    changes_nothing = frozenset({"validate", "validate_any"})

    def get_queryset(self) -> QuerySet[Any]:
        found = super().get_queryset()
        return found.defer("document", "source") if self.action == "list" else found

    def get_serializer_class(self) -> Any:
        is_list = self.action == "list"
        return workflow_serializers.WorkflowItemSerializer if is_list else self.serializer_class

    @extend_schema(
        request={
            "application/json": workflow_serializers.LoadSerializer,
            "application/yaml": OpenApiTypes.STR,
        },
        responses={
            200: workflow_serializers.WorkflowSerializer,
            201: workflow_serializers.WorkflowSerializer,
            **failures(409, 422),
        },
    )
    @action(
        detail=False,
        methods=["post"],
        parser_classes=[JSONParser, YamlParser, OldYamlParser, TextYamlParser],
    )
    def load(self, request: Request) -> Response:
        """Load a workflow

        Creates the workflow of the definition's name, or makes its draft what the definition says. Nothing new is
        written where that is the same. As JSON, or with the content type `application/yaml` the definition itself.
        """
        body = self.body_of(workflow_serializers.LoadSerializer)
        if body["publish"]:
            self.actor.require("publish:workflow")
        workflow, is_new = load(self.actor, body["definition"], publish=body["publish"])
        return self._shown(workflow, 201 if is_new else 200)

    @extend_schema(
        operation_id="workflows_validate_any",
        request=workflow_serializers.ValidateSerializer,
        responses=workflow_serializers.ValidationSerializer,
    )
    @action(detail=False, methods=["post"], url_path="validate")
    def validate_any(self, request: Request) -> Response:
        """Validate a document

        One that is not stored: everything that is wrong with it, each with its place.
        """
        return self._validated(self.body_of(workflow_serializers.ValidateSerializer), "")

    @extend_schema(
        request=workflow_serializers.ValidateSerializer, responses=workflow_serializers.ValidationSerializer
    )
    @action(detail=True, methods=["post"])
    def validate(self, request: Request, **kwargs: Any) -> Response:
        """Validate a workflow

        As it is stored or, with `document` or `source`, as it would be.
        """
        body, workflow = self.body_of(workflow_serializers.ValidateSerializer), self.get_object()
        return self._validated(body or {"source": drafts.export(workflow)}, workflow.name)

    @extend_schema(
        request=workflow_serializers.PublishSerializer,
        responses={200: workflow_serializers.WorkflowSerializer, **failures(404, 409, 422)},
    )
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, **kwargs: Any) -> Response:
        """Publish a version

        From now on runs execute it; those under way go on with theirs. With `replaces` only where nobody has
        published another one meanwhile.
        """
        body = self.body_of(workflow_serializers.PublishSerializer)
        replaces = body.get("replaces", publishing.ANY)
        return self._shown(publishing.publish(self.get_object(), body.get("version"), replaces))

    @extend_schema(
        parameters=[
            VERSION,
            OpenApiParameter("format", str, enum=list(FORMATS), description="Default: yaml."),
        ],
        responses={
            **{(200, content_type): OpenApiTypes.OBJECT for content_type in FORMATS.values()},
            **failures(404, 422),
        },
        filters=False,
    )
    @action(detail=True, filter_backends=[])
    def export(self, request: Request, **kwargs: Any) -> HttpResponse:
        """Export a workflow

        What was loaded, with its comments; loading it again changes nothing.
        """
        name = request.query_params.get("format", "yaml")
        if name not in FORMATS:
            raise Invalid({"format": f"Choose one of {', '.join(FORMATS)}."})
        workflow = self.get_object()
        if "version" in request.query_params:
            workflow = drafts.at_version(workflow, self._version(workflow, "version"))
        whole = dumps(drafts.whole_document(workflow)) if name == "json" else drafts.export(workflow).encode()
        response = HttpResponse(whole, content_type=f"{FORMATS[name]}; charset=utf-8")
        audit.record(Action.EXPORTED, audit.thing(workflow))
        response["Content-Disposition"] = f'attachment; filename="{workflow.name}.{name}"'
        return response

    @extend_schema(
        parameters=[
            OpenApiParameter("from", int, description="Default: the published version."),
            OpenApiParameter("to", int, description="Default: the draft."),
        ],
        responses={200: workflow_serializers.WorkflowDiffSerializer, **failures(404, 422)},
        filters=False,
    )
    @action(detail=True, filter_backends=[], pagination_class=None)
    def diff(self, request: Request, **kwargs: Any) -> Response:
        """Compare two versions

        By node and edge.
        """
        workflow = self.get_object()
        before = self._version(workflow, "from") if "from" in request.query_params else workflow.published
        after = self._version(workflow, "to") if "to" in request.query_params else workflow.version
        if before is None:
            raise Invalid({"from": "Nothing is published yet; name a version."})
        return Response(
            {
                "from_version": before.number,
                "to_version": after.number,
                "head": compare(*({**one.data, "document": None} for one in (before, after))),
                **diff_documents(before.data["document"], after.data["document"]),
            }
        )

    @extend_schema(responses={200: OpenApiTypes.OBJECT}, filters=False)
    @action(detail=False, filter_backends=[], pagination_class=None, url_path="schema")
    def document_schema(self, request: Request) -> Response:
        """Read the schema of documents

        As JSON Schema (Draft 2020-12), for editors.
        """
        return Response(published_schema())

    def _version(self, workflow: Workflow, parameter: str) -> Version:
        number = whole_number(self.request, parameter, 1, 1, MOST_VERSIONS)
        version = history(workflow.kind, workflow).filter(number=number).first()
        if version is None:
            raise NotFound("Version", number)
        return version

    def _validated(self, body: dict[str, Any], name: str) -> Response:
        if bool(body.get("source")) == ("document" in body):
            raise Invalid({"document": "Send either the document, or source as YAML or JSON."})
        try:
            draft = drafts.read(self.actor.workspace_id, body.get("source") or body["document"], name)
        except TextFault as error:
            return Response({"valid": False, "errors": [error.fault.as_json(error.line)]})
        return Response({"valid": not draft.faults, "errors": draft.faults_json()})

    def _shown(self, workflow: Workflow, status: int = 200) -> Response:
        row = representations.workflows.get(pk=workflow.pk)
        return Response(representations.workflow_json(row), status=status)
