"""OpenAI and every endpoint that speaks its chat-completions protocol: vLLM, Ollama, DeepSeek …"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from agentplatform.lib.outbound import timeouts
from agents.providers import clients
from agents.providers.base import registry
from agents.providers.openai_stream import StreamingCompletions
from agents.specification import ModelSpecification

OWN_URL = "https://api.openai.com/v1"
NO_KEY = "none"
"""What is sent to endpoints that need no key; the client insists on one."""


class CompatibleChatModel(ChatOpenAI):
    """Also reads the reasoning that compatible endpoints stream beside the content."""

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], default_chunk_class: type, base_generation_info: dict[str, Any] | None
    ) -> ChatGenerationChunk | None:
        generation = super()._convert_chunk_to_generation_chunk(
            chunk, default_chunk_class, base_generation_info
        )
        if (
            generation
            and (choices := chunk.get("choices"))
            and isinstance(generation.message, AIMessageChunk)
        ):
            delta = choices[0].get("delta") or {}
            if reasoning := delta.get("reasoning_content") or delta.get("reasoning"):
                generation.message.additional_kwargs["reasoning_content"] = reasoning
        return generation


def make(spec: ModelSpecification, api_key: str) -> CompatibleChatModel:
    own = registry["openai"].own_url() or OWN_URL
    base_url = spec.base_url or own
    model = CompatibleChatModel(
        model=spec.model,
        base_url=base_url,
        api_key=SecretStr(api_key or NO_KEY),
        timeout=timeouts(spec.timeout),
        max_retries=0,
        stream_usage=True,
        # Silence is noticed by the HTTP client's own timeout; a second timer would cost every token.
        stream_chunk_timeout=None,
        use_responses_api=False,
        http_client=clients.sync_client(),
        http_async_client=clients.async_client(),
        **_parameters(spec, base_url),
    )
    model.async_client = StreamingCompletions(model.root_async_client)
    return model


def _parameters(spec: ModelSpecification, base_url: str) -> dict[str, Any]:
    """Endpoints of others know the limit of tokens by its old name only; with a format LangChain would not stream."""
    as_they_are = {"response_format"}
    if base_url.rstrip("/") != OWN_URL:
        as_they_are.add("max_tokens")
    body = {name: value for name, value in spec.parameters.items() if name in as_they_are}
    parameters = {name: value for name, value in spec.parameters.items() if name not in as_they_are}
    if body:
        parameters["extra_body"] = {**body, **parameters.get("extra_body", {})}
    return parameters
