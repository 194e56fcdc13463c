"""A fake OpenAI-compatible model endpoint that speaks the real protocol over a real socket.

    python -m tests.model_endpoint --port 0 --tokens 20 --delay-ms 0    its base URL is the first line printed

    with ModelEndpoint() as endpoint:                                    in a thread with its own event loop
        ChatOpenAI(base_url=endpoint.base_url, model="text-5", api_key="sk-any")

It serves `POST /v1/chat/completions`, as server-sent events (with usage where `stream_options.include_usage`
asks for it) or as one document, and `GET /v1/models`. The request's model name says how it is answered, so
one endpoint serves every test:

    text, text-N, text-N-MS     N tokens "word0 word1 …", MS milliseconds apart (else --tokens, --delay-ms)
    slow, slow-MS, slow-N-MS    the same, 100 ms apart unless said otherwise; also before tool calls
    clock-N-MS                  N tokens "<index>@<ns>|", the time (CLOCK_MONOTONIC) at which each was due
    echo                        the last user message, word by word
    reasoning, reasoning-N      text with reasoning content; usage has reasoning and cached tokens
    audio, audio-N              the same, and usage has audio tokens in and out too
    no-usage, no-usage-N        text without any usage
    length, length-N            text that ends with finish_reason "length"
    tool                        a call of the first offered tool with arguments that fit its schema, then
                                "The tool said: <result>"
    loop                        the same call again and again, however many results there are
    call-NAME                   a call of the offered tool NAME without arguments, however many results there are
    unknown-tool                a call of a tool that was not offered
    bad-arguments               a call of the first offered tool whose arguments are no JSON
    error-STATUS                400 (context length exceeded), 401 (quotes the key), 403, 404, 500; 429
                                and 503 with Retry-After: 1
    cut, cut-N, cut-N-MS        half of the text, then the connection is closed
    stall, stall-N              half of the text, then silence until the client leaves
    hang                        not a byte until the client leaves
    garbage                     an event stream whose data is broken JSON
    garbage-shape, garbage-html an event stream whose data is JSON of another shape; a web page
    fail-once-X, fail-K-X       the first request (the first K) with this model name and user message is
                                answered by behaviour X, or by error X where X is a status; the next by `text`

`POST /v1/embeddings` answers vectors, out of order, in which each word counts in one dimension and as one token:

    embed-N                     vectors of N dimensions (else 8, or `dimensions` of the request)
    embed-N-no-usage            without usage
    embed-N-short               one vector too few

and `error-STATUS`, `garbage…`, `hang` and `fail-…` as above.

Whatever the name, errors apart, each line `call NAME {"json": "arguments"}` of the last user message becomes
a tool call, if the request offers that tool and holds no result yet; `call NAME {…} as ID` gives it that id. An unknown
name is answered like `text`.
`ModelEndpoint.script("error-429", "text-3")` answers the next requests by these behaviours before all that, and
`ModelEndpoint.say("You translate", "Hallo", "Welt")` every request that has this text by the next of these answers.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Self

from tests.model_endpoint.replies import Defaults
from tests.model_endpoint.server import ModelServer, Received

__all__ = ["ModelEndpoint", "Received"]


class ModelEndpoint:
    """The endpoint for tests: a context manager that serves from a thread of its own."""

    def __init__(self, *, tokens: int = 20, delay_ms: float = 0.0, api_key: str | None = None) -> None:
        self._server = ModelServer(Defaults(tokens, delay_ms), api_key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="model-endpoint", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    @property
    def base_url(self) -> str:
        """Ends with `/v1`, as `OPENAI_BASE_URL` does."""
        return self._server.base_url

    @property
    def requests(self) -> list[Received]:
        """The completions asked for so far, oldest first."""
        return list(self._server.requests)

    def script(self, *behaviours: str) -> None:
        """Answers the next requests by these behaviours, in order, whatever their model name."""
        self._server.scripted.extend(behaviours)

    def say(self, part: str, *answers: str) -> None:
        """Answers requests that have `part` in any message by these texts, in order, the last of them ever again."""
        self._server.said[part] = deque(answers)

    def reset(self) -> None:
        """Forgets requests, scripted behaviours, answers and counted attempts."""
        self._server.said.clear()
        self._server.requests.clear()
        self._server.scripted.clear()
        self._server.attempts.clear()
