"""Agents, models and tools as the engine's tests have them, and people who call the API of real processes."""

from __future__ import annotations

from tests.engine.conftest import agent_on, close_connections, endpoint, endpoint_process, worker

__all__ = ["agent_on", "close_connections", "endpoint", "endpoint_process", "worker"]
