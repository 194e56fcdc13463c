"""The API's own description, for drf-spectacular: summaries, tags, errors, examples, and async views.

- A view's or action's docstring is its documentation: the first line the summary, the rest the description.
  The standard actions of a viewset get a summary from its model's name.
- A serializer's class attribute `example = {…}` is shown for requests and responses that it describes.
- `documented(...)` shows a view that is not Django REST framework's.
- `failures(402, …)` documents error responses beyond those that follow from the operation's form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from drf_spectacular.openapi import AutoSchema as SpectacularSchema
from drf_spectacular.plumbing import (
    ResolvedComponent,
    build_examples_list,
    build_listed_example_value,
    force_instance,
    get_doc,
    is_list_serializer,
    is_serializer,
)
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.views import APIView

from agentplatform.lib.errors import type_by_status

View = TypeVar("View", bound=Callable[..., Awaitable[Any]])
Schema = dict[str, Any]

WORKSPACE_HEADER = OpenApiParameter(
    "X-Workspace",
    str,
    OpenApiParameter.HEADER,
    description="Slug of the workspace to act in. Without it: the API key's, or the user's first.",
)
ERROR_SCHEMA: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "path", "request_id"],
            "properties": {
                "type": {"type": "string", "description": "For programs."},
                "message": {"type": "string", "description": "For people."},
                "path": {"type": "string"},
                "request_id": {"type": "string", "description": "Finds the request in the log."},
                "details": {"description": "More, where there is more; of a 422 `[{field, message}]`."},
            },
        }
    },
}
description_by_status = {
    400: "The request cannot be read: its body is not valid JSON, or its URL has a character that cannot be stored.",
    401: "Not signed in, or the token or key is not valid.",
    402: "The budget is spent.",
    403: "The role or the key's scopes do not permit this.",
    404: "It does not exist in this workspace.",
    409: "The present state does not allow this.",
    412: "The object is not the one that `If-Match` names; `ETag` says which it is now.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The input is not valid; `details` has an entry per field.",
    428: "Something that exists is changed with `If-Match` only.",
    429: "Too many requests; `Retry-After` says how many seconds to wait.",
    500: "A fault of the platform.",
    503: "The platform is not ready; `Retry-After` says when to try again.",
}
verb_by_action = {
    "list": "List",
    "create": "Create",
    "retrieve": "Read",
    "update": "Replace",
    "partial_update": "Change",
    "destroy": "Delete",
}


def failures(*codes: int) -> dict[int, OpenApiResponse]:
    """Error responses for `extend_schema(responses={200: …, **failures(402)})`."""
    reference = {"$ref": "#/components/schemas/Error"}
    return {
        code: OpenApiResponse(response=reference, description=description_by_status[code]) for code in codes
    }


def documented(method: str, *, permission: str = "", **schema: Any) -> Callable[[View], View]:
    """Shows a native async view in the schema.

    `schema` is what `extend_schema` takes. `permission` is the one that the view itself requires; tests
    that walk all operations read it from `view.cls.permissions`, as they do from other views.
    """

    def decorate(view: View) -> View:
        def operation(self: APIView) -> None:
            """Stands in for the view: described, never called."""

        operation.__doc__ = view.__doc__
        members = {
            method.lower(): extend_schema(**schema)(operation),
            "permissions": {method.lower(): permission},
            "__doc__": view.__doc__,
        }
        # The URL enumeration takes any callback with these two attributes for one of Django REST framework's.
        view.cls = type(view.__name__, (APIView,), members)  # type: ignore[attr-defined]
        view.initkwargs = {}  # type: ignore[attr-defined]
        return view

    return decorate


class AutoSchema(SpectacularSchema):
    """Fills in what every operation of this API has in common."""

    def get_summary(self) -> str:
        own = self._own_doc()
        return own.partition("\n")[0].rstrip(".") if own else self._standard_summary()

    def get_description(self) -> str:  # type: ignore[override]
        own = self._own_doc()
        return own.partition("\n")[2].strip() if own else get_doc(type(self.view))

    def get_override_parameters(self) -> list[Any]:
        inherited = super().get_override_parameters()
        return inherited if self.is_public() or "{workspace}" in self.path else [*inherited, WORKSPACE_HEADER]

    def _resolve_path_parameters(self, variables: list[str]) -> list[Schema]:
        parameters: list[Schema] = super()._resolve_path_parameters(variables)
        model = getattr(getattr(self.view, "queryset", None), "model", None)
        takes_names = hasattr(model, "name") and getattr(self.view, "lookup_value_regex", "") == "[^/]+"
        for parameter in parameters:
            if model is None or parameter["name"] != "id":
                continue
            if takes_names:
                parameter.update(schema={"type": "string"}, description="Id or name.")
            else:
                described = f"Id of the {model._meta.verbose_name}."
                parameter.update(schema={"type": "string", "format": "uuid"}, description=described)
        return parameters

    def is_public(self) -> bool:
        return not self.view.get_authenticators()

    def _own_doc(self) -> str:
        """The docstring of the action or method, unless it is Django REST framework's."""
        action = getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)
        if action is None or action.__module__.startswith("rest_framework."):
            return ""
        return get_doc(action)

    def _standard_summary(self) -> str:
        action = getattr(self.view, "action", None) or self.method_mapping[self.method.lower()]
        verb = verb_by_action.get(action, action.replace("_", " ").capitalize())
        return f"{verb} {self._noun(plural=action == 'list')}".strip()

    def _noun(self, plural: bool) -> str:
        queryset = getattr(self.view, "queryset", None)
        if queryset is None:
            return ""
        meta = queryset.model._meta
        name = str(meta.verbose_name)
        return str(meta.verbose_name_plural) if plural else f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

    def _get_response_bodies(self, direction: Any = "response") -> Schema:
        bodies: Schema = super()._get_response_bodies(direction)
        component = ResolvedComponent("Error", ResolvedComponent.SCHEMA, schema=ERROR_SCHEMA, object="Error")
        self.registry.register_on_missing(component)
        for code in self._failure_codes():
            bodies.setdefault(str(code), self._failure(code, component.ref))
        return dict(sorted(bodies.items()))

    def _failure_codes(self) -> list[int]:
        writes = self.method in ("POST", "PUT", "PATCH", "DELETE")
        has_body = writes and self.method != "DELETE" and self.get_request_serializer() is not None
        codes = {400, 500, 503}
        # The workspace in the header may be unknown, hence 404 without anything in the path. Who signs in has limits.
        codes |= set() if self.is_public() else {401, 403, 404, 429}
        codes |= {404} if "{" in self.path else set()
        codes |= {409, 429} if writes else set()
        codes |= {413, 415, 422} if has_body else set()
        codes |= {422} if self._is_list_view() or self._has_query() else set()
        return sorted(codes)

    def _has_query(self) -> bool:
        return any(parameter["in"] == "query" for parameter in self._get_parameters())

    def _failure(self, code: int, reference: Schema) -> Schema:
        error = {
            "type": type_by_status[code],
            "message": description_by_status[code],
            "path": self.path,
            "request_id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
        }
        content = {"application/json": {"schema": reference, "example": {"error": error}}}
        return {"description": description_by_status[code], "content": content}

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Schema:
        described: Schema = super()._map_basic_serializer(serializer, direction)
        once = getattr(serializer, "shown_once", None)
        if once in described.get("required", ()):
            described["required"] = [name for name in described["required"] if name != once]
        return described

    def _get_examples(
        self,
        serializer: Any,
        direction: Any,
        media_type: str,
        status_code: str | None = None,
        extras: Any = None,
    ) -> Schema:
        examples: Schema = super()._get_examples(serializer, direction, media_type, status_code, extras)
        described = force_instance(serializer.child if is_list_serializer(serializer) else serializer)
        if examples or not is_serializer(described) or not hasattr(described, "example"):
            return examples
        value: Any = example_of(described, direction)
        if direction == "response" and self._is_list_view(serializer):
            value = build_listed_example_value(value, self._get_paginator(), direction)
        return build_examples_list([OpenApiExample("Example", value=value)])


def example_of(serializer: Any, direction: str) -> Schema:
    """The serializer's example without the fields that are not sent in this direction."""
    hidden = "read_only" if direction == "request" else "write_only"
    fields = serializer.fields
    return {
        name: value
        for name, value in serializer.example.items()
        if name in fields and not getattr(fields[name], hidden)
    }
