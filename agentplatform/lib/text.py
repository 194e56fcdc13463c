"""Text that PostgreSQL takes."""

from __future__ import annotations

from typing import Any


def storable(value: Any) -> Any:
    """`value` with NUL characters and lone surrogates in any of its texts made replacement characters."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
