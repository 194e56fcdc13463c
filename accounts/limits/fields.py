"""The header fields `RateLimit-Policy` and `RateLimit`, by draft-ietf-httpapi-ratelimit-headers-10.

    RateLimit-Policy: "user";q=600;w=60, "user-open";q=20;qu="concurrent-requests"
    RateLimit: "user";r=599;t=41, "user-open";r=19

Lists of structured fields (RFC 9651): the policy's name; `q` what it allows, `w` in how many seconds, `qu` of what, if
not of requests; `r` what remains, `t` the seconds until it begins anew.
"""

from __future__ import annotations

import math

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.limits.admission import Limited


def add_fields(request: HttpRequest, response: HttpResponseBase) -> None:
    """Puts them on an answer, refused or not, where the request was counted."""
    limited: Limited | None = getattr(request, "limited", None)
    if limited is None or not (limited.uses or limited.open_uses):
        return
    response.headers["RateLimit-Policy"] = ", ".join(
        [f'"{use.policy.name}";q={use.policy.rate.uses};w={use.policy.rate.seconds}' for use in limited.uses]
        + [
            f'"{use.policy.name}";q={use.policy.maximum};qu="concurrent-requests"'
            for use in limited.open_uses
        ]
    )
    response.headers["RateLimit"] = ", ".join(
        [f'"{use.policy.name}";r={use.remaining};t={math.ceil(use.reset)}' for use in limited.uses]
        + [f'"{use.policy.name}";r={use.remaining}' for use in limited.open_uses]
    )
