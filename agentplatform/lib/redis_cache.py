"""The cache that all processes share, in Redis. Nobody waits long for it, and everybody is told when it is away.

Imported by its name in the settings, only where there is a Redis: its client takes twenty megabytes.
"""

from __future__ import annotations

from typing import Any

from django.core.cache.backends import redis as django_redis
from redis import Redis
from redis.exceptions import RedisError

from agentplatform.lib.errors import ServiceUnavailable
from agentplatform.lib.outage import Outage

_outage = Outage(RedisError, "Redis did not answer a moment ago.")


class _Client(Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            with _outage.noticed():
                return super().execute_command(*args, **options)
        except RedisError as error:
            raise ServiceUnavailable("The cache does not answer at the moment. Try again shortly.") from error


class _CacheClient(django_redis.RedisCacheClient):
    def get_client(self, key: Any = None, *, write: bool = False) -> Redis:
        return _Client(connection_pool=self._get_connection_pool(write))  # type: ignore[attr-defined]


class RedisCache(django_redis.RedisCache):
    """Django's, which raises ServiceUnavailable where Redis does not answer."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _CacheClient
