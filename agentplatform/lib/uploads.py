"""How long a request's body may be: where files are uploaded, longer than elsewhere.

    upload_paths[re.compile(r"/api/v1/things/[^/]+/files")] = "THING_MAX_SIZE"

Rooms register their routes, in the one form that paths are routed in, with the setting that limits the file.
"""

from __future__ import annotations

import re

from django.conf import settings

from agentplatform.lib import paths

AROUND = 100_000
"""Bytes of a form around its file."""

upload_paths: dict[re.Pattern[str], str] = {}


def most_bytes(path: str) -> int:
    """For the body of a request to `path`, in whichever form it was sent."""
    return limit_of(path)[0]


def limit_of(path: str) -> tuple[int, str]:
    """The same, with the setting that says it."""
    routed = paths.canonical(path)
    sizes = [
        (getattr(settings, name) + AROUND, name)
        for pattern, name in upload_paths.items()
        if pattern.fullmatch(routed)
    ]
    return max([(settings.MAX_REQUEST_BYTES, "MAX_REQUEST_BYTES"), *sizes])
