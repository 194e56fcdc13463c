"""The guarded HTTP clients of all models in this process: connections are reused across models and runs."""

from __future__ import annotations

import functools

import httpx2
from django.conf import settings

from agentplatform.lib import outbound
from agents.providers.base import own_endpoints


def async_client() -> httpx2.AsyncClient:
    return _async_client(own_endpoints())


def sync_client() -> httpx2.Client:
    return _sync_client(own_endpoints())


@functools.cache
def _async_client(also_allowed: tuple[str, ...]) -> httpx2.AsyncClient:
    return outbound.async_client(settings.AGENT_TIMEOUT_SECONDS, also_allowed=also_allowed)


@functools.cache
def _sync_client(also_allowed: tuple[str, ...]) -> httpx2.Client:
    return outbound.client(settings.AGENT_TIMEOUT_SECONDS, also_allowed=also_allowed)
