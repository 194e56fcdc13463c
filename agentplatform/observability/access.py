"""Who may read `/metrics`: whoever has the token, whoever asks from an allowed address, superusers. Nobody else."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare

from accounts.authentication import identify_request
from agentplatform.lib.addresses import as_address
from agentplatform.lib.errors import PlatformError

REFUSED = (
    "Metrics are shown to whoever sends METRICS_TOKEN as a bearer token, and to METRICS_ALLOWED_ADDRESSES."
)


def is_known(authorization: str, address: str) -> bool:
    """Whether token or address open it. The database is not asked."""
    scheme, _, token = authorization.partition(" ")
    expected = settings.METRICS_TOKEN
    if expected and scheme.lower() == "bearer" and constant_time_compare(token.strip(), expected):
        return True
    found = as_address(address)
    return found is not None and any(found in network for network in settings.METRICS_ALLOWED_ADDRESSES)


def is_superuser(request: HttpRequest) -> bool:
    """Signed in to a page, or with a token of their own: an API key acts in a workspace, and no further."""
    try:
        identity = identify_request(request)
    except PlatformError:
        return False
    if identity is None or (identity.actor and identity.actor.api_key_id):
        return False
    return identity.user.is_active and identity.user.is_superuser
