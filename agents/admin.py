"""Models, tools, agents and their versions in the admin. Every save records a version, as the API does."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from accounts.admin_base import TenantInline, TenantModelAdmin
from agentplatform.lib.errors import PlatformError
from agentplatform.lib.javascript import scripts
from agents import editing, trials, versions
from agents.admin_base import HISTORY, ConfigurationAdmin
from agents.admin_configuration import urls_of
from agents.admin_forms import AgentForm, ChatModelForm, ToolForm, kind_by_field
from agents.admin_knowledge import KnowledgeBaseAdmin
from agents.admin_mcp import McpServerAdmin
from agents.admin_playground import Panel, TestedModel, TestedTool, WithPlayground
from agents.mcp.rules import permissions_to_restore
from agents.models import Agent, ChatModel, Fallback, KnowledgeBase, McpServer, Tool, Version
from agents.snapshots import without_secret_ids
from agents.unsaved import TRIED

MOST_TRIALS = 5


class FallbackInline(TenantInline, TabularInline):
    model = Fallback
    fk_name = "model"
    permission_resource = "model"
    autocomplete_fields = ["fallback"]
    extra = 0
    hide_title = True


@admin.register(ChatModel)
class ChatModelAdmin(TestedModel, ConfigurationAdmin):
    form = ChatModelForm
    permission_resource = "model"
    list_display = [
        "name",
        "provider",
        "purpose",
        "model",
        "enabled",
        "key",
        "version_number",
        "workspace",
        "updated_at",
    ]
    list_filter = ["provider", "purpose", "enabled", "workspace"]
    list_select_related = ["workspace", "version", "secret"]
    readonly_fields = ["key", *ConfigurationAdmin.readonly_fields]
    inlines = [FallbackInline]
    actions = ["try_out"]
    fieldsets = [
        (None, {"fields": ["name", "description", "enabled", "seen"]}),
        (
            _("Endpoint"),
            {"fields": ["provider", "purpose", "model", "base_url", "key", "api_key", "remove_api_key"]},
        ),
        (_("Defaults"), {"fields": ["parameters", "inputs"]}),
        (_("History"), {"fields": HISTORY}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("version__data", "secret__value")

    @admin.display(description=_("API key"))
    def key(self, model: ChatModel) -> str:
        if not model.secret:
            return gettext("none")
        return gettext("set, ends in %(hint)s") % {"hint": model.secret.hint or "…"}

    def write_secrets(self, obj: ChatModel, cleaned: dict[str, Any]) -> None:
        if cleaned.get("api_key") or cleaned.get("remove_api_key"):
            editing.set_api_key(obj, cleaned["api_key"] or None)

    def has_test_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "test:model", obj)

    @admin.action(description=_("Ask the selected models a test question"), permissions=["test"])
    def try_out(self, request: HttpRequest, queryset: QuerySet[ChatModel]) -> None:
        for model in self.permitted(request, queryset, "test:model")[:MOST_TRIALS]:
            actor = self.actor(request, model.workspace_id)
            self.report(request, model.name, trials.try_model(model, actor))


@admin.register(Tool)
class ToolAdmin(TestedTool, ConfigurationAdmin):
    form = ToolForm
    permission_resource = "tool"
    list_display = [
        "name",
        "tool_kind",
        "description",
        "enabled",
        "version_number",
        "workspace",
        "updated_at",
    ]
    list_filter = ["tool_kind", "requires_approval", "enabled", "workspace"]
    autocomplete_fields = ["agent", "mcp_server", "knowledge_base"]
    readonly_fields = ["headers", *ConfigurationAdmin.readonly_fields]
    fieldsets = [
        (None, {"fields": ["name", "description", "enabled", "tool_kind", "seen"]}),
        (
            _("Call"),
            {"fields": [*kind_by_field, "arguments_schema", "timeout_seconds", "idempotent"]},
        ),
        (_("Approval"), {"fields": ["requires_approval", "approval_timeout_seconds", "approval_default"]}),
        (_("History"), {"fields": HISTORY}),
    ]

    class Media:
        js = scripts("agents/tool_form.js")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Who may only read sees what belongs to the tool's kind; the form's script does so for those who choose it."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        others = {name for name, kind in kind_by_field.items() if kind != obj.tool_kind}
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name not in others]})
            for title, options in fieldsets
        ]

    @admin.display(description=_("secret headers"))
    def headers(self, tool: Tool) -> str:
        entries = tool.secret_headers.items()
        told = ", ".join(f"{name}: …{entry['hint']}" for name, entry in entries) or gettext("none")
        # By this the form's script knows the row.
        return format_html('<span data-field="headers">{}</span>', told)

    def write_secrets(self, obj: Tool, cleaned: dict[str, Any]) -> None:
        if given := cleaned.get("new_secret_headers"):
            editing.set_secret_headers(obj, given)


@admin.register(Agent)
class AgentAdmin(WithPlayground, ConfigurationAdmin):
    form = AgentForm
    permission_resource = "agent"
    list_display = [
        "name",
        "model",
        "tool_names",
        "tags",
        "enabled",
        "is_default",
        "version_number",
        "workspace",
        "updated_at",
    ]
    list_filter = ["enabled", "is_default", "model", "workspace"]
    list_select_related = ["workspace", "version", "model"]
    autocomplete_fields = ["model", "summary_model", "tools"]
    fieldsets = [
        (None, {"fields": ["name", "description", "enabled", "is_default", "tags", "seen"]}),
        (_("Behaviour"), {"fields": ["model", "system_prompt", "tools", "knowledge"]}),
        (
            _("Memory"),
            {
                "fields": [
                    "memory_window",
                    "trigger_tokens",
                    "trigger_messages",
                    "keep_messages",
                    "summary_model",
                    "long_term",
                ]
            },
        ),
        (
            _("Limits"),
            {
                "fields": [
                    "max_steps",
                    "temperature",
                    "max_tokens",
                    "timeout",
                    "retries",
                    "cache_ttl",
                    "naming",
                ]
            },
        ),
        (_("History"), {"fields": HISTORY}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related(Prefetch("tools", Tool.objects.only("name")))

    def panel(self, request: HttpRequest, obj: Agent | None) -> Panel | None:
        """The room above starts the run, so the link to it is a name."""
        if not self.may_save(request, obj) or not self.may(request, "execute:agent", obj):
            return None
        address = reverse("admin:runs_run_try_agent", args=[obj.pk]) if obj else reverse("admin:runs_run_try")
        hint = gettext(
            "Runs the agent as the form has it, saved or not. The run is paid for, and tagged as a trial."
        )
        return Panel(address, gettext("Question"), hint)

    @admin.display(description=_("tools"))
    def tool_names(self, agent: Agent) -> str:
        return ", ".join(sorted(tool.name for tool in agent.tools.all())) or "—"

    def write_secrets(self, obj: Agent, cleaned: dict[str, Any]) -> None:
        editing.set_default(obj, cleaned.get("is_default", obj.is_default))


admin.site.register(McpServer, McpServerAdmin)
admin.site.register(KnowledgeBase, KnowledgeBaseAdmin)


@admin.register(Version)
class VersionAdmin(TenantModelAdmin):
    """The change history. Nothing here can be edited; a version can be made the current one again."""

    permission_resource = "history"
    list_display = ["name", "kind", "number", "what", "author", "workspace", "created_at"]
    list_filter = ["kind", "change", "workspace"]
    list_select_related = ["workspace"]
    # By the index of names; what contains a term would read every version that there ever was.
    search_fields = ["name__exact", "object_id__exact"]
    search_help_text = _("A name, or the id of what it is a version of")
    ordering = ["-id"]
    sortable_by = ()
    list_disable_select_all = True
    fields = [
        "workspace",
        "kind",
        "name",
        "number",
        "what",
        "author",
        "created_at",
        "configuration",
        "hash",
    ]
    readonly_fields = fields
    actions = ["restore"]

    def get_urls(self) -> list[URLPattern]:
        return [*urls_of(self.admin_site), *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Its list has what was saved; what was only tried is reached from its run."""
        queryset = super().get_queryset(request)
        if not getattr(request.resolver_match, "url_name", "").endswith("_changelist"):
            return queryset
        saved = queryset.exclude(change=TRIED)
        return saved.defer("data") if request.method == "GET" else saved

    @admin.display(description=_("change"))
    def what(self, version: Version) -> str:
        return version.change_title

    @admin.display(description=_("configuration"))
    def configuration(self, version: Version) -> str:
        shown = json.dumps(without_secret_ids(version.data), indent=2, ensure_ascii=False)
        return format_html("<pre>{}</pre>", shown)

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return any(self.may(request, f"write:{kind}") for kind in versions.models_by_kind)

    @admin.action(description=_("Restore the selected versions"), permissions=["restore"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Version]) -> None:
        for version in queryset.order_by("id"):
            if not all(self.may(request, needed, version) for needed in permissions_to_restore(version)):
                said = gettext("%(version)s: you may not change this.") % {"version": version}
                self.message_user(request, said, messages.ERROR)
                continue
            try:
                made = versions.restore(version, self.actor(request, version.workspace_id))
            except PlatformError as error:
                self.message_user(request, f"{version}: {error.message}", messages.ERROR)
            else:
                said = gettext("%(version)s is restored as v%(made)s.")
                told = {"version": version, "made": made.number}
                self.message_user(request, said % told, messages.SUCCESS)
