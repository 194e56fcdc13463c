"""A server's answer as a tool's result: text for the model, structured content, and references to everything else.

What is no text is not put before the model and not kept: it stands there as `[image, image/png, 12 KB]`, and the
structured content then is `{"structured": …, "text": …, "attachments": [{type, mime_type, size, uri?, name?, text?}]}`
instead of the server's own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from agentplatform.lib.text import storable
from agents.tools.base import RESULT_LIMIT, ToolFault, ToolResult
from agents.tools.blackening import blackened

if TYPE_CHECKING:
    import mcp_types

Attachment = dict[str, Any]


def result_of_answer(answer: mcp_types.CallToolResult, secrets: Collection[str]) -> ToolResult:
    """The tool's result. Raises ToolFault where the server says that it is an error, or where it is too long."""
    parts = [_part(block) for block in answer.content]
    attachments = [attachment for _, attachment in parts if attachment]
    structured = answer.structured_content
    text = "\n".join(text for text, _ in parts)
    if not text and structured is not None:
        text = json.dumps(structured, ensure_ascii=False)
    if answer.is_error:
        raise ToolFault(_clean(text, secrets)[:RESULT_LIMIT] or "The tool failed without saying why.")
    content = structured
    if attachments:
        content = {"structured": structured, "text": text, "attachments": attachments}
    return ToolResult(_clean(_bounded(text), secrets), _clean_content(content, secrets))


def _part(block: mcp_types.ContentBlock) -> tuple[str, Attachment | None]:
    """What the model reads of a block, and the reference to it where it is no text."""
    match block.type:
        case "text":
            return block.text, None
        case "image" | "audio":
            attachment = {"type": block.type, "mime_type": block.mime_type, "size": _decoded(block.data)}
        case "resource_link":
            named = {"uri": str(block.uri), "name": block.name}
            attachment = {"type": "resource", "mime_type": block.mime_type, "size": block.size, **named}
        case "resource":
            attachment = _resource(block.resource)
    return _shown(attachment), attachment


def _resource(
    resource: mcp_types.TextResourceContents | mcp_types.BlobResourceContents,
) -> Attachment:
    head: Attachment = {"type": "resource", "mime_type": resource.mime_type, "uri": str(resource.uri)}
    text = getattr(resource, "text", None)
    if text is None:
        return head | {"size": _decoded(getattr(resource, "blob", ""))}
    return head | {"size": len(text.encode(errors="replace")), "text": text}


def _shown(attachment: Mapping[str, Any]) -> str:
    size = attachment["size"]
    parts = [attachment["type"], attachment.get("uri"), attachment["mime_type"], size and _readable(size)]
    return f"[{', '.join(part for part in parts if part)}]"


def _decoded(base64: str) -> int:
    """Bytes of what is encoded like this."""
    return len(base64.rstrip("=")) * 3 // 4


def _readable(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000 or unit == "MB":
            return f"{size:.0f} {unit}"
        size = round(size / 1000)
    raise AssertionError("unreachable")


def _bounded(text: str) -> str:
    if len(text) > RESULT_LIMIT:
        raise ToolFault(f"The tool's result is longer than {RESULT_LIMIT:,} characters.")
    return text


def _clean(text: str, secrets: Collection[str]) -> str:
    return blackened(str(storable(text)), secrets)


def _clean_content(content: Any, secrets: Collection[str]) -> Any:
    """The same for all texts in it."""
    if content is None:
        return None
    try:
        text = _bounded(json.dumps(storable(content), ensure_ascii=False, allow_nan=False))
        return json.loads(blackened(text, secrets))
    except (ValueError, RecursionError) as error:
        raise ToolFault("The tool's structured result is no JSON that can be kept.") from error
