"""What a client may ask for, and what run that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from accounts.actor import Actor
from agentplatform.lib.async_views import validated
from agentplatform.lib.errors import Invalid
from agentplatform.lib.serializers import StrictSerializer
from agents.api.fields import NumberField, ObjectField, bounds
from agents.models import Agent
from agents.providers.base import parameter_faults
from runs.api.fields import EndUserField, MetadataField
from runs.commands import RunRequest
from runs.protocols.openai.conversation import parse_messages
from runs.protocols.openai.earlier import completed
from runs.protocols.openai.errors import Refused
from runs.protocols.openai.tools import bound_tools

Json = dict[str, Any]

# What these say is said with their neutral values too; anything else would change what the answer means.
NEUTRAL: dict[str, list[Any]] = {
    "audio": [],
    "function_call": ["none"],
    "functions": [[]],
    "logit_bias": [{}],
    "logprobs": [False],
    "modalities": [["text"]],
    "moderation": [],
    "n": [1],
    "top_logprobs": [0],
    "verbosity": ["medium"],
    "web_search_options": [],
}
# Of no consequence for the answer.
IGNORED = {
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
}
# Handed to the agent's model as they are, where its provider knows them.
OF_THE_MODEL = (
    "top_p",
    "stop",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
)
FORMATS = ("text", "json_object", "json_schema")


class StreamOptionsSerializer(StrictSerializer):
    include_usage = serializers.BooleanField(default=False, allow_null=True)
    include_obfuscation = serializers.BooleanField(default=False, allow_null=True)


class CompletionSerializer(StrictSerializer):
    """The parameters that have a form of their own; `messages`, `tools` and `tool_choice` are read apart."""

    model = serializers.CharField(max_length=100)
    messages = serializers.JSONField()
    stream = serializers.BooleanField(default=False, allow_null=True)
    stream_options = StreamOptionsSerializer(required=False, allow_null=True)
    temperature = NumberField(**bounds("temperature"), allow_null=True)
    max_tokens = serializers.IntegerField(**bounds("max_tokens"), allow_null=True)
    max_completion_tokens = serializers.IntegerField(**bounds("max_tokens"), allow_null=True)
    user = EndUserField()
    metadata = MetadataField(default=dict)
    tools = serializers.JSONField(required=False, allow_null=True)
    tool_choice = serializers.JSONField(required=False, allow_null=True)
    parallel_tool_calls = serializers.BooleanField(required=False, allow_null=True)
    top_p = NumberField(required=False, allow_null=True)
    stop = serializers.JSONField(required=False, allow_null=True)
    seed = serializers.IntegerField(required=False, allow_null=True)
    frequency_penalty = NumberField(required=False, allow_null=True)
    presence_penalty = NumberField(required=False, allow_null=True)
    reasoning_effort = serializers.CharField(required=False, allow_null=True, max_length=50)
    response_format = ObjectField(required=False, allow_null=True)


@dataclass(frozen=True, slots=True)
class Completion:
    """A completion that is asked for."""

    run: RunRequest
    model: str
    """The agent, as the client has called it."""
    streamed: bool
    counts_usage: bool
    """Whether a stream ends with what was used."""


def parse(actor: Actor, body: Any) -> Completion:
    """Raises NotFound for the agent, Invalid and Refused, which name the parameter, or a validation error."""
    values = {
        name: value
        for name, value in validated(CompletionSerializer, _without_neutral(body)).items()
        if value is not None
    }
    request = RunRequest(
        messages=completed(actor, parse_messages(values["messages"])),
        agent=values["model"],
        end_user=values.get("user", ""),
        config=_config(values),
        bindings=_bindings(actor, values),
        metadata=values["metadata"],
    )
    options = values.get("stream_options", {})
    return Completion(
        request, values["model"], values.get("stream", False), bool(options.get("include_usage"))
    )


def _without_neutral(body: Any) -> Any:
    """The body without what says nothing. Raises Refused for what is not supported."""
    if not isinstance(body, dict):
        return body
    for name, neutral in NEUTRAL.items():
        if body.get(name) is not None and body[name] not in neutral:
            raise Refused(f"{name!r} is not supported; leave it out.", name, "unsupported_parameter")
    return {name: value for name, value in body.items() if name not in NEUTRAL and name not in IGNORED}


def _config(values: Mapping[str, Any]) -> Json:
    limit = values.get("max_completion_tokens", values.get("max_tokens"))
    chosen = {"temperature": values.get("temperature"), "max_tokens": limit}
    return {name: value for name, value in chosen.items() if value is not None}


def _bindings(actor: Actor, values: Mapping[str, Any]) -> Json:
    """What is bound to the agent's model for this run; nothing is asked of the database where that is nothing."""
    tools, parameters = bound_tools(values), _parameters(values)
    if not tools and not parameters:
        return {}
    agent: Agent = Agent.objects.select_related("model").named(actor, values["model"])
    _check_names(agent, tools)
    _check_parameters(agent, parameters)
    return tools | ({"parameters": parameters} if parameters else {})


def _parameters(values: Mapping[str, Any]) -> Json:
    chosen = {name: values[name] for name in OF_THE_MODEL if name in values}
    if isinstance(chosen.get("stop"), str):
        chosen["stop"] = [chosen["stop"]]
    if "response_format" in chosen:
        kind = chosen["response_format"].get("type")
        if kind not in FORMATS:
            raise Invalid({"response_format.type": f"Use one of: {', '.join(FORMATS)}."})
        if kind == "text":
            del chosen["response_format"]
    return chosen


def _check_names(agent: Agent, tools: Json) -> None:
    offered = [tool["function"]["name"] for tool in tools.get("tools", ())]
    if taken := agent.tools.filter(name__in=offered).values_list("name", flat=True).first():
        raise Refused(f"The agent has a tool {taken!r} of its own; choose another name.", "tools")


def _check_parameters(agent: Agent, parameters: Json) -> None:
    """Each has to mean something to the agent's model and to those that stand in for it."""
    fallbacks = agent.model.fallback_rows.filter(fallback__enabled=True)
    providers = {agent.model.provider, *fallbacks.values_list("fallback__provider", flat=True)}
    for name, value in parameters.items():
        for provider in sorted(providers):
            if faults := parameter_faults(provider, {name: value}):
                message = f"A model of the agent ({provider}) does not take this: {faults[0]}"
                raise Refused(message, name, "unsupported_parameter")
