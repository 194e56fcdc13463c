"""The address of Redis with the certificates that a connection under TLS needs: whatever connects takes a URL."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured


def with_certificates(url: str, *, ca: str = "", certificate: str = "", key: str = "") -> str:
    """`rediss://…` with the paths of a CA's certificate and of the client's own; unchanged without any.

    Raises ImproperlyConfigured where they would be of no use: they promise what would not be.
    """
    named = {"ssl_ca_certs": ca, "ssl_certfile": certificate, "ssl_keyfile": key}
    given = {name: path for name, path in named.items() if path}
    if not given:
        return url
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        raise ImproperlyConfigured(
            "REDIS_CA_FILE, REDIS_CERT_FILE and REDIS_KEY_FILE need a REDIS_URL that begins with rediss://."
        )
    if bool(certificate) != bool(key):
        raise ImproperlyConfigured("REDIS_CERT_FILE and REDIS_KEY_FILE belong together; set both or neither.")
    query = "&".join(part for part in (parts.query, urlencode(given)) if part)
    return urlunsplit(parts._replace(query=query))
