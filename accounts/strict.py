"""The Content-Security-Policy of pages all of whose scripts and styles are files of ours."""

from __future__ import annotations

from csp.constants import NONE, SELF

STRICT = {
    "script-src": [SELF],
    "style-src": [SELF],
    "worker-src": [NONE],
    "img-src": [SELF, "blob:", "data:"],
}
