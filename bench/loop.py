"""The event loop that the platform's server uses too: uvloop where there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from uvicorn.config import Config

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    factory: Callable[[], asyncio.AbstractEventLoop] | None = Config(app="", loop="auto").get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
