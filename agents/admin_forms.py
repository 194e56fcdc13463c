"""The admin's forms of models, tools and agents: the API's rules, and secrets that never come out again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminURLInputWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.admin_base import TenantForm
from agentplatform.lib.errors import Invalid
from agents import tool_rules, validation
from agents.models import Agent, ChatModel, Configuration, Input, Tool
from agents.providers.base import registry
from agents.specification import MODEL, RULE
from agents.tools import functions

Cleaned = dict[str, Any]


class SecretTextarea(UnfoldAdminTextareaWidget):
    """Never shows what was typed into it, as a password's field."""

    def format_value(self, value: Any) -> None:
        return None


class ConfigurationForm(TenantForm):
    """What the three forms share. `seen` is the version that the form was opened with."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    instance: Configuration
    typed_as: dict[str, str] = {}
    """The form's field for what the rules know by another name."""
    never_shown = ""
    """The field with a secret: it comes back empty from a form that was refused."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial.setdefault("seen", str(self.instance.version_id or ""))

    def full_clean(self) -> None:
        super().full_clean()
        if self.errors and self.never_shown not in self.errors and self.data.get(self.never_shown):
            self.add_error(self.never_shown, "Enter it again: for safety it is not sent back.")

    def clean(self) -> Cleaned:
        cleaned = super().clean()
        self._check_unchanged(cleaned)
        self._check_name(cleaned)
        if not self.errors:
            self._report(lambda cleaned: validation.check_name(cleaned["name"]), cleaned)
            self._report(self.check, cleaned)
        return cleaned

    def check(self, cleaned: Cleaned) -> None:
        """The kind's own rules. Raises Invalid."""

    def _check_unchanged(self, cleaned: Cleaned) -> None:
        """Two people who edit the same object must not undo each other's work unseen."""
        if self.instance._state.adding:
            return
        current = (
            type(self.instance)._default_manager.values_list("version_id", flat=True).get(pk=self.instance.pk)
        )
        if cleaned.get("seen") != str(current or ""):
            self.add_error(
                None, "Somebody else has changed it in the meantime. Open it again, and repeat your change."
            )

    def _check_name(self, cleaned: Cleaned) -> None:
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        others = type(self.instance)._default_manager.filter(workspace=workspace, name=cleaned.get("name"))
        if workspace and others.exclude(pk=self.instance.pk).exists():
            self.add_error("name", "There is already one of this name in the workspace.")

    def _report(self, check: Callable[[Cleaned], None], cleaned: Cleaned) -> None:
        """Puts what `check` finds to the fields that it is about."""
        try:
            check(cleaned)
        except Invalid as error:
            for entry in error.details:
                field = entry["field"].partition(".")[0]
                field = self.typed_as.get(field, field)
                self.add_error(field if field in self.fields else None, entry["message"])


class ChatModelForm(ConfigurationForm):
    never_shown = "api_key"
    provider = forms.ChoiceField(
        choices=[(name, provider.label) for name, provider in registry.items()],
        widget=UnfoldAdminSelectWidget,
    )
    base_url = forms.URLField(
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text="Of a compatible endpoint. Empty: the provider's own.",
    )
    api_key = forms.CharField(
        required=False,
        strip=True,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Stored encrypted and never shown. Leave it empty to keep the present one.",
    )
    inputs = forms.MultipleChoiceField(
        required=False,
        choices=Input.choices,
        label=gettext_lazy("Inputs"),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="What it takes beside text, as attachments of messages.",
    )
    remove_api_key = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget)

    class Meta:
        model = ChatModel
        fields = ["name", "description", "enabled", "provider", "model", "base_url", "parameters", "inputs"]

    def clean_parameters(self) -> Any:
        return self.cleaned_data["parameters"] or {}

    def check(self, cleaned: Cleaned) -> None:
        provider, base_url = cleaned["provider"], cleaned["base_url"]
        gets_key = bool(cleaned["api_key"] or cleaned["remove_api_key"])
        validation.check_model(provider, base_url, cleaned["parameters"])
        validation.check_secret_value("api_key", cleaned["api_key"])
        validation.check_endpoint_kept(self._stored(), provider, base_url, gets_key=gets_key)

    def _stored(self) -> ChatModel | None:
        """The row as it is in the database: by now the form has changed its instance."""
        return ChatModel.objects.filter(pk=self.instance.pk).first()


def function_choices() -> list[tuple[str, str]]:
    return [("", "—"), *((name, name) for name in sorted(functions.registry))]


class ToolForm(ConfigurationForm):
    typed_as = {"secret_headers": "new_secret_headers"}
    never_shown = "new_secret_headers"
    function = forms.ChoiceField(required=False, choices=function_choices, widget=UnfoldAdminSelectWidget)
    new_secret_headers = forms.JSONField(
        required=False,
        widget=SecretTextarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text='Stored encrypted and never shown: {"Authorization": "Bearer …"}. Leave it empty to keep '
        "the present ones; null instead of a value removes a header.",
    )

    class Meta:
        model = Tool
        fields = [
            "name",
            "description",
            "enabled",
            "tool_kind",
            "function",
            "request",
            "agent",
            "mcp_server",
            "mcp_tool",
            "arguments_schema",
            "timeout_seconds",
            "idempotent",
            "requires_approval",
            "approval_timeout_seconds",
            "approval_default",
        ]
        help_texts = {
            "agent": "Kind Agent: whom the tool asks.",
            "mcp_server": "Kind MCP: whose tool it is. Discovering the server makes such tools.",
            "mcp_tool": "Kind MCP: the tool's name at its server.",
            "arguments_schema": "JSON Schema. Kind Function: its own, if left empty. Kind Agent: always one message.",
            "timeout_seconds": "Of one call. Without effect on kind Agent: its runs have limits of their own.",
            "idempotent": "May be called again after a crash.",
            "requires_approval": "Each call waits until a person has approved it.",
            "approval_timeout_seconds": "How long a call waits for a person. Empty: for ever.",
            "approval_default": "What happens to a call for which nobody has decided in time.",
        }

    def clean_request(self) -> Any:
        return self.cleaned_data["request"] or {}

    def clean_arguments_schema(self) -> Any:
        return self.cleaned_data["arguments_schema"] or {}

    def clean_new_secret_headers(self) -> Any:
        given = self.cleaned_data["new_secret_headers"] or {}
        if not isinstance(given, dict) or not all(
            value is None or isinstance(value, str) for value in given.values()
        ):
            raise forms.ValidationError("Give a JSON object of header names and values.")
        return given

    def check(self, cleaned: Cleaned) -> None:
        stored, given = Tool.objects.filter(pk=self.instance.pk).first(), cleaned["new_secret_headers"]
        kept = [name for name in (stored.secret_headers if stored else {}) if name not in given]
        tool_rules.check_tool_name(cleaned["name"])
        for value in given.values():
            validation.check_secret_value("secret_headers", value or "")
        parts = tool_rules.ToolParts(
            kind=cleaned["tool_kind"],
            function=cleaned["function"],
            request=cleaned["request"],
            header_names=[*kept, *given],
            arguments_schema=cleaned["arguments_schema"],
            agent=cleaned["agent"],
            mcp_server=cleaned["mcp_server"],
            mcp_tool=cleaned["mcp_tool"],
        )
        tool_rules.check_tool(parts, stored)
        tool_rules.check_headers_kept(stored, cleaned["request"], kept)
        cleaned["description"] = tool_rules.described(cleaned["description"], cleaned["agent"])


class AgentForm(ConfigurationForm):
    """The limits of a run have fields of their own, and are put together to `config` and `memory`."""

    instance: Agent
    max_steps = forms.IntegerField(
        required=False, widget=UnfoldAdminIntegerFieldWidget, help_text="Model calls of a run. Empty: 25."
    )
    temperature = forms.FloatField(
        required=False, widget=UnfoldAdminDecimalFieldWidget, help_text="Empty: the model's own."
    )
    max_tokens = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Of one answer. Empty: the model's own.",
    )
    timeout = forms.FloatField(
        required=False, widget=UnfoldAdminDecimalFieldWidget, help_text="Seconds of one model call."
    )
    retries = forms.IntegerField(
        required=False, widget=UnfoldAdminIntegerFieldWidget, help_text="After faults that may pass."
    )
    cache_ttl = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Seconds for which an answer is given again to the same question. Empty: never.",
    )
    naming = forms.ChoiceField(
        required=False,
        choices=[(RULE, gettext_lazy("After the first message")), (MODEL, gettext_lazy("By the model"))],
        label=gettext_lazy("Names of conversations"),
        widget=UnfoldAdminSelectWidget,
    )
    memory_window = forms.IntegerField(
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Messages that the model is shown. Empty: all.",
    )
    tags = SimpleArrayField(
        forms.CharField(max_length=50),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Separated by commas.",
    )

    class Meta:
        model = Agent
        fields = ["name", "description", "enabled", "model", "system_prompt", "tools", "tags", "is_default"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial |= self.instance.config | {"memory_window": self.instance.memory.get("window")}

    def check(self, cleaned: Cleaned) -> None:
        limits = {name: cleaned.get(name) for name in validation.BOUNDS}
        validation.check_bounds({name: value for name, value in limits.items() if value is not None})
        tool_rules.check_agent_tools(self.instance, list(cleaned["tools"]))

    def clean(self) -> Cleaned:
        cleaned = super().clean()
        limits = {name: cleaned.get(name) for name in validation.BOUNDS if name != "memory_window"}
        self.instance.config = {name: value for name, value in limits.items() if value is not None}
        if cleaned.get("naming") == MODEL:
            self.instance.config["naming"] = MODEL
        window = cleaned.get("memory_window")
        self.instance.memory = {"window": window} if window else {}
        return cleaned
