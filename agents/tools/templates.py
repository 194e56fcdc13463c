"""The request templates of `http` tools: `{argument}` placeholders in URL, query, headers and body.

    {"method": "POST", "url": "https://api.example.com/users/{id}/notes", "headers": {"X-Trace": "{trace}"},
     "query": {"limit": "{limit}"}, "body": {"text": "{text}"}}

Values are encoded for where they stand, so an argument can never change the scheme, the host or the path's
shape. A body's string that is one placeholder and nothing else becomes the argument itself, with its type;
one in longer text becomes its text. Query entries, headers and members of the body whose argument was not
given are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urldefrag, urlencode, urlsplit

from agents.tools.base import ToolFault

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
OWN_HEADERS = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
}
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A request that is ready to be sent. `body` is None where there is none."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


def render(request: Mapping[str, Any], arguments: Mapping[str, Any]) -> Rendered:
    """The request that `arguments` make of the template. Raises ToolFault for values that do not fit."""
    body = _fill(request.get("body"), arguments)
    return Rendered(
        method=str(request.get("method", "GET")).upper(),
        url=_with_query(_url(request["url"], arguments), _query(request.get("query") or {}, arguments)),
        headers=dict(_headers(request.get("headers") or {}, arguments)),
        body=None if body is ABSENT else body,
    )


def placeholders(request: Mapping[str, Any]) -> set[str]:
    """The arguments that a template uses."""
    return {name for text in _texts(request) for name in PLACEHOLDER.findall(text)}


def fixed_authority(url: str) -> bool:
    """Whether placeholders stand behind scheme and host only."""
    scheme, _, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return not PLACEHOLDER.search(scheme) and not PLACEHOLDER.search(authority)


def header_fault(name: str) -> str | None:
    """Why a tool cannot set this header, or None."""
    if not HEADER_NAME.match(name):
        return f"{name!r} is not a header name."
    if name.lower() in OWN_HEADERS:
        return f"The header {name!r} is set by the platform itself."
    return None


def _url(template: str, arguments: Mapping[str, Any]) -> str:
    if not fixed_authority(template):
        raise ToolFault("The tool's URL has a placeholder in its scheme or host, which is not allowed.")
    path, mark, query = template.partition("?")

    def in_path(match: re.Match[str]) -> str:
        value = _text(_required(match[1], arguments))
        if not value:
            raise ToolFault(f"The argument {match[1]!r} stands in the URL's path and must not be empty.")
        return quote(value, safe="")

    def in_query(match: re.Match[str]) -> str:
        return quote_plus(_text(_required(match[1], arguments)))

    filled = PLACEHOLDER.sub(in_path, path)
    if {".", ".."} & set(urlsplit(filled).path.split("/")) - set(urlsplit(path).path.split("/")):
        raise ToolFault("An argument must not be a step in the URL's path ('.' or '..').")
    return filled + mark + PLACEHOLDER.sub(in_query, query)


def _with_query(url: str, query: Iterable[tuple[str, str]]) -> str:
    """`url` with these entries behind those that it already has."""
    base = urldefrag(url).url
    entries = urlencode(list(query))
    return f"{base}{'&' if '?' in base else '?'}{entries}" if entries else base


def _headers(templates: Mapping[str, str], arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        value = _fill(template, arguments)
        if value is ABSENT:
            continue
        if CONTROL.search(text := _text(value)):
            raise ToolFault(f"The value of the header {name!r} has a line break or control character in it.")
        yield name, text


def _query(templates: Mapping[str, Any], arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, template in templates.items():
        value = _fill(template, arguments)
        for item in value if isinstance(value, list) else [value]:
            if item is not ABSENT and item is not None:
                yield name, _text(item)


def _fill(template: Any, arguments: Mapping[str, Any]) -> Any:
    """The template with its placeholders filled in; ABSENT where it needs an argument that was not given."""
    if isinstance(template, str):
        return _fill_text(template, arguments)
    if isinstance(template, dict):
        filled = {name: _fill(value, arguments) for name, value in template.items()}
        return {name: value for name, value in filled.items() if value is not ABSENT}
    if isinstance(template, list):
        return [value for item in template if (value := _fill(item, arguments)) is not ABSENT]
    return template


def _fill_text(template: str, arguments: Mapping[str, Any]) -> Any:
    names = PLACEHOLDER.findall(template)
    if any(name not in arguments for name in names):
        return ABSENT
    if len(names) == 1 and template == f"{{{names[0]}}}":
        return arguments[names[0]]
    return PLACEHOLDER.sub(lambda match: _text(arguments[match[1]]), template)


def _required(name: str, arguments: Mapping[str, Any]) -> Any:
    if arguments.get(name) is None:
        raise ToolFault(f"The argument {name!r} is needed for the tool's URL.")
    return arguments[name]


def _text(value: Any) -> str:
    """A value as it stands in a URL, a header or longer text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from _texts(value)
    elif isinstance(template, list):
        for item in template:
            yield from _texts(item)
