"""Runs the whole platform in one process: web, live streams and worker. This is `make run`."""

from __future__ import annotations

import errno
import signal
import socket
import sys
from argparse import ArgumentParser
from contextlib import closing
from types import FrameType
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from agentplatform.lib.process import tune_process, without_collecting
from agentplatform.migrating import migrate_if_needed

# How long requests in hand may take after Ctrl-C; streams end by themselves before.
GRACEFUL_SHUTDOWN_SECONDS = 10
EVERYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - names of all addresses, not one to bind
ANNOUNCEMENT = """
{name} {version} runs at {url}

  Chat       {url}/
  Admin      {url}/admin/
  API        {url}/api/v1/docs

Ctrl-C stops it."""


class AnnouncedServer(uvicorn.Server):
    """Says where it is as soon as it answers."""

    def __init__(self, config: uvicorn.Config, announcement: str) -> None:
        super().__init__(config)
        self.announcement = announcement

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(self.announcement, flush=True)


class Command(BaseCommand):
    help = "Run the platform in one process: migrations, demo data, web server and worker."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--no-demo", action="store_true", help="do not create the demo workspace")

    def handle(self, *args: object, no_demo: bool, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        # The server does it too, which is too late here: migrations and the demo use pools, and pools have threads.
        tune_process()
        with closing(_bind(settings.HOST, settings.PORT)) as listener:
            with without_collecting():
                migrate_if_needed()
                if not no_demo:
                    call_command("create_demo", stdout=self.stdout)
            connections.close_all()
            self._serve(listener)

    def _serve(self, listener: socket.socket) -> None:
        config = uvicorn.Config(
            "agentplatform.asgi:application",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # The client's address is settled once, by TRUSTED_PROXIES.
            proxy_headers=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        )
        try:
            AnnouncedServer(config, _announcement(settings.HOST, listener.getsockname()[1])).run([listener])
        except OSError as error:
            raise _unusable(settings.HOST, settings.PORT, error) from error


def _bind(host: str, port: int) -> socket.socket:
    """The address to serve at, taken before anything is made, so that a port in use costs no wait."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise _unusable(host, port, error) from error
    return listener


def _unusable(host: str, port: int, error: OSError) -> CommandError:
    if error.errno == errno.EADDRINUSE:
        return CommandError(
            f"Port {port} of {host} is in use. Stop what uses it, or choose another one with PORT."
        )
    return CommandError(f"{host}:{port} cannot be served at: {error.strerror or error}. Set HOST and PORT.")


def _announcement(host: str, port: int) -> str:
    shown = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    return ANNOUNCEMENT.format(name=settings.APP_NAME, version=settings.VERSION, url=url)


def _end(number: int, _: FrameType | None) -> None:
    """Being asked to end is no failure. The server raises its signals again once it has ended by them."""
    sys.exit(0)
