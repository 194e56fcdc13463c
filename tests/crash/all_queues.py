"""`python -m tests.crash.all_queues`: the real `run_worker`, which takes runs of every queue."""

from __future__ import annotations

import os

import django
from django.core.management import call_command


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agentplatform.settings")
    django.setup()
    from runs.engine import worker

    worker.QUEUES = None
    call_command("run_worker")


if __name__ == "__main__":
    main()
