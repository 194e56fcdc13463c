"""Rules that models and agents obey, whoever writes them: the API, the admin, a file.

`tool_rules` has those of tools. Every check raises Invalid with an entry per field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from agentplatform.lib.addresses import OutboundRefused, check_url
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import as_uuid
from agents.models import ChatModel
from agents.providers import local_embeddings
from agents.providers.base import CHAT, find, own_endpoints, parameter_faults
from agents.tools.base import MOST_LEVELS, is_too_deep

HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]*\Z")
ASCII_VALUE = re.compile(r"[\x20-\x7e]*\Z")
"""Of headers that clients of others send, which take nothing else."""
NOT_ASCII = (
    "It is sent as an HTTP header, which takes ASCII without control characters. Was it copied in full?"
)

Faults = dict[str, str]

BOUNDS: dict[str, tuple[int, int]] = {
    "max_steps": (1, 500),
    "temperature": (0, 2),
    "max_tokens": (1, 1_000_000),
    "timeout": (1, 3600),
    "retries": (0, 10),
    "cache_ttl": (0, 604_800),
    "memory_window": (1, 1000),
    "trigger_tokens": (100, 10_000_000),
    "trigger_messages": (2, 10_000),
    "keep_messages": (1, 1000),
}
"""The least and the most of an agent's limits."""
DEFAULT_KEEP = 20
"""How many of the last messages a summary leaves alone."""
SCOPES = ("user", "agent")
"""Whose memories an agent keeps: what all agents share, or its own."""


def check_bounds(limits: Mapping[str, float]) -> None:
    """An agent's limits, by their names in BOUNDS."""
    wrong = {
        name: BOUNDS[name]
        for name, value in limits.items()
        if not BOUNDS[name][0] <= value <= BOUNDS[name][1]
    }
    raise_faults({name: f"Use a number from {least} to {most}." for name, (least, most) in wrong.items()})


def check_memory(memory: Mapping[str, Any]) -> None:
    """What an agent keeps in mind, as `Agent.memory` has it."""
    if (policy := memory.get("summarize")) is None:
        return
    faults: Faults = {}
    if memory.get("window"):
        faults["memory.window"] = "Use either window or summarize: a window would hide the summary."
    triggers = [policy.get("trigger_tokens"), policy.get("trigger_messages")]
    if not any(triggers):
        faults["memory.summarize"] = "Say when: give trigger_tokens, trigger_messages or both."
    elif triggers[1] and policy["keep_messages"] >= triggers[1]:
        faults["memory.summarize.keep_messages"] = (
            f"Use a number below trigger_messages ({triggers[1]}), or nothing would be summarized."
        )
    raise_faults(faults)


def check_model(
    provider: str, base_url: str, parameters: Mapping[str, Any], purpose: str = CHAT, model: str = ""
) -> None:
    """A model's endpoint and default parameters."""
    faults: Faults = {}
    if purpose not in find(provider).purposes:
        kinds = " or ".join(find(provider).purposes)
        raise Invalid({"purpose": f"The provider {provider!r} has models for: {kinds}."})
    if provider == "local":
        local_embeddings.check(model)
    if base_url and not find(provider).takes_url:
        faults["base_url"] = f"The provider {provider!r} has no endpoint; leave base_url empty."
    elif base_url and (fault := url_fault(base_url, own_endpoints())):
        faults["base_url"] = fault
    if is_too_deep(parameters):
        faults["parameters"] = f"The parameters are nested more than {MOST_LEVELS} levels deep."
    elif found := parameter_faults(provider, parameters, purpose):
        known = ", ".join(find(provider).parameters_of(purpose)) or "none"
        faults["parameters"] = f"{'; '.join(found)}. The parameters of {provider!r} are: {known}."
    raise_faults(faults)


def check_purpose_kept(model: ChatModel | None, purpose: str) -> None:
    """Agents and knowledge bases rely on it."""
    if model and model.purpose != purpose:
        raise Invalid({"purpose": "A model keeps the purpose that it was made for. Make another one."})


def check_chats(field: str, models: Sequence[ChatModel]) -> None:
    """What an agent talks with."""
    _check_purpose(field, models, ChatModel.Purpose.CHAT, "is for embeddings; name one that chats")


def check_embeds(field: str, models: Sequence[ChatModel]) -> None:
    """What a knowledge base is embedded with."""
    _check_purpose(field, models, ChatModel.Purpose.EMBEDDING, "chats; name one whose purpose is embedding")


def _check_purpose(field: str, models: Sequence[ChatModel], purpose: str, said: str) -> None:
    if wrong := [model.name for model in models if model.purpose != purpose]:
        raise Invalid({field: f"The model {wrong[0]!r} {said}."})


def check_name(name: str) -> None:
    """Objects are found by id or name, so a name must not read as an id."""
    if as_uuid(name):
        raise Invalid({"name": "This reads as an id. Choose a name that does not."})


def check_secret_value(field: str, value: str) -> None:
    """A secret travels in an HTTP header."""
    if not ASCII_VALUE.match(value):
        raise Invalid({field: NOT_ASCII})


def same_endpoint(old: str, new: str) -> bool:
    """Whether two URLs lead to the same server. A secret is kept only as long as they do."""
    before, after = urlsplit(old), urlsplit(new)
    return (before.scheme, before.netloc.lower()) == (after.scheme, after.netloc.lower())


def check_endpoint_kept(model: ChatModel | None, provider: str, base_url: str, *, gets_key: bool) -> None:
    """A stored key must not be sent to another server than the one it was entered for."""
    if model is None or model.secret_id is None or gets_key:
        return
    if model.provider != provider or not same_endpoint(model.base_url, base_url):
        raise Invalid(
            {"api_key": "The endpoint changes: enter the API key again, or send null to remove it."}
        )


def url_fault(url: str, also_allowed: tuple[str, ...] = ()) -> str | None:
    try:
        check_url(url, also_allowed)
    except OutboundRefused as error:
        return str(error)
    return None


def raise_faults(faults: Faults) -> None:
    """Raises Invalid where there are any: field → what is wrong with it."""
    if faults:
        raise Invalid(faults)
