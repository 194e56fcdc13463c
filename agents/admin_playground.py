"""Beside the form of an agent, a model or a tool stands a panel that tries what the form has, saved or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from accounts.admin_base import TenantModelAdmin
from agentplatform.lib.errors import InvalidConfig, PlatformError
from agentplatform.lib.javascript import scripts
from agents import trials, unsaved
from agents.models import ChatModel, Tool

LONGEST = 20_000


@dataclass(frozen=True, slots=True)
class Panel:
    """What the panel shows: where it asks, what is typed into it, and what it says of itself."""

    address: str
    label: str
    hint: str
    initial: str = ""
    is_code: bool = False


class WithPlayground(TenantModelAdmin):
    """Mixin: the panel, for those who may save and try."""

    change_form_outer_after_template = "admin/agents/playground.html"

    class Media:
        css = {"all": ["runs/admin.css", "live/playground.css"]}
        js = scripts("live/playground.js")

    def panel(self, request: HttpRequest, obj: Any) -> Panel | None:
        """None where the person may not try. `obj` is None while something new is made."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context["playground"] = self.panel(request, obj)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def may_save(self, request: HttpRequest, obj: Any) -> bool:
        return self.has_change_permission(request, obj) if obj else self.has_add_permission(request)


class Tested(WithPlayground):
    """Mixin of models and tools: one call, with its result beside the form."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_try"
        view = self.admin_site.admin_view(self.try_view)
        return [
            path("try/", view, name=f"{name}_new"),
            path("<uuid:object_id>/try/", view, name=name),
            *super().get_urls(),
        ]

    def address(self, obj: Any) -> str:
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_try"
        return reverse(name, args=[obj.pk]) if obj else reverse(f"{name}_new")

    def may_test(self, request: HttpRequest, obj: Any) -> bool:
        return self.may_save(request, obj) and self.may(request, f"test:{self.permission_resource}", obj)

    def try_view(self, request: HttpRequest, object_id: Any = None) -> JsonResponse:
        """200 `{ok, latency_ms, text}`, or 422 `{errors: [{field, message}]}` where the form would not be saved."""
        obj = self.get_object(request, str(object_id)) if object_id else None
        if (object_id and obj is None) or not self.may_test(request, obj) or request.method != "POST":
            raise Http404
        form: Any = self.get_form(request, obj, change=obj is not None)(
            request.POST, request.FILES, instance=obj
        )
        if not form.is_valid():
            return JsonResponse({"errors": faults_of(form)}, status=422)
        edited = form.save(commit=False)
        if not self.may(request, f"test:{self.permission_resource}", edited):
            raise Http404
        try:
            trial = self.tried(
                request, edited, form.cleaned_data, request.POST.get("playground_question", "")
            )
        except PlatformError as error:
            return refused(422, "", error.message)
        text = _told(trial.error) if trial.error else self.said(trial.result or {})
        return JsonResponse({"ok": trial.ok, "latency_ms": round(trial.latency_ms), "text": text[:LONGEST]})

    def tried(
        self, request: HttpRequest, edited: Any, cleaned: Mapping[str, Any], asked: str
    ) -> trials.Trial:
        """Makes the call. Raises PlatformError."""
        raise NotImplementedError

    def said(self, result: Mapping[str, Any]) -> str:
        raise NotImplementedError


class TestedModel(Tested):
    """Mixin of the admin of models."""

    def panel(self, request: HttpRequest, obj: ChatModel | None) -> Panel | None:
        if not self.may_test(request, obj):
            return None
        hint = _(
            "Asks the model as the form has it, saved or not. The call is paid for and stands in the ledger."
        )
        return Panel(self.address(obj), _("Question"), hint, trials.PROMPT)

    def tried(
        self, request: HttpRequest, edited: Any, cleaned: Mapping[str, Any], asked: str
    ) -> trials.Trial:
        key = cleaned.get("api_key") or ""
        if cleaned.get("remove_api_key"):
            edited.secret = None
        draft = unsaved.draft_of_model(edited, key)
        actor = self.actor(request, edited.workspace_id)
        return trials.try_model(edited, actor, asked[:LONGEST] or trials.PROMPT, draft)

    def said(self, result: Mapping[str, Any]) -> str:
        if "dimensions" in result:
            return _("A vector of %(count)s dimensions.") % {"count": result["dimensions"]}
        return str(result.get("content", ""))


class TestedTool(Tested):
    """Mixin of the admin of tools."""

    def panel(self, request: HttpRequest, obj: Tool | None) -> Panel | None:
        if not self.may_test(request, obj):
            return None
        hint = _("Calls the tool for real, as the form has it, saved or not.")
        initial = json.dumps(example_of(obj.arguments_schema if obj else {}), indent=2, ensure_ascii=False)
        return Panel(self.address(obj), _("Arguments (JSON)"), hint, initial, is_code=True)

    def tried(
        self, request: HttpRequest, edited: Any, cleaned: Mapping[str, Any], asked: str
    ) -> trials.Trial:
        arguments = _arguments(asked)
        draft = unsaved.draft_of_tool(edited, cleaned.get("new_secret_headers") or {})
        return trials.try_tool(edited, arguments, draft)

    def said(self, result: Mapping[str, Any]) -> str:
        return str(result.get("text", ""))


def _told(error: Mapping[str, str]) -> str:
    return f"{error['class']}: {error['message']}"


def _arguments(asked: str) -> dict[str, Any]:
    try:
        arguments = json.loads(asked[:LONGEST] or "{}")
    except ValueError as error:
        raise InvalidConfig(_("The arguments are no JSON: %(fault)s") % {"fault": error}) from error
    if not isinstance(arguments, dict):
        raise InvalidConfig(_("Give the arguments as a JSON object."))
    return arguments


def example_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An object with the fields of a JSON Schema, to be filled in."""
    empty: dict[str, Any] = {
        "string": "",
        "number": 0,
        "integer": 0,
        "boolean": False,
        "array": [],
        "object": {},
    }
    properties = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
    return {
        name: one.get("default", one.get("enum", [empty.get(str(one.get("type")), "")])[0])
        for name, one in properties.items()
        if isinstance(one, Mapping)
    }


def faults_of(form: Any) -> list[dict[str, str]]:
    """What is wrong with a form, as the panel lists it."""
    return [
        {"field": str(form[name].label) if name in form.fields else "", "message": str(text)}
        for name, found in form.errors.items()
        for text in found
    ]


def refused(status: int, field: str, text: str) -> JsonResponse:
    return JsonResponse({"errors": [{"field": field, "message": text}]}, status=status)
