"""The shared cache while Redis does not answer: an error of the platform's, soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from django.core.cache import caches

from agentplatform.lib import redis_cache
from agentplatform.lib.errors import ServiceUnavailable
from agentplatform.lib.outage import Outage


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    """What one test has found out is not the next one's."""
    monkeypatch.setattr(redis_cache, "_outage", Outage(redis_cache.RedisError, "It did not answer."))


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Where connections are taken, and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def cache_at(port: int, settings):
    backend = "agentplatform.lib.redis_cache.RedisCache"
    options = {"socket_connect_timeout": 0.1, "socket_timeout": 0.1}
    there = {"BACKEND": backend, "LOCATION": f"redis://127.0.0.1:{port}", "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "default": there}
    return caches["default"]


def test_says_that_nobody_listens(settings):
    with pytest.raises(ServiceUnavailable):
        cache_at(1, settings).get("x")


def test_does_not_wait_for_one_that_hangs(silent_port, settings):
    with pytest.raises(ServiceUnavailable):
        cache_at(silent_port, settings).add("x", 1)
