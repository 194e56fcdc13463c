"""Tools of kind `http`: one request to an address that was checked, one bounded answer."""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import httpx2
from django.conf import settings

from agentplatform.lib import outbound
from agentplatform.lib.addresses import OutboundRefused, check_url
from agents.specification import ToolSpecification
from agents.tools.base import ToolFault, ToolResult
from agents.tools.blackening import blackened
from agents.tools.templates import CONTROL, Rendered, render

RESPONSE_LIMIT = 1_000_000
"""Bytes of an answer that are read."""
QUOTED = 500
"""Characters of a failed answer that are shown."""
RETRYABLE = {408, 425, 429, 500, 502, 503, 504}


async def call_http(
    spec: ToolSpecification, arguments: Mapping[str, Any], secrets: Mapping[uuid.UUID, str], key: str = ""
) -> ToolResult:
    """Sends the tool's request. Raises ToolFault for every failure, answers other than 2xx included.

    A `key` goes along as Idempotency-Key. Values of secrets that the answer quotes are blackened.
    """
    hidden = {name: _secret(secrets, name, secret) for name, secret in spec.secret_headers.items()}
    request = render(spec.request, arguments)
    try:
        check_url(request.url)
        async with _client().stream(
            request.method,
            request.url,
            headers=_headers(request, hidden, key),
            content=_content(request),
            timeout=outbound.timeouts(spec.timeout_seconds),
        ) as response:
            body = await outbound.read_limited(response, RESPONSE_LIMIT)
    except OutboundRefused as error:
        raise ToolFault(str(error)) from error
    except outbound.ResponseTooLarge as error:
        raise ToolFault(str(error)) from error
    except httpx2.InvalidURL as error:
        raise ToolFault("The tool's URL is not valid with these arguments.") from error
    except httpx2.TimeoutException as error:
        raise ToolFault("The tool's endpoint did not answer in time.", retryable=True) from error
    except httpx2.HTTPError as error:
        raise ToolFault(
            "The tool's endpoint cannot be reached, or broke off its answer.", retryable=True
        ) from error
    return _result(response, body, hidden.values())


@functools.cache
def _client() -> httpx2.AsyncClient:
    headers = {
        "User-Agent": f"{settings.APP_NAME}/{settings.VERSION}",
        "Accept": "application/json, text/*;q=0.9, */*;q=0.5",
    }
    return outbound.async_client(settings.AGENT_TIMEOUT_SECONDS, headers=headers)


def _secret(secrets: Mapping[uuid.UUID, str], name: str, secret: uuid.UUID) -> str:
    if secret not in secrets:
        raise ToolFault(f"The secret of the header {name!r} does not exist any more. Set it again.")
    return secrets[secret]


def _headers(request: Rendered, hidden: Mapping[str, str], key: str) -> dict[bytes, bytes]:
    """Whatever their spelling, each header is sent once: a secret one goes over the template's."""
    own = {"Content-Type": "application/json"} if request.body is not None else {}
    keyed = {"Idempotency-Key": key} if key else {}
    headers = {
        name.lower(): value for name, value in [*own.items(), *request.headers.items(), *hidden.items()]
    }
    return {name.lower().encode(): value.encode() for name, value in [*headers.items(), *keyed.items()]}


def _content(request: Rendered) -> bytes | None:
    """JSON, unless the template names another content type for a text."""
    if request.body is None:
        return None
    kinds = [value for name, value in request.headers.items() if name.lower() == "content-type"]
    if isinstance(request.body, str) and kinds and "json" not in kinds[0]:
        return request.body.encode()
    return json.dumps(request.body, ensure_ascii=False).encode()


def _result(response: httpx2.Response, body: bytes, secrets: Collection[str]) -> ToolResult:
    text = blackened(body.decode(response.charset_encoding or "utf-8", errors="replace"), secrets)
    if not response.is_success:
        hint = " Redirects are not followed." if response.is_redirect else ""
        said = CONTROL.sub(" ", text[:QUOTED]).strip()
        message = f"The tool's endpoint answered HTTP {response.status_code}.{hint} {said}".strip()
        raise ToolFault(message, retryable=response.status_code in RETRYABLE)
    if "\0" in text:
        raise ToolFault("The tool's endpoint answered something that is neither JSON nor text.")
    return ToolResult(text, _json(text) if "json" in response.headers.get("Content-Type", "") else None)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ToolFault("The tool's endpoint says that it answers JSON, and does not.") from error
