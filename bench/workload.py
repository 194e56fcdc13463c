"""What the measurements do with the platform: its agents, and runs that are durable and streamed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.connection import Connection
from bench.platform import API, Platform
from bench.stream import RunStream

TEXT_TOKENS = 20
TEXT_MODEL = f"text-{TEXT_TOKENS}"
TEXT = "".join(f"word{number} " for number in range(TEXT_TOKENS))
PACED_TOKENS = 100
PACED_MODEL = f"clock-{PACED_TOKENS}-20"
SLOW_MODEL = "text-60-200"


@dataclass(frozen=True, slots=True)
class Agents:
    """Ids of agents over models of the fake endpoint: without delay, 100 tokens 20 ms apart, and slow."""

    text: str
    paced: str
    slow: str


async def create_agents(platform: Platform, base_url: str) -> Agents:
    connection = await platform.connect()
    text = await _create_agent(connection, "bench-text", TEXT_MODEL, base_url)
    paced = await _create_agent(connection, "bench-paced", PACED_MODEL, base_url)
    slow = await _create_agent(connection, "bench-slow", SLOW_MODEL, base_url)
    connection.close()
    return Agents(text, paced, slow)


async def _create_agent(connection: Connection, name: str, model: str, base_url: str) -> str:
    await connection.request(
        "POST",
        f"{API}/models",
        {"name": name, "provider": "openai", "model": model, "base_url": base_url, "api_key": "sk-bench"},
        expect=201,
    )
    agent = {"name": name, "model": name, "system_prompt": "Answer briefly.", "tools": []}
    response = await connection.request("POST", f"{API}/agents", agent, expect=201)
    return str(response.json()["id"])


@dataclass(slots=True)
class StreamedRun:
    """One run as its client saw it. Times are CLOCK_MONOTONIC nanoseconds."""

    began_ns: int
    ended_ns: int
    stream: RunStream

    @property
    def latency_ms(self) -> float:
        return (self.ended_ns - self.began_ns) / 1e6

    def since_start_ms(self, moment_ns: int) -> float:
        return (moment_ns - self.began_ns) / 1e6


async def chat(connection: Connection, agent_id: str, stream: RunStream | None = None) -> StreamedRun:
    """Starts a run of the agent and follows it to its end."""
    stream = stream or RunStream()
    body: dict[str, Any] = {"agent_id": agent_id, "message": "Say something.", "stream": True}
    began = time.monotonic_ns()
    await connection.request("POST", f"{API}/chat", body, sink=stream.feed, expect=200)
    return StreamedRun(began, time.monotonic_ns(), stream)
