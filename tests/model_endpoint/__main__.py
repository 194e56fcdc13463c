"""The endpoint in a process of its own: prints its base URL as the first line, serves until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from tests.model_endpoint.replies import Defaults
from tests.model_endpoint.server import ModelServer


async def serve(arguments: argparse.Namespace) -> None:
    server = ModelServer(Defaults(arguments.tokens, arguments.delay_ms))
    await server.start(arguments.port)
    print(server.base_url, flush=True)
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.model_endpoint", description="A fake model endpoint.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--delay-ms", type=float, default=0.0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
