"""The limit: the platform's own graph and model client in a bare loop, without persistence, in one process.

    python -m bench.limit --base-url URL --model text-20 --at-once 16 --seconds 5 [--stock]

prints one line of JSON, a `Limit`. `--stock` uses LangChain's model client as it comes, not the platform's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

import django

from bench import loop
from bench.platform import HOST, PROJECT
from bench.statistics import percentile

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limit:
    """Latencies and delays in milliseconds; `delay_*` only for a `clock` model."""

    runs_per_second: float
    p50: float
    p95: float
    cpu_ms: float
    delay_p50: float = 0.0
    delay_p95: float = 0.0
    tokens_per_second: float = 0.0


def measure(base_url: str, model: str, at_once: int, seconds: float, *, stock: bool = False) -> Limit:
    """Measures in a process of its own."""
    command = [sys.executable, "-m", "bench.limit", "--base-url", base_url, "--model", model]
    options = ["--at-once", str(at_once), "--seconds", str(seconds), *(["--stock"] if stock else [])]
    environment = {**os.environ, "DEBUG": "true", "OUTBOUND_ALLOWED_HOSTS": HOST}
    finished = subprocess.run(
        command + options, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, check=True
    )
    return Limit(**json.loads(finished.stdout.splitlines()[-1]))


class BareLoop:
    """Runs of one graph, as many at once as wanted, each reading its tokens and throwing them away."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self.finished: list[tuple[float, float]] = []
        """End (time.monotonic) and duration of each run, seconds."""
        self.delays: list[float] = []

    async def run(self) -> None:
        started = time.monotonic()
        question = {"messages": [{"role": "user", "content": f"Run {len(self.finished)}"}]}
        async for chunk, _ in self._graph.astream(question, stream_mode="messages"):
            if "@" in chunk.content:
                self._keep_delays(chunk.content)
        ended = time.monotonic()
        self.finished.append((ended, ended - started))

    def _keep_delays(self, text: str) -> None:
        now = time.monotonic_ns()
        due = (int(token.partition("@")[2]) for token in text.split("|")[:-1])
        self.delays.extend((now - moment) / 1e6 for moment in due)

    async def until(self, deadline: float, at_once: int) -> None:
        async def repeat() -> None:
            while time.monotonic() < deadline:
                await self.run()

        await asyncio.gather(*(repeat() for _ in range(at_once)))

    async def measure(self, at_once: int, seconds: float) -> Limit:
        await self.until(time.monotonic() + WARM_UP_SECONDS, at_once)
        self.finished.clear()
        self.delays.clear()
        began, cpu = time.monotonic(), time.process_time()
        await self.until(began + seconds, at_once)
        lasted, cpu = time.monotonic() - began, time.process_time() - cpu
        durations = [duration * 1000 for _, duration in self.finished]
        return Limit(
            runs_per_second=len(durations) / lasted,
            p50=percentile(durations, 50),
            p95=percentile(durations, 95),
            cpu_ms=cpu * 1000 / len(durations),
            delay_p50=percentile(self.delays, 50),
            delay_p95=percentile(self.delays, 95),
            tokens_per_second=len(self.delays) / lasted,
        )


def platform_graph(base_url: str, model: str) -> Any:
    """The graph as the platform compiles it, without a checkpointer and without what records a run."""
    from agents.compiler import compile_agent
    from agents.specification import AgentConfig, AgentSpecification, ModelSpecification

    ids = (uuid.uuid4() for _ in itertools.count())
    chat = ModelSpecification(next(ids), next(ids), "bench", "openai", model, base_url)
    agent = AgentSpecification(
        version_id=next(ids),
        id=next(ids),
        workspace_id=next(ids),
        name="bench",
        system_prompt="Answer briefly.",
        config=AgentConfig(),
        memory_window=None,
        model=chat,
    )
    return compile_agent(agent, {}).graph


def stock_graph(base_url: str, model: str) -> Any:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    chat = ChatOpenAI(base_url=base_url, model=model, api_key=SecretStr("none"), stream_usage=True)
    return create_agent(chat, [], system_prompt="Answer briefly.")


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench.limit")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="text-20")
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--stock", action="store_true")
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
    django.setup()
    make = stock_graph if arguments.stock else platform_graph
    bare = BareLoop(make(arguments.base_url, arguments.model))
    print(json.dumps(asdict(loop.run(bare.measure(arguments.at_once, arguments.seconds)))))


if __name__ == "__main__":
    main()
