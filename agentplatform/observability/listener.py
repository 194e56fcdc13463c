"""`GET /metrics` of a worker, which serves nothing else: a small server on threads of its own, at METRICS_PORT."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from agentplatform.observability import access
from agentplatform.observability.exposition import render

# Whoever sends or reads more slowly is cut off.
PATIENCE_SECONDS = 5.0
PATH = "/metrics"


class Handler(BaseHTTPRequestHandler):
    """One request to a connection."""

    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        if urlsplit(self.path).path.rstrip("/") != PATH:
            self._answer(HTTPStatus.NOT_FOUND, f"There is only {PATH}.".encode())
        elif not access.is_known(self.headers.get("Authorization", ""), self.client_address[0]):
            self._answer(HTTPStatus.UNAUTHORIZED, access.REFUSED.encode())
        else:
            self._answer(HTTPStatus.OK, *render(self.headers.get("Accept", "")))

    def _answer(
        self, status: HTTPStatus, text: bytes, content_type: str = "text/plain; charset=utf-8"
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        if status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(text)

    def version_string(self) -> str:
        return "agentplatform"

    def log_message(self, format: str, *args: object) -> None:
        """What asks every few seconds is not worth a line each time."""


class Server(ThreadingTCPServer):
    """Not `HTTPServer`, which asks for the name of its own address and may wait for that."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)


@contextmanager
def listening(host: str, port: int) -> Iterator[int]:
    """Serves until the block ends; answers the port. Raises ImproperlyConfigured where it can't be taken."""
    try:
        server = Server(host, port)
    except OSError as error:
        raise ImproperlyConfigured(
            f"Metrics can't be served at {host}:{port}: {error.strerror or error}. Set METRICS_HOST and METRICS_PORT."
        ) from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
