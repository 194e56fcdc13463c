"""The admin's forms of models, tools and agents: the API's rules, and secrets that never come out again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib.postgres.forms import SimpleArrayField
from django.utils.translation import gettext_lazy as _
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
from agents.validation import DEFAULT_KEEP

Cleaned = dict[str, Any]
SUMMARIZE = ("trigger_tokens", "trigger_messages", "keep_messages")
OF_MEMORY = frozenset({"memory_window", *SUMMARIZE})


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
    only_taken_in: frozenset[str] = frozenset({"seen"})
    """Fields that have nothing to show to those who may only read."""
    read_from_initial: frozenset[str] = frozenset()
    """Fields that stand for parts of a field of the model."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial.setdefault("seen", str(self.instance.version_id or ""))

    def full_clean(self) -> None:
        super().full_clean()
        if self.errors and self.never_shown not in self.errors and self.data.get(self.never_shown):
            self.add_error(self.never_shown, _("Enter it again: for safety it is not sent back."))

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
                None,
                _("Somebody else has changed it in the meantime. Open it again, and repeat your change."),
            )

    def _check_name(self, cleaned: Cleaned) -> None:
        workspace = cleaned.get("workspace") or getattr(self.instance, "workspace", None)
        others = type(self.instance)._default_manager.filter(workspace=workspace, name=cleaned.get("name"))
        if workspace and others.exclude(pk=self.instance.pk).exists():
            self.add_error("name", _("There is already one of this name in the workspace."))

    def _report(self, check: Callable[[Cleaned], None], cleaned: Cleaned) -> None:
        """Puts what `check` finds to the fields that it is about."""
        try:
            check(cleaned)
        except Invalid as error:
            for entry in error.details:
                whole = entry["field"]
                head = whole.partition(".")[0]
                field = self.typed_as.get(whole, self.typed_as.get(head, head))
                self.add_error(field if field in self.fields else None, entry["message"])


class ChatModelForm(ConfigurationForm):
    never_shown = "api_key"
    only_taken_in = frozenset({"seen", "api_key", "remove_api_key"})
    provider = forms.ChoiceField(
        label=_("Provider"),
        choices=[(name, _(provider.label)) for name, provider in registry.items()],
        widget=UnfoldAdminSelectWidget,
    )
    base_url = forms.URLField(
        label=_("Base URL"),
        required=False,
        max_length=500,
        assume_scheme="https",
        widget=UnfoldAdminURLInputWidget,
        help_text=_("Of a compatible endpoint. Empty: the provider's own."),
    )
    api_key = forms.CharField(
        label=_("API key"),
        required=False,
        strip=True,
        max_length=4000,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("Stored encrypted and never shown. Leave it empty to keep the present one."),
    )
    inputs = forms.MultipleChoiceField(
        required=False,
        choices=Input.choices,
        label=_("Inputs"),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("What it takes beside text, as attachments of messages."),
    )
    remove_api_key = forms.BooleanField(
        label=_("Remove the API key"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = ChatModel
        fields = [
            "name",
            "description",
            "enabled",
            "provider",
            "purpose",
            "model",
            "base_url",
            "parameters",
            "inputs",
        ]
        labels = {"base_url": _("Base URL"), "parameters": _("Parameters")}
        help_texts = {"purpose": _("What it is asked for. It cannot be changed later.")}

    def clean_parameters(self) -> Any:
        return self.cleaned_data["parameters"] or {}

    def check(self, cleaned: Cleaned) -> None:
        provider, base_url = cleaned["provider"], cleaned["base_url"]
        gets_key = bool(cleaned["api_key"] or cleaned["remove_api_key"])
        validation.check_purpose_kept(self._stored(), cleaned["purpose"])
        validation.check_model(
            provider, base_url, cleaned["parameters"], cleaned["purpose"], cleaned["model"]
        )
        validation.check_secret_value("api_key", cleaned["api_key"])
        validation.check_endpoint_kept(self._stored(), provider, base_url, gets_key=gets_key)

    def _stored(self) -> ChatModel | None:
        """The row as it is in the database: by now the form has changed its instance."""
        return ChatModel.objects.filter(pk=self.instance.pk).first()


def function_choices() -> list[tuple[str, str]]:
    return [("", "—"), *((name, name) for name in sorted(functions.registry))]


kind_by_field = {
    "function": Tool.ToolKind.FUNCTION,
    "request": Tool.ToolKind.HTTP,
    "headers": Tool.ToolKind.HTTP,
    "new_secret_headers": Tool.ToolKind.HTTP,
    "agent": Tool.ToolKind.AGENT,
    "mcp_server": Tool.ToolKind.MCP,
    "mcp_tool": Tool.ToolKind.MCP,
    "knowledge_base": Tool.ToolKind.KNOWLEDGE,
}
"""Which fields of a tool belong to one kind alone; the script `static/agents/tool_form.js` hides the others."""


class ToolForm(ConfigurationForm):
    typed_as = {"secret_headers": "new_secret_headers"}
    never_shown = "new_secret_headers"
    only_taken_in = frozenset({"seen", "new_secret_headers"})
    function = forms.ChoiceField(
        label=_("Function"), required=False, choices=function_choices, widget=UnfoldAdminSelectWidget
    )
    new_secret_headers = forms.JSONField(
        label=_("New secret headers"),
        required=False,
        widget=SecretTextarea(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=_(
            'Stored encrypted and never shown: {"Authorization": "Bearer …"}. Leave it empty to keep '
            "the present ones; null instead of a value removes a header."
        ),
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
            "knowledge_base",
            "arguments_schema",
            "timeout_seconds",
            "idempotent",
            "requires_approval",
            "approval_timeout_seconds",
            "approval_default",
        ]
        labels = {
            "function": _("Function"),
            "request": _("HTTP request"),
            "mcp_tool": _("MCP tool"),
            "arguments_schema": _("Schema of the arguments"),
            "timeout_seconds": _("Timeout in seconds"),
            "idempotent": _("Idempotent"),
            "approval_timeout_seconds": _("Approval timeout in seconds"),
            "approval_default": _("Decision after the timeout"),
        }
        help_texts = {
            "agent": _("Kind Agent: whom the tool asks."),
            "mcp_server": _("Kind MCP: whose tool it is. Discovering the server makes such tools."),
            "mcp_tool": _("Kind MCP: the tool's name at its server."),
            "knowledge_base": _("Kind Knowledge: which base the tool searches."),
            "arguments_schema": _(
                "JSON Schema. Kind Function: its own, if left empty. Kind Agent: always one message."
            ),
            "timeout_seconds": _(
                "Of one call. Without effect on kind Agent: its runs have limits of their own."
            ),
            "idempotent": _("May be called again after a crash."),
            "requires_approval": _("Each call waits until a person has approved it."),
            "approval_timeout_seconds": _("How long a call waits for a person. Empty: for ever."),
            "approval_default": _("What happens to a call for which nobody has decided in time."),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "tool_kind" in self.fields:
            self.fields["tool_kind"].widget.attrs["data-fields"] = json.dumps(kind_by_field)

    def clean_request(self) -> Any:
        return self.cleaned_data["request"] or {}

    def clean_arguments_schema(self) -> Any:
        return self.cleaned_data["arguments_schema"] or {}

    def clean_new_secret_headers(self) -> Any:
        given = self.cleaned_data["new_secret_headers"] or {}
        if not isinstance(given, dict) or not all(
            value is None or isinstance(value, str) for value in given.values()
        ):
            raise forms.ValidationError(_("Give a JSON object of header names and values."))
        return given

    def check(self, cleaned: Cleaned) -> None:
        stored, given = Tool.objects.filter(pk=self.instance.pk).first(), cleaned["new_secret_headers"]
        kept = [name for name in (stored.secret_headers if stored else {}) if name not in given]
        tool_rules.check_tool_name(cleaned["name"])
        if stored:
            tool_rules.check_rename(stored, cleaned["name"])
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
            knowledge_base=cleaned["knowledge_base"],
        )
        tool_rules.check_tool(parts, stored)
        tool_rules.check_headers_kept(stored, cleaned["request"], kept)
        cleaned["description"] = tool_rules.described(
            cleaned["description"], cleaned["agent"] or cleaned["knowledge_base"]
        )


class NamesField(forms.CharField):
    """A list of names, written with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        parts = value if isinstance(value, list) else (value or "").split(",")
        return list(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def run_validators(self, value: Any) -> None:
        """Whether there are such bases is the rules' to say."""


class AgentForm(ConfigurationForm):
    """Limits and memory have fields of their own, and are put together to `config` and `memory`."""

    instance: Agent
    typed_as = {
        "memory.window": "memory_window",
        "memory.summarize": "trigger_tokens",
        "memory.summarize.keep_messages": "keep_messages",
    }
    read_from_initial = frozenset({*validation.BOUNDS, "naming", "long_term", "knowledge"})
    max_steps = forms.IntegerField(
        label=_("Max steps"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Model calls of a run. Empty: 25."),
    )
    temperature = forms.FloatField(
        label=_("Temperature"),
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("Empty: the model's own."),
    )
    max_tokens = forms.IntegerField(
        label=_("Max tokens"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Of one answer. Empty: the model's own."),
    )
    timeout = forms.FloatField(
        label=_("Timeout"),
        required=False,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("Seconds of one model call."),
    )
    retries = forms.IntegerField(
        label=_("Retries"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("After faults that may pass."),
    )
    cache_ttl = forms.IntegerField(
        label=_("Cache TTL"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Seconds for which an answer is given again to the same question. Empty: never."),
    )
    naming = forms.ChoiceField(
        required=False,
        choices=[(RULE, _("After the first message")), (MODEL, _("By the model"))],
        label=_("Names of conversations"),
        widget=UnfoldAdminSelectWidget,
    )
    memory_window = forms.IntegerField(
        label=_("Memory window"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Messages that the model is shown. Empty: all."),
    )
    trigger_tokens = forms.IntegerField(
        label=_("Trigger tokens"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("A longer conversation is summarized for the model. Empty: whatever its length."),
    )
    trigger_messages = forms.IntegerField(
        label=_("Trigger messages"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("A conversation of more messages is summarized for the model. Empty: however many."),
    )
    keep_messages = forms.IntegerField(
        label=_("Keep messages"),
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("The last messages, which stay as they are when the others are summarized. Empty: 20."),
    )
    long_term = forms.ChoiceField(
        label=_("Long-term memory"),
        required=False,
        choices=[
            ("", _("Remembers nothing of its users")),
            ("user", _("Remembers, together with all agents")),
            ("agent", _("Remembers for itself")),
        ],
        widget=UnfoldAdminSelectWidget,
        help_text=_("Facts of its user that the agent keeps from one conversation to the next."),
    )
    tags = SimpleArrayField(
        forms.CharField(max_length=50),
        label=_("Tags"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Separated by commas."),
    )

    knowledge = NamesField(
        label=_("Knowledge bases"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Names of knowledge bases that the agent searches, separated by commas."),
    )

    class Meta:
        model = Agent
        fields = [
            "name",
            "description",
            "enabled",
            "model",
            "system_prompt",
            "tools",
            "knowledge",
            "tags",
            "is_default",
            "summary_model",
        ]
        labels = {"system_prompt": _("System prompt"), "knowledge": _("Knowledge bases")}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        memory = self.instance.memory
        self.initial.update(
            self.instance.config,
            **memory.get("summarize", {}),
            memory_window=memory.get("window"),
            long_term=memory.get("long_term", {}).get("scope", ""),
        )

    def check(self, cleaned: Cleaned) -> None:
        limits = {name: cleaned.get(name) for name in validation.BOUNDS}
        validation.check_bounds({name: value for name, value in limits.items() if value is not None})
        memory = _memory_of(cleaned)
        validation.check_memory(memory)
        tools = list(cleaned["tools"])
        tool_rules.check_agent_tools(self.instance, tools, memory)
        validation.check_chats("model", [cleaned["model"]])
        workspace = cleaned.get("workspace") or self.instance.workspace
        tool_rules.check_knowledge(cleaned["knowledge"], workspace.pk, tools)

    def clean(self) -> Cleaned:
        cleaned = super().clean()
        limits = {name: cleaned.get(name) for name in validation.BOUNDS if name not in OF_MEMORY}
        self.instance.config = {name: value for name, value in limits.items() if value is not None}
        if cleaned.get("naming") == MODEL:
            self.instance.config["naming"] = MODEL
        self.instance.memory = _memory_of(cleaned)
        if "summarize" not in self.instance.memory:
            cleaned["summary_model"] = None
        return cleaned


def _memory_of(cleaned: Cleaned) -> dict[str, Any]:
    """`Agent.memory` of the form's fields."""
    asked = {name: cleaned.get(name) for name in SUMMARIZE if cleaned.get(name) is not None}
    summarize = {"keep_messages": DEFAULT_KEEP, **asked} if asked or cleaned.get("summary_model") else None
    scope = cleaned.get("long_term")
    memory = {
        "window": cleaned.get("memory_window"),
        "summarize": summarize,
        "long_term": {"scope": scope} if scope else None,
    }
    return {name: value for name, value in memory.items() if value}
