"""Rules that an MCP server's configuration obeys, whoever writes it.

Every check of a value raises Invalid with an entry per field.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accounts.actor import Actor
from agentplatform.lib.errors import Invalid
from agents.editing import kept_names
from agents.mcp.commands import command_fault, variable_fault
from agents.models import Kind, McpServer, Version
from agents.tools.templates import header_fault
from agents.validation import (
    ASCII_VALUE,
    HEADER_VALUE,
    NOT_ASCII,
    Faults,
    raise_faults,
    same_endpoint,
    url_fault,
)

WRITE_COMMAND = "write:mcp-command"
"""The permission to say which process the platform starts, and how."""
NO_BREAKS = "Remove the line breaks and control characters."
MOST_ARGUMENTS = 100
MOST_NAMES = 50
LONGEST_VALUE = 4_000
OWN_HEADERS = {"accept", "accept-encoding", "content-type", "last-event-id", "mcp-session-id"}
STDIO_FIELDS = ("command", "arguments", "environment")
HTTP_FIELDS = ("url", "headers")


@dataclass(frozen=True, slots=True)
class Connection:
    """How a server is to be reached, secrets aside. Its transport decides which of the parts it has."""

    transport: str
    command: str
    arguments: Sequence[str]
    environment: Mapping[str, Any]
    url: str
    headers: Mapping[str, Any]

    @classmethod
    def of(cls, server: McpServer) -> Connection:
        return cls(
            **{name: getattr(server, name) for name in ("transport", *STDIO_FIELDS, *HTTP_FIELDS)},
        )

    @property
    def is_stdio(self) -> bool:
        return self.transport == McpServer.Transport.STDIO


UNCHANGED: Mapping[str, str | None] = {}


def check_server(
    actor: Actor,
    server: McpServer | None,
    connection: Connection,
    secrets: Mapping[str, str | None] | None = UNCHANGED,
) -> bool:
    """A server as a whole, and whether it is reached otherwise from now on. `server` is the row as it is; None: new.

    `secrets` are new values by name, None removes one, None itself all of them. What is as it was is not judged
    again: a server that may not be reached any more can still be disabled. Raises PermissionDenied, too.
    """
    stored = Connection.of(server) if server else None
    if stored == connection and secrets == UNCHANGED:
        return False
    if connection.is_stdio:
        actor.require(WRITE_COMMAND)
    given = secrets or {}
    kept = kept_names(server.secret_values if server else (), secrets)
    _check_values(given, is_stdio=connection.is_stdio)
    _check_connection(connection, [*kept, *given])
    _check_secrets_kept(stored, connection, kept)
    return True


def _check_connection(connection: Connection, secret_names: Collection[str]) -> None:
    foreign = HTTP_FIELDS if connection.is_stdio else STDIO_FIELDS
    faults: Faults = {
        name: f'Only servers of the transport "{_other(connection)}" have this; leave it out.'
        for name in foreign
        if getattr(connection, name)
    }
    faults |= _stdio_faults(connection) if connection.is_stdio else _http_faults(connection)
    check_name = variable_fault if connection.is_stdio else _header_fault
    faults |= {f"secrets.{name}": fault for name in secret_names if (fault := check_name(name))}
    if len(secret_names) > MOST_NAMES:
        faults["secrets"] = f"At most {MOST_NAMES} secrets."
    raise_faults(faults)


def _check_secrets_kept(stored: Connection | None, connection: Connection, kept: Collection[str]) -> None:
    """A stored secret must not go to another server, or to another command: those in `kept` would, unseen."""
    if stored is None or not kept or stored == connection:
        return
    if connection.is_stdio or stored.is_stdio or not same_endpoint(stored.url, connection.url):
        names = ", ".join(sorted(kept))
        raise Invalid(
            {"secrets": f"It leads to another server or command now: enter {names} again, or null."}
        )


def _check_values(secrets: Mapping[str, str | None], *, is_stdio: bool) -> None:
    allowed, fault = (HEADER_VALUE, NO_BREAKS) if is_stdio else (ASCII_VALUE, NOT_ASCII)
    raise_faults(
        {f"secrets.{name}": fault for name, value in secrets.items() if value and not allowed.match(value)}
    )


def permissions_to_restore(version: Version) -> list[str]:
    """What it takes to make a version of any configuration the current one."""
    is_command = version.kind == Kind.MCP_SERVER and version.data["transport"] == McpServer.Transport.STDIO
    return [f"write:{version.kind}", *([WRITE_COMMAND] if is_command else [])]


def _other(connection: Connection) -> str:
    other = McpServer.Transport.HTTP if connection.is_stdio else McpServer.Transport.STDIO
    return other.value


def _stdio_faults(connection: Connection) -> Faults:
    faults: Faults = {}
    if fault := command_fault(connection.command):
        faults["command"] = fault
    if len(connection.arguments) > MOST_ARGUMENTS or any("\0" in one for one in connection.arguments):
        faults["arguments"] = f"Give at most {MOST_ARGUMENTS} texts without NUL characters."
    return faults | _named_values(connection.environment, "environment", variable_fault)


def _http_faults(connection: Connection) -> Faults:
    faults = _named_values(connection.headers, "headers", _header_fault)
    if not connection.url:
        faults["url"] = "Give the absolute URL, beginning with https:// or http://."
    elif fault := url_fault(connection.url):
        faults["url"] = fault
    return faults


def _header_fault(name: str) -> str | None:
    if name.lower() in OWN_HEADERS:
        return f"The header {name!r} is set by the platform itself."
    return header_fault(name)


def _named_values(values: Any, field: str, check_name: Any) -> Faults:
    if not isinstance(values, Mapping) or len(values) > MOST_NAMES:
        return {field: f"Give an object of at most {MOST_NAMES} names and values."}
    faults = {f"{field}.{name}": fault for name in values if (fault := check_name(name))}
    for name, value in values.items():
        if not isinstance(value, str) or len(value) > LONGEST_VALUE or not HEADER_VALUE.match(value):
            faults[f"{field}.{name}"] = (
                f"Give a text of at most {LONGEST_VALUE:,} characters without line breaks."
            )
        elif field == "headers" and not ASCII_VALUE.match(value):
            faults[f"{field}.{name}"] = NOT_ASCII
    return faults
