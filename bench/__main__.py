"""`python -m bench`: takes the measurements and prints the table."""

from __future__ import annotations

import argparse
import datetime
import os
import platform as machine
import signal

import redis

from bench import loop
from bench.endpoint import Endpoint
from bench.measures import Effort, Figures, measure_limits, measure_platform, measure_scale_only, say
from bench.platform import Platform
from bench.report import Section, table
from bench.rows import Sections, admin_section, scale_section

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/9"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench", description="Measures the platform; takes ten minutes."
    )
    parser.add_argument("--quick", action="store_true", help="short measurements, nothing at a million rows")
    parser.add_argument("--scale", action="store_true", help="only what is measured at a million rows")
    return parser.parse_args()


def redis_url() -> str:
    """Where web and worker as two processes find each other; "" where no Redis answers."""
    url = os.environ.get("REDIS_URL") or DEFAULT_REDIS_URL
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=1) as client:
            client.ping()
    except redis.RedisError:
        return ""
    return url


async def measured(platform: Platform, endpoint: Endpoint, effort: Effort) -> Figures:
    async with platform:
        return await measure_platform(platform, endpoint, effort)


async def scale_only(endpoint: Endpoint) -> list[Section]:
    async with Platform() as platform:
        figures = await measure_scale_only(platform, endpoint)
        return [scale_section(figures), admin_section(figures)]


def everything(endpoint: Endpoint, effort: Effort) -> list[Section]:
    limits = measure_limits(endpoint, effort)
    say("the platform in one process")
    one = loop.run(measured(Platform(), endpoint, effort))
    if not (url := redis_url()):
        say("no Redis answers: nothing is measured with a worker apart")
        return Sections(one, None, limits).all()
    say("the platform with a worker apart")
    two = loop.run(measured(Platform(url), endpoint, effort))
    return Sections(one, two, limits).all()


def main() -> None:
    chosen = arguments()
    # Whoever stops it means the processes that it started too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Endpoint() as endpoint:
        if chosen.scale:
            sections = loop.run(scale_only(endpoint))
        else:
            sections = everything(endpoint, Effort(3.0 if chosen.quick else 8.0, scale=not chosen.quick))
    title = (
        f"agentplatform benchmark, {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC:"
        f" {os.cpu_count()} cores, Python {machine.python_version()}, {machine.system()}"
    )
    print(table(title, sections))


if __name__ == "__main__":
    main()
