"""The providers of models, and the one verb: make a chat model's client. `embeddings` has that of embedding models.

A provider's module has `make(spec, api_key)` and is imported when its first model is made, because the
vendors' packages take seconds to import. Nothing in here imports LangChain.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext_noop
from jsonschema import Draft202012Validator

from agentplatform.lib.addresses import authority_of
from agentplatform.lib.errors import InvalidConfig
from agents.specification import ModelSpecification

Schema = dict[str, Any]
ChatModelClient = Any
"""A `langchain_core.language_models.BaseChatModel`; naming its type here would import it."""

CHAT, EMBEDDING = "chat", "embedding"
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 1}
TEMPERATURE: Schema = {"type": "number", "minimum": 0, "maximum": 2}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
PENALTY: Schema = {"type": "number", "minimum": -2, "maximum": 2}
WORD: Schema = {"type": "string", "minLength": 1, "maxLength": 50}
STOP: Schema = {"type": "array", "maxItems": 16, "items": {"type": "string", "minLength": 1}}
OBJECT: Schema = {"type": "object"}
COMMON: dict[str, Schema] = {"temperature": TEMPERATURE, "max_tokens": COUNT, "top_p": SHARE, "stop": STOP}


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider's models are made. `parameters` maps each that a model may have to its JSON Schema."""

    label: str
    module: str
    parameters: Mapping[str, Schema] = field(default_factory=dict)
    key_setting: str = ""
    url_setting: str = ""
    needs_key: bool = False
    """Whether the provider's own endpoint refuses requests without a key."""
    takes_url: bool = True
    chats: bool = True
    embeddings: str = ""
    """The module of its embedding models; empty: it has none."""
    embedding_parameters: Mapping[str, Schema] = field(default_factory=dict)

    @property
    def purposes(self) -> list[str]:
        """What its models can be for."""
        return [*([CHAT] if self.chats else []), *([EMBEDDING] if self.embeddings else [])]

    def parameters_of(self, purpose: str) -> Mapping[str, Schema]:
        """The parameters that a model of this purpose may have."""
        return self.parameters if purpose == CHAT else self.embedding_parameters

    def own_url(self) -> str:
        """The endpoint that the environment names, or "" for the vendor's own."""
        return getattr(settings, self.url_setting) if self.url_setting else ""

    def own_key(self, base_url: str) -> str:
        """The platform's own key. It only ever goes to the platform's own endpoint, never to a user's URL."""
        if not self.key_setting or base_url.rstrip("/") not in ("", self.own_url().rstrip("/")):
            return ""
        return getattr(settings, self.key_setting)


registry: dict[str, Provider] = {
    "openai": Provider(
        label=gettext_noop("OpenAI or compatible"),
        module="agents.providers.openai",
        key_setting="OPENAI_API_KEY",
        url_setting="OPENAI_BASE_URL",
        needs_key=True,
        parameters=COMMON
        | {
            "seed": {"type": "integer"},
            "frequency_penalty": PENALTY,
            "presence_penalty": PENALTY,
            "reasoning_effort": WORD,
            "service_tier": WORD,
            "response_format": OBJECT,
            "extra_body": OBJECT,
        },
        embeddings="agents.providers.openai_embeddings",
        embedding_parameters={"dimensions": {"type": "integer", "minimum": 1, "maximum": 4000}},
    ),
    "anthropic": Provider(
        label="Anthropic",
        module="agents.providers.anthropic",
        key_setting="ANTHROPIC_API_KEY",
        needs_key=True,
        parameters=COMMON | {"top_k": COUNT, "reasoning_effort": WORD, "thinking": OBJECT},
    ),
    "google": Provider(
        label="Google Gemini",
        module="agents.providers.google",
        key_setting="GOOGLE_API_KEY",
        needs_key=True,
        parameters=COMMON
        | {
            "top_k": COUNT,
            "seed": {"type": "integer"},
            "thinking_budget": {"type": "integer"},
            "thinking_level": WORD,
        },
    ),
    "demo": Provider(
        label=gettext_noop("Demo (scripted, no key)"),
        module="agents.providers.demo",
        takes_url=False,
        parameters=COMMON | {"delay_ms": {"type": "number", "minimum": 0, "maximum": 1000}},
    ),
    "local": Provider(
        label=gettext_noop("On this machine (embeddings)"),
        module="",
        takes_url=False,
        chats=False,
        embeddings="agents.providers.local_embeddings",
    ),
}


def make(spec: ModelSpecification, api_key: str = "") -> ChatModelClient:
    """The client of `spec`. It makes no retries of its own and goes through the address guard.

    Without `api_key` the platform's own key of the provider is used, for the platform's own endpoint only.
    Raises InvalidConfig.
    """
    provider = find(spec.provider)
    if not provider.chats or spec.purpose != CHAT:
        raise InvalidConfig({"model": f"{spec.name!r} is an embedding model: it does not chat."})
    key = api_key or provider.own_key(spec.base_url)
    if provider.needs_key and not key and not spec.base_url:
        remedy = f"Set it, or {provider.key_setting} in the environment."
        raise InvalidConfig({"api_key": f"The model {spec.name!r} has no API key. {remedy}"})
    module = importlib.import_module(provider.module)
    try:
        return module.make(spec, key)
    except (TypeError, ValueError) as error:
        # Pydantic's message quotes the input, which may be the key.
        message = (
            f"{provider.label} does not take the configuration of {spec.name!r} ({type(error).__name__})."
        )
        raise InvalidConfig({"parameters": message}) from error


def warm_up(names: Iterable[str] = ("openai", "demo")) -> None:
    """Imports providers ahead of the first run that needs them: it takes most of a second."""
    for name in names:
        importlib.import_module(find(name).module)


def own_endpoints() -> tuple[str, ...]:
    """The endpoints that the environment names, as `host:port`. They may be private without further ado."""
    urls = {provider.own_url() for provider in registry.values()} - {""}
    return tuple(sorted(authority_of(url) for url in urls))


def find(name: str) -> Provider:
    """The provider of that name. Raises InvalidConfig."""
    if (provider := registry.get(name)) is None:
        raise InvalidConfig(
            {"provider": f"There is no provider {name!r}. Use one of: {', '.join(registry)}."}
        )
    return provider


def parameter_faults(provider_name: str, parameters: Mapping[str, Any], purpose: str = CHAT) -> list[str]:
    """What is wrong with a model's default parameters, in words; empty when nothing is."""
    faults = _parameter_validator(provider_name, purpose).iter_errors(parameters)
    return [f"{'.'.join(map(str, fault.path))}: {fault.message}".removeprefix(": ") for fault in faults]


@functools.cache
def _parameter_validator(provider_name: str, purpose: str) -> Draft202012Validator:
    known = dict(find(provider_name).parameters_of(purpose))
    return Draft202012Validator({"type": "object", "properties": known, "additionalProperties": False})
