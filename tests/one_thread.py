"""Lets async views ask the database in the test's own thread, where its uncommitted rows can be seen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from asgiref.sync import AsyncToSync


class TestThread(Executor):
    """Stands where the database threads stand, while a test client waits for an async view."""

    __test__ = False

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return AsyncToSync.executors.current.submit(call, *args, **kwargs)
