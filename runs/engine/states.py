"""What stands in a checkpoint. The only reading of LangGraph's values outside of a running graph."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from agents.workflows import state as workflow_state
from runs.engine.messages import as_json
from runs.models import Checkpoint, CheckpointBlob

MESSAGES = "messages"
EMPTY = "empty"
"""The type of a channel's value that is none."""


def strict_serializer() -> JsonPlusSerializer:
    """Reads and writes a strict allow-list of types: reading a checkpoint never runs code."""
    return JsonPlusSerializer(allowed_msgpack_modules=None)


def messages_in(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The messages of a state, as `as_json` shows them; none in the state of a graph without any."""
    place = {"thread_id": checkpoint.thread_id, "namespace": checkpoint.namespace}
    version = str(checkpoint.checkpoint["channel_versions"].get(MESSAGES))
    row = CheckpointBlob.objects.filter(**place, channel=MESSAGES, version=version).first()
    if row is None or row.type == EMPTY:
        return []
    return [as_json(message) for message in strict_serializer().loads_typed((row.type, bytes(row.blob)))]


def channels_in(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a workflow's state holds, by the names of `agents.workflows.state`: its fields, and what it has come to."""
    names = [name for name in checkpoint.checkpoint["channel_versions"] if _is_shown(name)]
    inline = checkpoint.checkpoint["channel_values"]
    return {name: inline[name] for name in names if name in inline} | _blobs(checkpoint, names)


def _is_shown(channel: str) -> bool:
    return channel == workflow_state.OUTPUT or channel.startswith(workflow_state.FIELD)


def _blobs(checkpoint: Checkpoint, channels: list[str]) -> dict[str, Any]:
    versions = {channel: str(checkpoint.checkpoint["channel_versions"][channel]) for channel in channels}
    rows = CheckpointBlob.objects.filter(
        thread_id=checkpoint.thread_id,
        namespace=checkpoint.namespace,
        channel__in=channels,
        version__in=versions.values(),
    ).exclude(type=EMPTY)
    serializer = strict_serializer()
    return {
        row.channel: serializer.loads_typed((row.type, bytes(row.blob)))
        for row in rows
        if row.version == versions[row.channel]
    }
