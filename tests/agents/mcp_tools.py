"""What the tools of the tests' MCP servers do. Nothing is imported here that takes long: many tests start a server."""

from __future__ import annotations

import asyncio
import os
import sys
import time


def add(a: int, b: int) -> dict[str, int]:
    """Adds two numbers."""
    return {"sum": a + b}


def process_id() -> str:
    """Tells the server's process id."""
    return str(os.getpid())


def variable(name: str) -> str:
    """Tells an environment variable."""
    return os.environ.get(name, "(not set)")


def variables() -> list[str]:
    """Tells the names of all environment variables."""
    return sorted(os.environ)


async def sleep(seconds: float) -> str:
    """Sleeps."""
    await asyncio.sleep(seconds)
    return "awake"


def die(marker: str) -> str:
    """Notes that it was called, and ends the process in the middle of the call."""
    with open(marker, "a") as file:
        file.write("called\n")
    os._exit(3)


def huge(characters: int) -> str:
    """Answers this many characters."""
    return "x" * characters


def shout(lines: int) -> str:
    """Writes to stderr."""
    for number in range(lines):
        print(f"line {number}", file=sys.stderr)
    return "shouted"


async def stop_reading() -> str:
    """Blocks the whole server for a long time."""
    time.sleep(600)
    return "never"


TOOLS = (add, process_id, variable, variables, sleep, die, huge, shout, stop_reading)
