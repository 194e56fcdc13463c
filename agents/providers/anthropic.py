"""Claude models over Anthropic's own API, or an endpoint that speaks it."""

from __future__ import annotations

from functools import cached_property

from anthropic import Anthropic, AsyncAnthropic
from langchain_anthropic import ChatAnthropic
from pydantic import SecretStr

from agents.providers import clients
from agents.specification import ModelSpecification

OWN_URL = "https://api.anthropic.com"


class GuardedChatAnthropic(ChatAnthropic):
    """LangChain's model over the guarded HTTP clients, which its constructor has no parameter for."""

    @cached_property
    def _client(self) -> Anthropic:
        return Anthropic(**self._client_params, http_client=clients.sync_client())

    @cached_property
    def _async_client(self) -> AsyncAnthropic:
        return AsyncAnthropic(**self._client_params, http_client=clients.async_client())


def make(spec: ModelSpecification, api_key: str) -> GuardedChatAnthropic:
    return GuardedChatAnthropic(
        model_name=spec.model,
        base_url=spec.base_url or OWN_URL,
        api_key=SecretStr(api_key),
        timeout=spec.timeout,
        max_retries=0,
        **spec.parameters,
    )
