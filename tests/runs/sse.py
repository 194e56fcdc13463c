"""Reading server-sent events in tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx


class Frame(NamedTuple):
    """One frame; `id` is 0 and `event` empty where the server has sent none."""

    id: int
    event: str
    data: dict[str, Any]


def frames(response: httpx.Response) -> Iterator[Frame]:
    """The frames that hold data, as they come."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield Frame(int(fields.get("id", 0)), fields.get("event", ""), json.loads(fields["data"]))
            fields = {}


def stream(client: httpx.Client, method: str, path: str, **options: Any) -> list[Frame]:
    """All frames of a stream, from its beginning to its end."""
    with client.stream(method, path, **options) as response:
        assert response.status_code == 200, response.read()
        return list(frames(response))
