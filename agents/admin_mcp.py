"""MCP servers in the admin: how they are reached, how that went, what they offer, and the buttons that ask them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.postgres.forms import SimpleArrayField
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.dataclasses import ActionDialog
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminURLInputWidget

from accounts.admin_base import reach
from accounts.admin_reach import Reach
from agentplatform.lib.errors import Invalid, PermissionDenied, PlatformError
from agents import editing
from agents.admin_base import HISTORY, ConfigurationAdmin
from agents.admin_forms import Cleaned, ConfigurationForm, SecretTextarea
from agents.mcp import rules
from agents.mcp.discovery import Discovery, discover
from agents.models import McpServer

MOST_DISCOVERED = 5
MOST_NAMED = 10
CONNECTION = ("transport", *rules.STDIO_FIELDS, *rules.HTTP_FIELDS)


class McpServerForm(ConfigurationForm):
    typed_as = {"secrets": "new_secrets"}
    never_shown = "new_secrets"
    only_taken_in = frozenset({"seen", "new_secrets"})
    reach: Reach
    """Of the user whose request it is."""
    instance: McpServer
    arguments = SimpleArrayField(
        forms.CharField(max_length=2000),
        required=False,
        delimiter="\n",
        label=gettext_lazy("Arguments"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=gettext_lazy("One in each line, handed over as they are; no shell reads them."),
    )
    url = forms.URLField(
        label=gettext_lazy("URL"),
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text=gettext_lazy("The endpoint of streamable HTTP."),
    )
    new_secrets = forms.JSONField(
        label=gettext_lazy("New secrets"),
        required=False,
        widget=SecretTextarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=gettext_lazy(
            'Headers or variables, stored encrypted and never shown: {"Authorization": "Bearer …"}. Leave it '
            "empty to keep the present ones; null instead of a value removes one."
        ),
    )

    class Meta:
        model = McpServer
        fields = ["name", "description", "enabled", *CONNECTION, "timeout_seconds"]
        labels = {
            "health_message": gettext_lazy("Fault"),
            "environment": gettext_lazy("Environment"),
            "headers": gettext_lazy("Headers"),
            "timeout_seconds": gettext_lazy("Timeout in seconds"),
        }
        help_texts = {
            "command": gettext_lazy(
                "One of the operator's MCP_ALLOWED_COMMANDS, exactly as it stands there."
            ),
            "environment": gettext_lazy("Variables that are not secret, as JSON."),
            "headers": gettext_lazy("Headers that are not secret, as JSON."),
            "timeout_seconds": gettext_lazy("For connecting. A tool has a time of its own."),
        }

    def clean_environment(self) -> Any:
        return self.cleaned_data["environment"] or {}

    def clean_headers(self) -> Any:
        return self.cleaned_data["headers"] or {}

    def clean_new_secrets(self) -> Any:
        given = self.cleaned_data["new_secrets"] or {}
        if not isinstance(given, dict) or not all(
            value is None or isinstance(value, str) for value in given.values()
        ):
            raise forms.ValidationError(_("Give a JSON object of names and values."))
        return given

    def check(self, cleaned: Cleaned) -> None:
        stored = McpServer.objects.filter(pk=self.instance.pk).first()
        workspace = cleaned.get("workspace") or self.instance.workspace
        connection = rules.Connection(**{name: cleaned[name] for name in CONNECTION})
        try:
            changes = rules.check_server(
                self.reach.actor(workspace.pk), stored, connection, cleaned["new_secrets"]
            )
        except PermissionDenied as error:
            raise Invalid({"transport": error.message}) from error
        if changes:
            self.instance.health = McpServer.Health.UNKNOWN


class McpServerAdmin(ConfigurationAdmin):
    form = McpServerForm
    permission_resource = "mcp-server"
    list_display = [
        "name",
        "transport",
        "state",
        "checked_at",
        "enabled",
        "version_number",
        "workspace",
        "updated_at",
    ]
    list_filter = ["transport", "health", "enabled", "workspace"]
    readonly_fields = ["secret_names", "state", "health_message", "checked_at", "says", "offers"]
    readonly_fields += HISTORY
    actions = ["discover_each"]
    actions_detail = ["discover_this", "import_from_this"]
    fieldsets = [
        (None, {"fields": ["name", "description", "enabled", "transport", "seen"]}),
        (gettext_lazy("Command (stdio)"), {"fields": ["command", "arguments", "environment"]}),
        (gettext_lazy("Streamable HTTP"), {"fields": ["url", "headers"]}),
        (gettext_lazy("Secrets"), {"fields": ["secret_names", "new_secrets", "timeout_seconds"]}),
        (gettext_lazy("State"), {"fields": ["state", "health_message", "checked_at", "says", "offers"]}),
        (gettext_lazy("History"), {"fields": HISTORY}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        is_list = getattr(request.resolver_match, "url_name", "").endswith("_changelist")
        return queryset.defer("version__data", "discovered") if is_list else queryset

    def get_form(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        form: Any = super().get_form(request, *args, **options)
        # Made anew for each request.
        form.reach = reach(request)
        return form

    def write_secrets(self, obj: McpServer, cleaned: dict[str, Any]) -> None:
        if given := cleaned.get("new_secrets"):
            editing.set_mcp_secrets(obj, given)

    # --- asking a server ---

    def has_discover_permission(self, request: HttpRequest, obj: Model | str | None = None) -> bool:
        return self._may_all(request, ["test:mcp-server"], obj)

    def has_import_permission(self, request: HttpRequest, obj: Model | str | None = None) -> bool:
        return self._may_all(request, ["test:mcp-server", "write:tool"], obj)

    def _may_all(self, request: HttpRequest, permissions: list[str], obj: Model | str | None) -> bool:
        """The object may be given by its id, which somebody may have typed."""
        row = self.get_object(request, obj) if isinstance(obj, str) else obj
        is_there = row is not None or obj is None
        return is_there and all(self.may(request, permission, row) for permission in permissions)

    @admin.action(
        description=gettext_lazy("Discover the tools of the selected MCP servers"), permissions=["discover"]
    )
    def discover_each(self, request: HttpRequest, queryset: QuerySet[McpServer]) -> None:
        for server in self.permitted(request, queryset, "test:mcp-server")[:MOST_DISCOVERED]:
            self._discover(request, server)

    @action(
        description=gettext_lazy("Discover tools"),
        url_path="discover",
        icon="travel_explore",
        permissions=["discover"],
        dialog=ActionDialog(
            title=gettext_lazy("Connect to this server?"),
            description=gettext_lazy("It is asked for its tools. Nothing is imported."),
            form_submit_text=gettext_lazy("Discover"),
        ),
    )
    def discover_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._discover_here(request, object_id, ())

    @action(
        description=gettext_lazy("Import tools"),
        url_path="import",
        icon="download",
        permissions=["import"],
        dialog=ActionDialog(
            title=gettext_lazy("Import all tools of this server?"),
            description=gettext_lazy(
                "New ones are created; those that are there get the server's description and schema."
            ),
            form_submit_text=gettext_lazy("Import"),
        ),
    )
    def import_from_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._discover_here(request, object_id, None)

    def _discover_here(
        self, request: HttpRequest, object_id: str, wanted: tuple[str, ...] | None
    ) -> HttpResponse:
        server: Any = self.get_object(request, object_id)
        if server is None:
            raise Http404
        self._discover(request, server, wanted)
        page = reverse("admin:agents_mcpserver_change", args=[server.pk])
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": page})
        return HttpResponseRedirect(page)

    def _discover(self, request: HttpRequest, server: McpServer, wanted: tuple[str, ...] | None = ()) -> None:
        try:
            found = discover(server, self.actor(request, server.workspace_id), wanted)
        except PlatformError as error:
            self.message_user(request, f"{server.name}: {error.message}", messages.ERROR)
            return
        if found.error:
            self.message_user(request, f"{server.name}: {found.error}", messages.ERROR)
            return
        self.message_user(request, f"{server.name}: {_summary(found)}", messages.SUCCESS)
        for name, why in list(found.refused.items())[:MOST_NAMED]:
            self.message_user(request, f"{name}: {why}", messages.WARNING)

    # --- columns ---

    @display(
        description=gettext_lazy("health"),
        label={"healthy": "success", "failing": "danger", "unknown": "info"},
    )
    def state(self, server: McpServer) -> tuple[str, str]:
        return server.health, server.get_health_display()

    @admin.display(description=gettext_lazy("stored secrets"))
    def secret_names(self, server: McpServer) -> str:
        entries = server.secret_values.items()
        return ", ".join(f"{name}: …{entry['hint']}" for name, entry in entries) or _("none")

    @admin.display(description=gettext_lazy("server"))
    def says(self, server: McpServer) -> str:
        return " ".join(str(value) for value in server.server_info.values()) or "—"

    @admin.display(description=gettext_lazy("tools at the last discovery"))
    def offers(self, server: McpServer) -> str:
        rows = ((offer["name"], offer["description"][:200]) for offer in server.discovered)
        return format_html_join("", "<div><strong>{}</strong> {}</div>", rows) or "—"


def _summary(found: Discovery) -> str:
    parts = {
        _("new"): found.new,
        _("changed"): found.changed,
        _("unchanged"): found.unchanged,
        _("gone"): found.gone,
        _("imported"): list(found.imported),
    }
    told = [f"{title}: {_named(names)}" for title, names in parts.items() if names]
    return "; ".join(told) or _("It has no tools.")


def _named(names: list[str]) -> str:
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" (+{rest})" if rest > 0 else "")
