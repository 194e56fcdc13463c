"""Rules that models, tools and agents obey, whoever writes them: the API, the admin, a file.

Every check raises Invalid with an entry per field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from agentplatform.lib.addresses import OutboundRefused, check_url
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import as_uuid
from agents.models import ChatModel, Tool
from agents.providers.base import find, own_endpoints, parameter_faults
from agents.tools import functions
from agents.tools.base import MOST_LEVELS, is_too_deep
from agents.tools.schemas import schema_fault
from agents.tools.templates import METHODS, fixed_authority, header_fault, placeholders

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
REQUEST_FIELDS = {"method", "url", "headers", "query", "body"}
MAX_REQUEST = 64_000
MAX_HEADERS = 50
HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]*\Z")

Faults = dict[str, str]

BOUNDS: dict[str, tuple[int, int]] = {
    "max_steps": (1, 500),
    "temperature": (0, 2),
    "max_tokens": (1, 1_000_000),
    "timeout": (1, 3600),
    "retries": (0, 10),
    "memory_window": (1, 1000),
}
"""The least and the most of an agent's limits."""


def check_bounds(limits: Mapping[str, float]) -> None:
    """An agent's limits, by their names in BOUNDS."""
    wrong = {
        name: BOUNDS[name]
        for name, value in limits.items()
        if not BOUNDS[name][0] <= value <= BOUNDS[name][1]
    }
    _raise({name: f"Use a number from {least} to {most}." for name, (least, most) in wrong.items()})


def check_model(provider: str, base_url: str, parameters: Mapping[str, Any]) -> None:
    """A model's endpoint and default parameters."""
    faults: Faults = {}
    if base_url and not find(provider).takes_url:
        faults["base_url"] = f"The provider {provider!r} has no endpoint; leave base_url empty."
    elif base_url and (fault := url_fault(base_url, own_endpoints())):
        faults["base_url"] = fault
    if is_too_deep(parameters):
        faults["parameters"] = f"The parameters are nested more than {MOST_LEVELS} levels deep."
    elif found := parameter_faults(provider, parameters):
        known = ", ".join(find(provider).parameters)
        faults["parameters"] = f"{'; '.join(found)}. The parameters of {provider!r} are: {known}."
    _raise(faults)


def check_tool(
    kind: str, function: str, request: Mapping[str, Any], schema: Any, header_names: list[str] | None = None
) -> None:
    """A tool as a whole: its kind decides which of its parts are used."""
    faults: Faults = {}
    if fault := schema_fault(schema):
        faults["arguments_schema"] = fault
    if kind == Tool.ToolKind.FUNCTION:
        faults |= _function_faults(function, request, header_names or [])
    else:
        faults |= _request_faults(function, request)
        faults |= {} if faults else _placeholder_faults(request, schema)
    faults |= {
        f"secret_headers.{name}": fault for name in header_names or [] if (fault := header_fault(name))
    }
    _raise(faults)


def check_name(name: str) -> None:
    """Objects are found by id or name, so a name must not read as an id."""
    if as_uuid(name):
        raise Invalid({"name": "This reads as an id. Choose a name that does not."})


def check_tool_name(name: str) -> None:
    """Providers take fewer characters in a tool's name than the platform does in others."""
    if not TOOL_NAME.match(name):
        raise Invalid(
            {"name": "Use 1 to 64 letters, digits, underscores and hyphens; models accept no others."}
        )


def check_secret_value(field: str, value: str) -> None:
    """A secret travels in an HTTP header."""
    if not HEADER_VALUE.match(value):
        raise Invalid({field: "Remove the line breaks and control characters; it is sent as an HTTP header."})


def same_endpoint(old: str, new: str) -> bool:
    """Whether two URLs lead to the same server. A secret is kept only as long as they do."""
    before, after = urlsplit(old), urlsplit(new)
    return (before.scheme, before.netloc.lower()) == (after.scheme, after.netloc.lower())


def check_endpoint_kept(model: ChatModel | None, provider: str, base_url: str, *, gets_key: bool) -> None:
    """A stored key must not be sent to another server than the one it was entered for."""
    if model is None or model.secret_id is None or gets_key:
        return
    if model.provider != provider or not same_endpoint(model.base_url, base_url):
        raise Invalid(
            {"api_key": "The endpoint changes: enter the API key again, or send null to remove it."}
        )


def check_headers_kept(tool: Tool | None, request: Mapping[str, Any], kept: list[str]) -> None:
    """The same for the secret headers of a tool: those in `kept` would go to the new URL unseen."""
    if tool is None or not kept or same_endpoint(tool.request.get("url", ""), request.get("url", "")):
        return
    raise Invalid(
        {"secret_headers": f"The URL leads to another server: enter {', '.join(kept)} again, or null."}
    )


def url_fault(url: str, also_allowed: tuple[str, ...] = ()) -> str | None:
    try:
        check_url(url, also_allowed)
    except OutboundRefused as error:
        return str(error)
    return None


def _function_faults(function: str, request: Mapping[str, Any], header_names: list[str]) -> Faults:
    faults: Faults = {}
    if function not in functions.registry:
        faults["function"] = (
            f"There is no function {function!r}. There are: {', '.join(sorted(functions.registry))}."
        )
    if request:
        faults["request"] = 'Only tools of kind "http" have a request; leave it out.'
    if header_names:
        faults |= {"secret_headers": 'Only tools of kind "http" send headers; leave them out.'}
    return faults


def _request_faults(function: str, request: Mapping[str, Any]) -> Faults:
    faults: Faults = {}
    if function:
        faults["function"] = 'Only tools of kind "function" have a function; leave it out.'
    if unknown := sorted(set(request) - REQUEST_FIELDS):
        faults["request"] = (
            f"Unknown: {', '.join(unknown)}. A request has {', '.join(sorted(REQUEST_FIELDS))}."
        )
    if is_too_deep(request):
        return {"request": f"The request is nested more than {MOST_LEVELS} levels deep."}
    if len(json.dumps(request)) > MAX_REQUEST:
        faults["request"] = f"The request is longer than {MAX_REQUEST:,} characters."
    if request.get("method", "GET") not in METHODS:
        faults["request.method"] = f"Use one of {', '.join(METHODS)}."
    if fault := _template_url_fault(request.get("url")):
        faults["request.url"] = fault
    faults |= _header_faults(request.get("headers", {}))
    query = request.get("query", {})
    if not isinstance(query, dict) or any(isinstance(value, dict) for value in query.values()):
        faults["request.query"] = "Give an object of names and values."
    return faults


def _template_url_fault(url: Any) -> str | None:
    if not isinstance(url, str) or not url:
        return "Give the absolute URL, beginning with https:// or http://."
    if not fixed_authority(url):
        return "Placeholders may stand in the path and the query only, not in the scheme or the host."
    return url_fault(url)


def _header_faults(headers: Any) -> Faults:
    if not isinstance(headers, dict) or len(headers) > MAX_HEADERS:
        return {"request.headers": f"Give an object of at most {MAX_HEADERS} names and values."}
    faults = {f"request.headers.{name}": fault for name in headers if (fault := header_fault(name))}
    for name, value in headers.items():
        if not isinstance(value, str) or not HEADER_VALUE.match(value):
            faults[f"request.headers.{name}"] = "Give a string without line breaks."
    return faults


def _placeholder_faults(request: Mapping[str, Any], schema: Any) -> Faults:
    known = schema.get("properties", {}) if isinstance(schema, dict) else {}
    if unknown := sorted(placeholders(request) - set(known)):
        names = ", ".join(f"{{{name}}}" for name in unknown)
        return {
            "request": f"{names}: describe it under properties in arguments_schema, for the model to know it."
        }
    return {}


def _raise(faults: Faults) -> None:
    if faults:
        raise Invalid(faults)


def check_approval(required: bool) -> None:
    """Raises Invalid for a tool that is to wait for a person: a promise that runs can't keep yet must not be made."""
    if required:
        raise Invalid(
            {
                "requires_approval": "Approvals are not available yet. Leave it false, or keep the tool disabled."
            }
        )
