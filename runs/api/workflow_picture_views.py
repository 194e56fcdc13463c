"""The route of a workflow's picture; with a run, how far that has come."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.base import TenantViewSet
from agentplatform.lib.errors import Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from agentplatform.lib.pagination import whole_number
from agentplatform.lib.schema import failures
from agents.models import Workflow
from agents.versions import history
from agents.workflows import svg
from agents.workflows.pictures import Picture, draw
from runs.models import Run
from runs.workflow_picture import picture_of

FORMATS = ("json", "mermaid", "svg")
MOST_VERSIONS = 2_147_483_647
PARAMETERS = [
    OpenApiParameter("format", str, enum=FORMATS, description="Default: json."),
    OpenApiParameter("version", int, description="Default: the draft, or what the run executes."),
    OpenApiParameter("run_id", str, description="A run of the workflow: each node with how it stands there."),
]
PICTURE = {
    (200, "application/json"): OpenApiResponse(
        OpenApiTypes.OBJECT,
        description="`{workflow, version, run, nodes: [{id, kind, label, x, y, status?, visits?, duration?, "
        "input_tokens?, output_tokens?, total_tokens?}], edges: [{from, to, case, back}]}`; as `mermaid` a "
        "flowchart (text/vnd.mermaid), as `svg` a drawing (image/svg+xml).",
    ),
    (200, "text/vnd.mermaid"): OpenApiTypes.STR,
    (200, "image/svg+xml"): OpenApiTypes.STR,
}


class WorkflowPictureViewSet(TenantViewSet):
    """What a workflow looks like."""

    queryset = Workflow.objects.select_related("version")
    filter_backends = []
    pagination_class = None
    permissions = {"visualization": "read:workflow"}

    @extend_schema(parameters=PARAMETERS, responses={**PICTURE, **failures(404, 422)}, filters=False)
    def visualization(self, request: Request, pk: str) -> Response | HttpResponse:
        """Draw a workflow

        Its nodes and edges as JSON with places for a drawing of one's own, as a Mermaid flowchart, or as SVG. With
        `run_id` each node has its `status` (pending, running, waiting, completed, failed, skipped), how often it has
        been visited, its seconds and its tokens; those of agents and nested workflows are of the runs they started.
        """
        kind = request.query_params.get("format", "json")
        if kind not in FORMATS:
            raise Invalid({"format": f"Choose one of {', '.join(FORMATS)}."})
        workflow: Workflow = self.get_object()
        run = self._run(workflow, request.query_params.get("run_id", ""))
        number, picture = self._picture(request, workflow, run)
        if kind == "mermaid":
            return HttpResponse(picture.as_mermaid(), content_type="text/vnd.mermaid; charset=utf-8")
        if kind == "svg":
            return svg_response(picture, workflow.name)
        named = {"workflow": workflow.name, "version": number, "run": run and run_facts(run)}
        return Response({**named, **picture.as_json()})

    def _run(self, workflow: Workflow, run_id: str) -> Run | None:
        if not run_id:
            return None
        if as_uuid(run_id) is None:
            raise Invalid({"run_id": "Send the id of a run."})
        self.actor.require("read:run")
        runs = Run.objects.filter(workflow=workflow).select_related("workflow_version")
        found: Run = runs.named(self.actor, run_id)
        return found

    def _picture(self, request: Request, workflow: Workflow, run: Run | None) -> tuple[int, Picture]:
        if run is not None:
            assert run.workflow_version
            if "version" in request.query_params:
                raise Invalid({"version": "A run executes a version of its own. Give version or run_id."})
            return run.workflow_version.number, picture_of(run)
        if "version" in request.query_params:
            number = whole_number(request, "version", 1, 1, MOST_VERSIONS)
            version = history(workflow.kind, workflow).filter(number=number).first()
            if version is None:
                raise NotFound("Version", number)
            return number, draw(version.data["document"])
        return workflow.version.number if workflow.version else 0, draw(workflow.document)


def run_facts(run: Run) -> dict[str, str]:
    """`{id, status}`."""
    return {"id": str(run.pk), "status": run.status}


def svg_response(picture: Picture, title: str) -> HttpResponse:
    """A drawing that a browser may open by itself: no scripts, nothing from elsewhere."""
    policy = {"Content-Security-Policy": svg.content_security_policy()}
    return HttpResponse(
        svg.as_svg(picture, title), content_type="image/svg+xml; charset=utf-8", headers=policy
    )
