"""What a server offers, compared with the tools that have been imported from it; and importing them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import timezone

from accounts.actor import Actor
from agentplatform.lib.errors import InvalidConfig, PlatformError
from agentplatform.lib.text import storable
from agents import editing, tool_rules, validation
from agents.mcp import pool
from agents.mcp.faults import McpFault
from agents.models import McpServer, Tool
from agents.pinned import parse_mcp_server, secret_values
from agents.tools.base import ToolFault
from agents.tools.mcp import values_of
from agents.trials import release_connection
from agents.versions import lock

if TYPE_CHECKING:
    from agents.mcp.sessions import Session

MOST_CHARACTERS = 2_000_000
"""Of all that a server lists."""
LONGEST_DESCRIPTION = 2_000
LONGEST_NAME = 200
UNUSABLE = re.compile(r"[^A-Za-z0-9_-]")

Offer = dict[str, Any]
"""A tool as its server lists it: {name, title, description, input_schema, annotations}."""


@dataclass
class Discovery:
    """What was found; tools stand in it by their names at the server. With an `error`, nothing was."""

    latency_ms: float = 0.0
    error: str = ""
    server_info: dict[str, str] = field(default_factory=dict)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    """Imported before, and not at the server any more. They are never deleted here."""
    imported: dict[str, str] = field(default_factory=dict)
    """Tools that were created or changed: name at the server → name here."""
    refused: dict[str, str] = field(default_factory=dict)
    """Tools that could not be imported, and why."""


def discover(
    server: McpServer, actor: Actor | None, wanted: Collection[str] | None = (), prefix: str = ""
) -> Discovery:
    """Connects to the server as it is now, stores what it offers and how it went, and imports what is `wanted`.

    `wanted` are names of tools at the server; None: all. What is new becomes a tool named `prefix` and its own name;
    what is there gets the server's schema and description. Raises InvalidConfig where it was never saved.
    """
    discovery, started = Discovery(), time.perf_counter()
    try:
        discovery.server_info, offers = _offered(server)
    except (McpFault, ToolFault) as fault:
        discovery.error = fault.message
        offers = []
    discovery.latency_ms = round((time.perf_counter() - started) * 1000, 1)
    _store(server, discovery, offers)
    if not discovery.error:
        _compare(server, offers, discovery)
        chosen = [offer for offer in offers if wanted is None or offer["name"] in wanted]
        _import(server, actor, chosen, prefix, discovery)
        missing = set(wanted or ()) - {offer["name"] for offer in offers}
        discovery.refused |= dict.fromkeys(sorted(missing), "The server has no tool of this name.")
    return discovery


def _offered(server: McpServer) -> tuple[dict[str, str], list[Offer]]:
    if server.version is None:
        raise InvalidConfig(f"{server.name!r} has no version yet. Save it once.")
    spec = parse_mcp_server(server.version)
    secrets = values_of(spec, secret_values(server.workspace_id, spec.secrets.values()))
    release_connection()
    information, offers = async_to_sync(pool.once)(spec, secrets, _read)
    if len(json.dumps(offers)) > MOST_CHARACTERS:
        raise McpFault(f"The MCP server lists more than {MOST_CHARACTERS:,} characters of tools.")
    return information, offers


def _read(session: Session) -> tuple[dict[str, str], list[Offer]]:
    """What an open session knows. Raises McpFault where its server lists no tools, or such that cannot be kept."""
    if isinstance(session.tools, McpFault):
        raise session.tools
    found = storable([session.information, [_offer(tool) for tool in session.tools]])
    try:
        text = json.dumps(found, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise McpFault(
            "The MCP server lists tools with numbers that JSON does not have: NaN or Infinity."
        ) from error
    information, offers = json.loads(session.clean(text))
    return information, offers


def _offer(tool: Any) -> Offer:
    hints = tool.annotations.model_dump(exclude_none=True) if tool.annotations else {}
    return {
        "name": tool.name,
        "title": tool.title or hints.get("title", ""),
        "description": tool.description or "",
        "input_schema": tool.input_schema,
        "annotations": hints,
    }


def _store(server: McpServer, discovery: Discovery, offers: list[Offer]) -> None:
    """A try that fails leaves what was discovered before."""
    values: dict[str, Any] = {"checked_at": timezone.now(), "health_message": storable(discovery.error)}
    if discovery.error:
        values["health"] = McpServer.Health.FAILING
    else:
        values |= {
            "health": McpServer.Health.HEALTHY,
            "server_info": discovery.server_info,
            "discovered": offers,
        }
    McpServer.objects.filter(pk=server.pk).update(**values)


# --- what has been imported ---


def _compare(server: McpServer, offers: Iterable[Offer], discovery: Discovery) -> None:
    imported = {tool.mcp_tool: tool for tool in server.tools.order_by("name")}
    for offer in offers:
        tool = imported.pop(offer["name"], None)
        if tool is None:
            discovery.new.append(offer["name"])
        elif _differences(tool, offer):
            discovery.changed.append(offer["name"])
        else:
            discovery.unchanged.append(offer["name"])
    discovery.gone = sorted(imported)


def _differences(tool: Tool, offer: Offer) -> dict[str, Any]:
    """The attributes that importing would change."""
    described = {"description": _description(offer), "arguments_schema": offer["input_schema"]}
    return {name: value for name, value in described.items() if getattr(tool, name) != value}


def _description(offer: Offer) -> str:
    return str(offer["description"] or offer["title"]).strip()[:LONGEST_DESCRIPTION]


def _import(
    server: McpServer, actor: Actor | None, offers: list[Offer], prefix: str, discovery: Discovery
) -> None:
    """Each tool by itself: one that is refused does not keep the others out."""
    for offer in offers:
        try:
            with transaction.atomic():
                if name := _import_one(server, actor, offer, prefix):
                    discovery.imported[offer["name"]] = name
        except PlatformError as error:
            discovery.refused[offer["name"]] = _reasons(error)


def _import_one(server: McpServer, actor: Actor | None, offer: Offer, prefix: str) -> str | None:
    """The name of the tool that was created or changed; None: there was nothing to change."""
    lock(server)
    _check(server, offer)
    imported = list(server.tools.filter(mcp_tool=offer["name"]).order_by("name"))
    if not imported:
        return editing.save(Tool(workspace_id=server.workspace_id), actor, _new(server, offer, prefix)).name
    changed = [tool for tool in imported if _differences(tool, offer)]
    for tool in changed:
        editing.save(lock(tool), actor, _differences(tool, offer))
    return changed[0].name if changed else None


def _new(server: McpServer, offer: Offer, prefix: str) -> dict[str, Any]:
    """A new tool's attributes. What its server says to change nothing may be called again after a crash."""
    name, hints = UNUSABLE.sub("_", prefix + offer["name"])[:64], offer["annotations"]
    tool_rules.check_tool_name(name)
    validation.check_name(name)
    return {
        "name": name,
        "tool_kind": Tool.ToolKind.MCP,
        "mcp_server": server,
        "mcp_tool": offer["name"],
        "description": _description(offer),
        "arguments_schema": offer["input_schema"],
        "timeout_seconds": server.timeout_seconds,
        "idempotent": bool(hints.get("read_only_hint") or hints.get("idempotent_hint")),
    }


def _check(server: McpServer, offer: Offer) -> None:
    if len(offer["name"]) > LONGEST_NAME:
        raise InvalidConfig(f"Its name is longer than {LONGEST_NAME} characters.")
    tool_rules.check_tool(
        tool_rules.ToolParts(
            kind=Tool.ToolKind.MCP,
            function="",
            request={},
            header_names=(),
            arguments_schema=offer["input_schema"],
            agent=None,
            mcp_server=server,
            mcp_tool=offer["name"],
        )
    )


def _reasons(error: PlatformError) -> str:
    """In one line, for whoever imports a whole list."""
    details = [entry["message"] for entry in error.details] if isinstance(error.details, list) else []
    return " ".join(details) or error.message
