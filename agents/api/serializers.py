"""The JSON of models and agents, field for field as the contract has it. `tool_serializers` has that of tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.db.models import QuerySet
from rest_framework import serializers

from accounts.actor import Actor
from agentplatform.lib.serializers import NamedRelatedField, StrictModelSerializer, StrictSerializer
from agents import editing, tool_rules, validation
from agents.api import examples, representations
from agents.api.fields import (
    AgentConfigSerializer,
    MemoryPolicySerializer,
    NameField,
    ObjectField,
)
from agents.models import Agent, ChatModel, Configuration, Input, Tool, Version
from agents.providers.base import registry

COMMON = ("id", "name", "description", "enabled")
STAMPS = ("version", "created_at", "updated_at")
MAX_FALLBACKS = 5
MAX_TOOLS = 64
MAX_TAGS = 20
MAX_KNOWLEDGE = 10


class ConfigurationSerializer(StrictModelSerializer):
    """What models, tools and agents share: they are written through `editing`, which records versions."""

    rows: ClassVar[QuerySet[Any]]

    name = NameField()
    description = serializers.CharField(default="", allow_blank=True, max_length=2000)
    enabled = serializers.BooleanField(default=True)
    version = serializers.IntegerField(
        source="version.number", read_only=True, help_text="Grows with every change."
    )

    def validate_name(self, value: str) -> str:
        validation.check_name(value)
        return value

    @property
    def actor(self) -> Actor:
        return self.context["actor"]

    def create(self, validated_data: dict[str, Any]) -> Configuration:
        instance: Configuration = self.Meta.model(workspace_id=self.actor.workspace_id)  # type: ignore[misc]
        return self._saved(instance, validated_data)

    def update(self, instance: Configuration, validated_data: dict[str, Any]) -> Configuration:
        return self._saved(instance, validated_data)

    def _saved(self, instance: Configuration, values: dict[str, Any]) -> Configuration:
        """Read again, with the columns that the representation needs."""
        return self.rows.get(pk=editing.save(instance, self.actor, values).pk)

    def after(self, values: Mapping[str, Any], name: str, empty: Any) -> Any:
        """What `name` will be once `values` are written."""
        return values.get(name, getattr(self.instance, name, empty))


class ChatModelSerializer(ConfigurationSerializer):
    rows = representations.models
    provider = serializers.ChoiceField(
        choices=[(name, provider.label) for name, provider in registry.items()]
    )
    purpose = serializers.ChoiceField(
        choices=ChatModel.Purpose.choices,
        default=ChatModel.Purpose.CHAT,
        help_text="`chat`: for agents. `embedding`: for knowledge bases. It cannot be changed.",
    )
    model = serializers.CharField(max_length=200, help_text="The provider's own id of the model.")
    base_url = serializers.URLField(
        default="",
        allow_blank=True,
        max_length=500,
        help_text="Of a compatible endpoint. Empty: the provider's own.",
    )
    api_key = serializers.CharField(
        write_only=True,
        required=False,
        allow_null=True,
        max_length=4000,
        help_text="Stored encrypted and never shown. Left out: unchanged. Null: removed.",
    )
    api_key_hint = serializers.CharField(
        source="secret.hint",
        read_only=True,
        allow_null=True,
        help_text="The key's last characters; null without a key.",
    )
    parameters = ObjectField(default=dict, help_text="Defaults: temperature, max_tokens, top_p …")
    inputs = serializers.ListField(
        child=serializers.ChoiceField(choices=Input.choices),
        default=list,
        max_length=len(Input),
        help_text="What it takes beside text, as attachments of messages: image, file (PDF).",
    )
    fallbacks = NamedRelatedField(
        many=True,
        queryset=ChatModel.objects.all(),
        default=list,
        help_text="Names of models that are asked, in this order, when this one fails.",
    )

    example = examples.MODEL

    class Meta:
        model = ChatModel
        fields = [
            *COMMON,
            "provider",
            "purpose",
            "model",
            "base_url",
            "api_key",
            "api_key_hint",
            "parameters",
            "inputs",
            "fallbacks",
            *STAMPS,
        ]  # fmt: skip

    def validate_inputs(self, value: list[str]) -> list[str]:
        return sorted(set(value))

    def validate_fallbacks(self, value: list[ChatModel]) -> list[ChatModel]:
        if self.instance in value:
            raise serializers.ValidationError("A model cannot be its own fallback.")
        if len(value) > MAX_FALLBACKS:
            raise serializers.ValidationError(f"At most {MAX_FALLBACKS} fallbacks.")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        provider, base_url = self.after(attrs, "provider", ""), self.after(attrs, "base_url", "")
        purpose = self.after(attrs, "purpose", ChatModel.Purpose.CHAT)
        validation.check_purpose_kept(self.instance, purpose)
        validation.check_model(
            provider, base_url, self.after(attrs, "parameters", {}), purpose, self.after(attrs, "model", "")
        )
        self._check_fallbacks(purpose, attrs)
        validation.check_endpoint_kept(self.instance, provider, base_url, gets_key="api_key" in attrs)
        if attrs.get("api_key"):
            validation.check_secret_value("api_key", attrs["api_key"])
        return attrs

    def _check_fallbacks(self, purpose: str, attrs: Mapping[str, Any]) -> None:
        """Vectors of another model cannot be compared, so only models that chat stand in for one another."""
        if fallbacks := attrs.get("fallbacks", []):
            if purpose == ChatModel.Purpose.EMBEDDING:
                raise serializers.ValidationError(
                    {"fallbacks": "Nothing can stand in for an embedding model."}
                )
            validation.check_chats("fallbacks", fallbacks)

    def to_representation(self, instance: ChatModel) -> dict[str, Any]:
        return representations.model_json(instance)


class AgentSerializer(ConfigurationSerializer):
    rows = representations.agents
    model = NamedRelatedField(queryset=ChatModel.objects.all(), help_text="Name or id of a model.")
    tools = NamedRelatedField(
        many=True, queryset=Tool.objects.all(), default=list, help_text="Names or ids of tools."
    )
    memory = MemoryPolicySerializer(default=dict)
    knowledge = serializers.ListField(
        child=serializers.CharField(max_length=100),
        default=list,
        max_length=MAX_KNOWLEDGE,
        help_text="Names of knowledge bases, which the agent searches with `search_knowledge`.",
    )
    system_prompt = serializers.CharField(
        default="", allow_blank=True, max_length=100_000, trim_whitespace=False
    )
    config = AgentConfigSerializer(default=dict)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=50), default=list, max_length=MAX_TAGS
    )
    is_default = serializers.BooleanField(
        required=False,
        help_text="Answers where no agent is named. Setting it takes it from the agent that has it.",
    )

    example = examples.AGENT

    class Meta:
        model = Agent
        fields = [
            *COMMON,
            "model",
            "tools",
            "memory",
            "knowledge",
            "system_prompt",
            "config",
            "tags",
            "is_default",
            *STAMPS,
        ]

    def validate_tools(self, value: list[Tool]) -> list[Tool]:
        if len(value) > MAX_TOOLS:
            raise serializers.ValidationError(f"At most {MAX_TOOLS} tools.")
        return value

    def validate_tags(self, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    def validate_model(self, value: ChatModel) -> ChatModel:
        validation.check_chats("model", [value])
        return value

    def validate_knowledge(self, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "memory" in attrs:
            memory = attrs["memory"]
            attrs["summary_model"] = memory.get("summarize", {}).pop("model", None)
            validation.check_memory(memory)
        if attrs.keys() & {"tools", "memory", "knowledge"}:
            self._check_tools(attrs)
        return attrs

    def _check_tools(self, attrs: dict[str, Any]) -> None:
        tools = (
            attrs["tools"] if "tools" in attrs else list(self.instance.tools.all()) if self.instance else []
        )
        tool_rules.check_agent_tools(self.instance, tools, self.after(attrs, "memory", {}))
        tool_rules.check_knowledge(self.after(attrs, "knowledge", []), self.actor.workspace_id, tools)

    def to_representation(self, instance: Agent) -> dict[str, Any]:
        return representations.agent_json(instance)


class VersionSerializer(StrictModelSerializer):
    """One version of a configuration, its secrets by hint only."""

    data = serializers.DictField(  # type: ignore[assignment]
        read_only=True, help_text="The whole configuration as it stood."
    )

    example = examples.VERSION

    class Meta:
        model = Version
        fields = ["number", "name", "change", "author", "hash", "created_at", "data"]
        read_only_fields = fields

    def to_representation(self, instance: Version) -> dict[str, Any]:
        return representations.version_json(instance)


class ModelTrialSerializer(StrictSerializer):
    """What the model is asked; a short question of the platform's own unless said otherwise."""

    message = serializers.CharField(required=False, max_length=4000)
    example = {"message": "Say hello."}


class ToolTrialSerializer(StrictSerializer):
    """What the tool is called with. The call is real."""

    arguments = serializers.DictField(default=dict)
    example = {"arguments": {"expression": "17 * 23"}}


class TrialErrorSerializer(StrictSerializer):
    # `class` is a word of the language, so the field is made where it cannot be written.
    message = serializers.CharField()

    def get_fields(self) -> dict[str, Any]:
        return {
            "class": serializers.CharField(help_text="As of a failed run's error."),
            **super().get_fields(),
        }


class TrialSerializer(StrictSerializer):
    """How the try went: `result` or `error`."""

    ok = serializers.BooleanField()
    latency_ms = serializers.FloatField()
    result = serializers.DictField(required=False, help_text="Model: content, usage. Tool: text, content.")
    error = TrialErrorSerializer(required=False)
    example = {"ok": True, "latency_ms": 412.7, "result": {"content": "ready", "usage": {"total_tokens": 21}}}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        outcome = {"error": instance.error} if instance.error else {"result": instance.result}
        return {"ok": instance.ok, "latency_ms": instance.latency_ms, **outcome}
