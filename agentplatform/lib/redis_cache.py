"""The cache that all processes share, in Redis. Nobody waits long for it, and everybody is told when it is away.

Imported by its name in the settings, only where there is a Redis: its client takes twenty megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.cache.backends import redis as django_redis
from redis import Redis
from redis.exceptions import RedisError

from agentplatform.lib.errors import ServiceUnavailable
from agentplatform.lib.outage import Outage

_outage = Outage(RedisError, "Redis did not answer a moment ago.")


@contextmanager
def _answering() -> Iterator[None]:
    try:
        with _outage.noticed():
            yield
    except RedisError as error:
        raise ServiceUnavailable("The cache does not answer at the moment. Try again shortly.") from error


class _Client(Redis):
    def execute_command(self, *args: Any, **options: Any) -> Any:
        with _answering():
            return super().execute_command(*args, **options)


class _CacheClient(django_redis.RedisCacheClient):
    def get_client(self, key: Any = None, *, write: bool = False) -> Redis:
        return _Client(connection_pool=self._get_connection_pool(write))  # type: ignore[attr-defined]

    def count_each(self, counters: Mapping[str, int]) -> list[int]:
        pipeline = self.get_client(None, write=True).pipeline(transaction=True)
        for key, seconds in counters.items():
            pipeline.set(key, 0, ex=seconds, nx=True)
            pipeline.incr(key)
        with _answering():
            return list(pipeline.execute()[1::2])


class RedisCache(django_redis.RedisCache):
    """Django's, which raises ServiceUnavailable where Redis does not answer."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _CacheClient

    def count_each(self, counters: Mapping[str, int]) -> list[int]:
        """As `agentplatform.lib.counters.count_each`, in one round trip."""
        made = {self.make_and_validate_key(key): seconds for key, seconds in counters.items()}
        counted: list[int] = self._cache.count_each(made)  # type: ignore[attr-defined]
        return counted
