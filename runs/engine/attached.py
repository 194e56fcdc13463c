"""Files of messages, put in right before a model is asked: states, events and logs hold references only."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from typing import Any

from django.core.files.storage import default_storage
from langchain_core.messages import BaseMessage, HumanMessage

from agentplatform.lib.concurrency import in_thread
from agents.specification import ModelSpecification
from runs.conversations.file_types import kind_of, text_of
from runs.engine.messages import ATTACHMENTS
from runs.models import Attachment

MOST_BYTES = 50_000_000
"""In one call; of older messages' files beyond it the model only hears that there were some."""
LONGEST_TEXT = 200_000
"""Characters of a text file that the model gets."""

Json = dict[str, Any]
Files = dict[str, bytes | None]
"""By key; None: it is gone."""


async def with_files(
    messages: Sequence[BaseMessage], session_id: uuid.UUID | None, model: ModelSpecification, kept: Files
) -> list[BaseMessage]:
    """The messages as the model gets them. `kept` is what the attempt has read before."""
    if not any(ATTACHMENTS in message.additional_kwargs for message in messages):
        return list(messages)
    keys = [
        one["key"]
        for message in reversed(messages)
        for one in message.additional_kwargs.get(ATTACHMENTS, ())
        if kind_of(one["media_type"]) in ("text", *model.inputs)
    ]
    if missing := [key for key in dict.fromkeys(keys) if key not in kept]:
        kept |= await in_thread(_read, session_id, missing)
    return [_filled(message, model, kept) for message in messages]


def _read(session_id: uuid.UUID | None, keys: Sequence[str]) -> Files:
    """The newest first, as far as they fit into a call. Raises what the storage raises."""
    rows = {row.key: row for row in Attachment.objects.filter(session_id=session_id)} if session_id else {}
    files: Files = dict.fromkeys(keys)
    left = MOST_BYTES
    for key in keys:
        row = rows.get(key)
        if row is None or row.size > left:
            continue
        left -= row.size
        with default_storage.open(row.stored) as file:
            files[key] = file.read()
    return files


def _filled(message: BaseMessage, model: ModelSpecification, files: Files) -> BaseMessage:
    attached = message.additional_kwargs.get(ATTACHMENTS)
    if not attached:
        return message
    blocks = [_block(one, model, files) for one in attached]
    others = {name: value for name, value in message.additional_kwargs.items() if name != ATTACHMENTS}
    return HumanMessage(
        content=[{"type": "text", "text": message.text}, *blocks], additional_kwargs=others, id=message.id
    )


def _block(one: Json, model: ModelSpecification, files: Files) -> Json:
    kind, content = kind_of(one["media_type"]), files.get(one["key"])
    if kind not in ("text", *model.inputs):
        return _note(one, f"not shown: this model does not take {one['media_type']}")
    if content is None:
        return _note(one, "not available any more, or too large to be shown with the others")
    if kind == "text":
        text = text_of(content)
        cut = "" if len(text) <= LONGEST_TEXT else f"\n[cut after {LONGEST_TEXT} characters]"
        return {
            "type": "text",
            "text": f"[File {one['name']}]\n{text[:LONGEST_TEXT]}{cut}\n[End of the file]",
        }
    block = {
        "type": kind,
        "base64": base64.b64encode(content).decode(),
        "mime_type": one["media_type"],
    }
    return block | {"filename": one["name"]} if kind == "file" else block


def _note(one: Json, said: str) -> Json:
    return {"type": "text", "text": f"[File {one['name']}: {said}]"}
