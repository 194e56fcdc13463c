"""The routes of a workspace's configuration: component by component by name, and as a whole."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.api.base import TenantViewSet
from agentplatform.lib.errors import Invalid, NotFound
from agentplatform.lib.json import JSONParser
from agentplatform.lib.pagination import DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET, offset_of, whole_number
from agentplatform.lib.schema import failures
from agents.api import configuration_serializers as shapes
from agents.api.workflow_serializers import MOST_VERSIONS
from agents.api.workflow_views import YamlParser
from agents.configuration import components, exporting, importing
from agents.configuration.components import Component, Outcome
from agents.configuration.documents import difference, document_of, shown
from agents.configuration.importing import Report, faults_of
from agents.configuration.kinds import COMPONENTS
from agents.configuration.preconditions import Precondition
from agents.configuration.rows import RowSection
from agents.models import Version

READ, WRITE = "read:configuration", "write:configuration"
TYPE = OpenApiParameter(
    "type", str, enum=list(COMPONENTS), description="Where a name is used by several types."
)
NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, description="Name or id of the component.")
PAGE = [
    OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}. Default: {DEFAULT_LIMIT}."),
    OpenApiParameter("offset", int, description=f"0 to {MAX_OFFSET}. Default: 0."),
]
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of the state that you have read; `*`: whichever. Required for what exists.",
)
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="`*`: create only, never overwrite."
)
PRUNE = OpenApiParameter(
    "prune",
    bool,
    description="Delete what the text does not have, of those sections that it has. Default: false.",
)
DRY_RUN = OpenApiParameter("dry_run", bool, description="Change nothing; say what would. Default: false.")


class ConfigurationYaml(YamlParser):
    field = "configuration"
    longest = shapes.LONGEST_BODY


class OldConfigurationYaml(ConfigurationYaml):
    media_type = "application/x-yaml"


class TextConfigurationYaml(ConfigurationYaml):
    media_type = "text/yaml"


class ComponentViewSet(TenantViewSet):
    """Models, tools, agents, workflows, MCP servers and knowledge bases by their names.

    Besides, each of them needs the permission of its own kind: `read:model`, `write:agent` and so on.
    """

    filter_backends = []
    permissions = {
        "components": READ,
        "component": READ,
        "write": WRITE,
        "remove": WRITE,
        "history": READ,
        "diff": READ,
        "restore": WRITE,
    }

    @extend_schema(
        operation_id="config_list",
        parameters=[TYPE, *PAGE],
        responses={200: shapes.ConfigListSerializer, **failures(422)},
    )
    def components(self, request: Request) -> Response:
        """List the components

        By type and name, those that you may read.
        """
        limit = whole_number(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        offset = offset_of(request)
        sections = components.sections_for(self.actor, request.query_params.get("type"))
        heads: Any = components.heads(self.actor, sections)
        page = [_head(row) for row in heads[offset : offset + limit]]
        return Response({**_page(heads.count(), limit, offset), "configs": page})

    @extend_schema(operation_id="config_retrieve", parameters=[NAME, TYPE], responses=shapes.ConfigSerializer)
    def component(self, request: Request, name: str) -> Response:
        """Read a component

        As it can be sent back: references by name, secrets as `${secret:…}`. The header `ETag` names its state.
        """
        found = self._find(name)
        return Response(found.config, headers={"ETag": found.etag})

    @extend_schema(
        operation_id="config_update",
        parameters=[NAME, TYPE, IF_MATCH, IF_NONE_MATCH],
        request=shapes.ConfigWriteSerializer,
        responses={
            200: shapes.ConfigChangeSerializer,
            201: shapes.ConfigChangeSerializer,
            **failures(412, 428),
        },
    )
    def write(self, request: Request, name: str) -> Response:
        """Create or replace a component

        One that exists is replaced with `If-Match` only: 428 without it, 412 where somebody has changed it since.
        Nothing new is written where it is the same already. With `validate_only` everything is checked, references
        too, and the answer says what would change.
        """
        body = self.body_of(shapes.ConfigWriteSerializer)
        config = dict(body["config"])
        section = components.section_of(self._type_of(config, name))
        self._check_name(section, config, name)
        is_trial = body["validate_only"]
        try:
            outcome = components.put(
                self.actor, section, name, config, Precondition.of(request.headers), is_trial=is_trial
            )
        except (Invalid, ValidationError) as error:
            raise Invalid(
                {f"config.{field}".rstrip("."): message for field, message in faults_of(error).items()}
            ) from error
        is_new = outcome.change == "created" and not is_trial
        return _changed(outcome, is_trial=is_trial, status=201 if is_new else 200)

    @extend_schema(
        operation_id="config_destroy",
        parameters=[NAME, TYPE, IF_MATCH],
        request=None,
        responses={204: None, **failures(412, 428)},
    )
    def remove(self, request: Request, name: str) -> Response:
        """Delete a component

        Needs `If-Match`. Answers 409, naming what still uses it.
        """
        components.delete(self.actor, self._find(name), Precondition.of(request.headers))
        return Response(status=204)

    @extend_schema(
        operation_id="config_history",
        parameters=[NAME, TYPE, *PAGE],
        responses={200: shapes.ConfigHistorySerializer, **failures(409, 422)},
    )
    def history(self, request: Request, name: str) -> Response:
        """Read the history of a component

        The newest change first, each with the configuration before and after it.
        """
        found = self._find(name)
        pages: Any = self.paginator
        versions = components.history(found)
        page = pages.paginate_queryset(versions, request, self)
        before = versions.filter(number=page[-1].number - 1).first() if page else None
        entries = [_entry(*pair) for pair in zip(page, [*page[1:], before], strict=True)]
        return Response(
            {
                "component_name": found.name,
                "type": found.section.type,
                **_page(pages.total, pages.limit, pages.offset),
                "history": entries,
            }
        )

    @extend_schema(
        operation_id="config_diff",
        parameters=[
            NAME,
            TYPE,
            OpenApiParameter("from", int, description="A version's number. Default: the one before `to`."),
            OpenApiParameter("to", int, description="A version's number. Default: the present one."),
        ],
        responses={200: shapes.ConfigDiffSerializer, **failures(409, 422)},
    )
    def diff(self, request: Request, name: str) -> Response:
        """Compare two versions of a component"""
        found = self._find(name)
        newest = components.history(found).values_list("number", flat=True).first() or 1
        new = whole_number(request, "to", newest, 1, MOST_VERSIONS)
        old = whole_number(request, "from", max(new - 1, 1), 1, MOST_VERSIONS)
        before, after = (components.version_of(found, number) for number in (old, new))
        return Response(
            {
                "component_name": found.name,
                "type": found.section.type,
                "from_version": old,
                "to_version": new,
                "changes": difference(*(document_of(one.kind, one.data) for one in (before, after))),
            }
        )

    @extend_schema(
        operation_id="config_restore",
        parameters=[NAME, TYPE, IF_MATCH],
        request=shapes.ConfigRestoreSerializer,
        responses={200: shapes.ConfigChangeSerializer, **failures(412, 428)},
    )
    def restore(self, request: Request, name: str) -> Response:
        """Restore a version of a component

        Makes it what it was then, secrets too, as a new version. Needs `If-Match`.
        """
        number = self.body_of(shapes.ConfigRestoreSerializer)["version"]
        return _changed(
            components.restore(self.actor, self._find(name), number, Precondition.of(request.headers))
        )

    def _check_name(self, section: RowSection, config: dict[str, Any], name: str) -> None:
        """A component keeps its name; the path may have its id. Takes it out of `config`."""
        given = config.pop("name", name)
        found = components.read(section, self.actor, name) if given != name else None
        if given != name and (found is None or found.name != given):
            raise Invalid({"config.name": f"The path names {name!r}. Send that, or leave it out."})

    def _find(self, name: str) -> Component:
        return components.find(self.actor, name, self.request.query_params.get("type"))

    def _type_of(self, config: dict[str, Any], name: str) -> str:
        """Said in the configuration, in the query, or by what exists. Takes it out of `config`."""
        asked, given = self.request.query_params.get("type"), config.pop("type", None)
        if given is not None and not isinstance(given, str):
            raise Invalid({"config.type": f"Use one of: {', '.join(COMPONENTS)}."})
        if asked and given and asked != given:
            raise Invalid({"config.type": f"The query names the type {asked!r}. Send that, or leave it out."})
        if asked or given:
            return str(asked or given)
        try:
            return self._find(name).section.type
        except NotFound as error:
            raise Invalid(
                {"config.type": f"Name its type; the types are: {', '.join(COMPONENTS)}."}
            ) from error


class WholeViewSet(TenantViewSet):
    """A workspace's whole configuration as one text, for Git."""

    filter_backends = []
    parser_classes = [JSONParser, ConfigurationYaml, OldConfigurationYaml, TextConfigurationYaml]
    permissions = {"export": READ, "load": WRITE}

    @extend_schema(operation_id="config_export", responses={(200, "application/yaml"): OpenApiTypes.OBJECT})
    def export(self, request: Request) -> HttpResponse:
        """Export the configuration

        As YAML: all that you may read, always in the same order, without ids, times and secrets. Importing it changes
        nothing.
        """
        slug = self.actor.workspace_slug
        return HttpResponse(
            exporting.export(self.actor),
            content_type="application/yaml; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{slug}.yaml"'},
        )

    @extend_schema(
        operation_id="config_import",
        parameters=[DRY_RUN, PRUNE],
        request={"application/json": shapes.ConfigImportSerializer, "application/yaml": OpenApiTypes.STR},
        responses={200: shapes.ConfigImportedSerializer},
    )
    def load(self, request: Request) -> Response:
        """Import a configuration

        All of it or, where anything is wrong, nothing; the error then has an entry per fault, as
        `agents.shop-assistant.model`, with its line. As JSON, or with the content type `application/yaml` the text
        itself. With `dry_run` nothing is changed, and the answer says what would be.
        """
        is_trial, prune = (_flag(request, name) for name in ("dry_run", "prune"))
        body = self.body_of(shapes.ConfigImportSerializer)
        report = importing.import_text(
            self.actor, body["configuration"], secrets=body["secrets"].get, prune=prune, is_trial=is_trial
        )
        if is_trial or not report.changes:
            audit.current().is_refused = True
        return Response(report_json(report))


def report_json(report: Report) -> dict[str, Any]:
    """What an import has done."""
    changed = len(report.changes)
    verb = "would change" if report.is_trial else "changed"
    said = f"{changed} component{'s' if changed != 1 else ''} {verb}." if changed else "Nothing changes."
    summary = {change: report.count(change) for change in ("created", "updated", "deleted")}
    return {
        "success": True,
        "message": said,
        "dry_run": report.is_trial,
        "summary": {**summary, "unchanged": report.unchanged},
        "changes": [
            {"type": one.type, "name": one.name, "change": one.change, "changes": one.difference}
            for one in report.changes
        ],
    }


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false", "1", "0"):
        raise Invalid({name: "Use true or false."})
    return text in ("true", "1")


def _page(total: int, limit: int, offset: int) -> dict[str, Any]:
    return {"total": total, "limit": limit, "offset": offset, "has_more": offset + limit < total}


def _head(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["shown_name"],
        "type": list(COMPONENTS)[row["place"]],
        "description": row["said"],
        "enabled": row["is_enabled"],
        "tags": row["shown_tags"],
    }


def _entry(version: Version, before: Version | None) -> dict[str, Any]:
    new = shown(version.kind, version.data)
    return {
        "version": version.number,
        "change_type": version.change,
        "timestamp": version.created_at,
        "author": version.author,
        "old_config": shown(before.kind, before.data) if before else None,
        "new_config": None if version.change == "deleted" else new,
    }


def _changed(outcome: Outcome, *, is_trial: bool = False, status: int = 200) -> Response:
    component = outcome.after
    assert component
    if is_trial or outcome.change == "unchanged":
        audit.current().is_refused = True
    kind = component.section.type.replace("_", " ")
    verb = "would be" if is_trial else "is"
    answer = {
        "success": True,
        "message": f"The {kind} {component.name!r} {verb} {outcome.change}.",
        "type": component.section.type,
        "name": component.name,
        "change": outcome.change,
        "version": component.number,
        "validate_only": is_trial,
        "changes": outcome.difference,
    }
    return Response(answer, status=status, headers={} if is_trial else {"ETag": component.etag})
