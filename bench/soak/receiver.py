"""What the platform calls while it is soaked: the receiver of its webhook, and the service behind a tool."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Self

from bench.platform import HOST
from tests.model_endpoint.server import read_request

ORDER = b'{"state":"shipped"}'


class Receiver:
    """`ended` counts the messages of each run's end; a message that is repeated under its `webhook-id` counts once."""

    def __init__(self) -> None:
        self.ended: Counter[str] = Counter()
        self._seen: set[str] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.url = f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while received := await read_request(reader):
                name = received.headers.get("webhook-id")
                if name and name not in self._seen:
                    self._seen.add(name)
                    self.ended[received.body["data"]["run_id"]] += 1
                body = b"" if name else ORDER
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            return  # the platform has left, or the soak is broken off
        finally:
            writer.close()
