"""Takes secrets out of what a tool's endpoint answers: many quote what they were sent."""

from __future__ import annotations

import json
from collections.abc import Collection

SHORTEST_CREDENTIAL = 8
"""Characters. What is shorter would be found in words that are no secret."""


def blackened(text: str, secrets: Collection[str]) -> str:
    """`text` with every form of the secrets that it quotes replaced by ***."""
    for form in sorted(_forms(secrets), key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def _forms(secrets: Collection[str]) -> set[str]:
    """What of the secrets an answer may quote: all or, without the scheme, the credential; plain or in JSON."""
    credentials = {secret.partition(" ")[2] for secret in secrets}
    quoted = {*filter(None, secrets), *(text for text in credentials if len(text) >= SHORTEST_CREDENTIAL)}
    return {form for text in quoted for form in (text, json.dumps(text)[1:-1], _json_in_utf8(text))}


def _json_in_utf8(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
