"""Settings that are unsafe, or that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from agentplatform.doctor.examination import Check, Finding, ok, problem, warning
from agentplatform.lib.secrets import encrypt

SHORTEST_KEY = 50
FEWEST_CHARACTERS = 5
LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]"}
NEW_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(50))"'
NEW_FERNET_KEY = 'python -c "import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())"'


def look_at_debug() -> Iterator[Finding]:
    if settings.DEBUG:
        yield problem(
            "DEBUG is on: error pages show settings and code.", "Take DEBUG away, or set it to false."
        )
    else:
        yield ok("DEBUG is off.")


def look_at_keys() -> Iterator[Finding]:
    key = settings.SECRET_KEY
    if len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_CHARACTERS or key.startswith("insecure-"):
        yield problem("SECRET_KEY can be guessed.", f"Set it to what this prints: {NEW_KEY}")
    if any(len(key) < SHORTEST_KEY for key in settings.JWT_SECRET_KEYS):
        yield problem(
            "JWT_SECRET_KEY has a key that can be guessed.", f"Set it to what this prints: {NEW_KEY}"
        )
    try:
        encrypt("a text")
    except ImproperlyConfigured as error:
        yield problem(str(error), f"A new one is printed by: {NEW_FERNET_KEY}")
        return
    if (count := len(settings.FIELD_ENCRYPTION_KEYS)) > 1:
        yield warning(
            f"FIELD_ENCRYPTION_KEYS has {count} keys: one is being rotated.",
            "Run manage.py rotate_secrets, then take the old ones away.",
        )
    yield ok("The keys are there.")


def look_at_hosts() -> Iterator[Finding]:
    hosts = set(settings.ALLOWED_HOSTS)
    if "*" in hosts:
        yield problem(
            "ALLOWED_HOSTS lets every name in, so links in mails can be forged.",
            "Set ALLOWED_HOSTS to the names that the platform is reached at.",
        )
    elif hosts <= LOCAL_HOSTS and not _is_local():
        yield warning(
            "ALLOWED_HOSTS has names of this machine only: requests from elsewhere are refused.",
            "Set ALLOWED_HOSTS to the names that the platform is reached at.",
        )
    else:
        yield ok(f"The platform answers to {', '.join(sorted(hosts))}.")


def look_at_https() -> Iterator[Finding]:
    if _is_local():
        yield ok("This is an installation of one's own machine.")
    elif not settings.HTTPS:
        yield warning(
            "HTTPS is off: passwords, tokens and cookies can be read on the way.",
            "Put a proxy that ends TLS in front, and set HTTPS=true and TRUSTED_PROXIES=1.",
        )
    elif not settings.TRUSTED_PROXIES:
        yield warning(
            "HTTPS is on, and TRUSTED_PROXIES is 0: behind a proxy every request is redirected for ever, and rate"
            " limits take all clients for one.",
            "Set TRUSTED_PROXIES to the number of proxies in front of the web processes.",
        )
    else:
        yield ok(f"HTTPS is on, behind {settings.TRUSTED_PROXIES} proxies.")


def look_at_secrets_file() -> Iterator[Finding]:
    path: Path = settings.DATA_DIR / "secrets.json"
    if path.exists() and (mode := path.stat().st_mode & 0o777) & 0o077:
        yield problem(f"{path} can be read by others (mode {mode:o}).", f"chmod 600 {path}")
    else:
        yield ok("No file with keys can be read by others.")


def _is_local() -> bool:
    return bool(settings.ENVIRONMENT == "local")


CHECKS = (
    Check("settings.debug", look_at_debug),
    Check("settings.keys", look_at_keys),
    Check("settings.hosts", look_at_hosts),
    Check("settings.https", look_at_https),
    Check("settings.secrets_file", look_at_secrets_file),
)
