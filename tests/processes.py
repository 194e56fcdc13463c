"""Real processes of the platform, on the database of the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

PROJECT = Path(__file__).resolve().parent.parent
Process = subprocess.Popen[str]


@contextmanager
def worker_process(*, module: str = "", **environment: str) -> Iterator[Process]:
    """A real `manage.py run_worker`, or another `module` that ends in it, ready to take runs."""
    command = ["-m", module] if module else ["manage.py", "run_worker"]
    with process(*command, ready="is ready", **environment) as (worker, _):
        yield worker


@contextmanager
def web_process(**environment: str) -> Iterator[str]:
    """A real web process without a worker; its address, `http://127.0.0.1:<port>`."""
    command = ["manage.py", "run_platform", "--no-demo"]
    here = {"AGENTPLATFORM_EMBEDDED_WORKER": "false", "HOST": "127.0.0.1", "PORT": "0"}
    with process(*command, ready="runs at ", **here, **environment) as (_, line):
        yield line.split("runs at ")[1].strip()


@contextmanager
def process(
    *arguments: str, ready: str, talks: bool = False, **environment: str
) -> Iterator[tuple[Process, str]]:
    """Python with these arguments, once it has printed `ready`, and that line. Killed at the end if it still lives.

    One that `talks` is written to and read from by the caller.
    """
    started = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "OUTBOUND_ALLOWED_HOSTS": "127.0.0.1",
            **environment,
        },
        stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if talks else subprocess.STDOUT,
        text=True,
    )
    assert started.stdout is not None
    output = []
    try:
        for line in started.stdout:
            output.append(line)
            if ready in line:
                break
        else:
            raise AssertionError("The process did not start:\n" + "".join(output))
        if not talks:
            # Read on, so that its output never fills the pipe.
            threading.Thread(target=started.stdout.read, daemon=True).start()
        yield started, line
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGKILL)
        started.wait(timeout=10)


def database_url() -> str:
    """DATABASE_URL with the name of the database that the tests run on."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{connection.settings_dict['NAME']}"))
