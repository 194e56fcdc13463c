"""The proxy of deploy/Caddyfile behind another one: whose word on a client's address reaches the platform."""

from __future__ import annotations

import shutil

import httpx
import pytest

from accounts.audit.models import AuditEntry
from tests.deployment.rolling import API, proxy
from tests.processes import web_process

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.external,
    pytest.mark.skipif(not shutil.which("caddy"), reason="needs caddy"),
]
PROXY, OUTER_PROXY, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
CLIENT, INVENTED = "198.51.100.9", "203.0.113.7"


def seen(url: str, connects_from: str, forwarded_for: str) -> str:
    """The client's address, as the platform has it of a request that comes from that address with that header."""
    body = {"username": "nobody", "password": "wrong"}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=connects_from, retries=5)) as client:
        answer = client.post(
            f"{url}{API}/auth/login", json=body, headers={"X-Forwarded-For": forwarded_for}, timeout=30
        )
    assert answer.status_code == 401, answer.text
    return AuditEntry.objects.get(request_id=answer.headers["X-Request-ID"]).address


def test_believes_the_outer_proxy_of_the_clients_address_and_nobody_else():
    with web_process(TRUSTED_PROXIES="2") as web, proxy([web], OUTER_PROXIES=OUTER_PROXY) as url:
        assert seen(url, OUTER_PROXY, CLIENT) == CLIENT
        # What the client has sent itself stands before what the outer proxy says.
        assert seen(url, OUTER_PROXY, f"{INVENTED}, {CLIENT}") == CLIENT
        # Past the outer proxy nobody is believed: all that is known is that it came through this one.
        assert seen(url, STRANGER, f"{INVENTED}, {CLIENT}") == PROXY
