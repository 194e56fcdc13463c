"""The PostgreSQL and the Redis that .ci/run borrows, and a database for the time of its tests."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import psycopg
import redis
from psycopg import sql


def reachable(server: str, redis_url: str) -> None:
    """End with exit code 1 and the reason unless both answer."""
    try:
        psycopg.connect(server, connect_timeout=3).close()
        redis.Redis.from_url(redis_url, socket_connect_timeout=3).ping()
    except (psycopg.OperationalError, redis.RedisError) as error:
        sys.exit(f"{error}".strip())


def create(server: str, name: str) -> None:
    """Create the database `name` and print its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    print(urlsplit(server)._replace(path=f"/{name}").geturl())


def drop(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


if __name__ == "__main__":
    {"reachable": reachable, "create": create, "drop": drop}[sys.argv[1]](*sys.argv[2:])
