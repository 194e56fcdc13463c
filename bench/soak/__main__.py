"""`python -m bench.soak`: soaks the platform, prints the table and, with `--write`, keeps it with its plots."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from bench import loop, redis_server
from bench.endpoint import Endpoint
from bench.soak import pictures, report, verdict
from bench.soak.recording import Recording
from bench.soak.soaking import PER_SECOND, soaked

MINUTES = 15.0
PICTURE = "soak.svg"
PAGE = "soak.md"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench.soak", description="Soaks the platform.")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="of steady load (default: %(default)g)"
    )
    parser.add_argument(
        "--rate", type=float, default=PER_SECOND, help="works per second (default: %(default)g)"
    )
    parser.add_argument(
        "--one-process", action="store_true", help="without Redis: web and worker in one process"
    )
    parser.add_argument("--write", type=Path, metavar="FOLDER", help=f"put {PAGE} and {PICTURE} there")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="store what was recorded, as JSON")
    parser.add_argument(
        "--again", type=Path, metavar="FILE", help="judge and draw a stored recording; soak nothing"
    )
    return parser.parse_args()


def measured(chosen: argparse.Namespace) -> Recording:
    with contextlib.ExitStack() as stack:
        endpoint = stack.enter_context(Endpoint())
        redis_url = ""
        if redis_server.is_installed() and not chosen.one_process:
            redis_url = stack.enter_context(redis_server.RedisServer()).url
        return loop.run(soaked(endpoint, redis_url, chosen.minutes * 60, chosen.rate))


def main() -> int:
    chosen = arguments()
    # Whoever stops it means the processes that it started too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    recording = Recording.load(chosen.again) if chosen.again else measured(chosen)
    if chosen.keep:
        recording.store(chosen.keep)
    sections = verdict.judge(recording)
    print(report.text(recording, sections))
    if chosen.write:
        (chosen.write / PICTURE).write_text(pictures.drawn(recording), encoding="utf-8")
        (chosen.write / PAGE).write_text(report.markdown(recording, sections, PICTURE), encoding="utf-8")
    return 0 if verdict.holds(sections) else 1


if __name__ == "__main__":
    sys.exit(main())
