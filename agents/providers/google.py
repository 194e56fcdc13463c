"""Gemini models over Google's Generative Language API."""

from __future__ import annotations

from google.genai import Client
from google.genai.types import HttpOptions
from langchain_google_genai import ChatGoogleGenerativeAI

from agents.providers import clients
from agents.specification import ModelSpecification


def make(spec: ModelSpecification, api_key: str) -> ChatGoogleGenerativeAI:
    base_url = spec.base_url or None
    model = ChatGoogleGenerativeAI(
        model=spec.model,
        base_url=base_url,
        api_key=api_key,
        timeout=spec.timeout,
        max_retries=1,  # Google's client counts attempts, not repeats.
        vertexai=False,
        **spec.parameters,
    )
    # The constructor has no parameter for an HTTP client: the guarded ones come in with a client of our own.
    options = HttpOptions(
        base_url=base_url, httpx_client=clients.sync_client(), httpx_async_client=clients.async_client()
    )
    model.client = Client(api_key=api_key, vertexai=False, http_options=options)
    return model
