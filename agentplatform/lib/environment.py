"""Settings from the environment. What cannot be used raises ImproperlyConfigured, naming the setting and the remedy."""

from __future__ import annotations

import ipaddress
import os
import re
from importlib.util import find_spec
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

KINDS = {int: "a whole number", bool: "true or false", float: "a number"}


class Environment(environ.Env):
    """Reads typed settings by their names."""

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        try:
            return super().get_value(var, cast, default, parse_default)
        except ValueError as error:
            kind = KINDS.get(cast, "a valid value")
            raise ImproperlyConfigured(f"{var} must be {kind}, not {os.environ.get(var)!r}.") from error

    def secret(self, name: str, insecure: str) -> str:
        """With DEBUG on a fixed insecure value stands in where it is not set, otherwise that is an error."""
        if value := self.str(name, default=""):
            return str(value)
        if self.bool("DEBUG", default=False):
            return insecure
        raise ImproperlyConfigured(
            f"{name} is not set. Set it in the environment or in .env to a long random value (python -c"
            ' "import secrets; print(secrets.token_urlsafe(50))"), or set DEBUG=true on a machine of your own.'
        )

    def keys(self, name: str) -> list[str]:
        """Secrets with commas between: the first one is used to write, the others only to read, so that keys can be
        rotated.
        """
        return split_keys(self.str(name, default=""))

    def networks(self, name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Addresses and networks, as `10.0.0.7` and `10.1.0.0/16`."""
        try:
            return [ipaddress.ip_network(entry.strip()) for entry in self.list(name, default=[])]
        except ValueError as error:
            raise ImproperlyConfigured(f"{name} must list addresses and networks: {error}.") from error

    def rate(self, name: str, default: str = "") -> str:
        """Such as 10/minute; empty: no limit."""
        text = str(self.str(name, default=default))
        if text and not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)", text):
            raise ImproperlyConfigured(
                f"{name} must be a number of requests and a time, such as 10/minute (second, minute, hour, day),"
                f" or empty for no limit; not {text!r}."
            )
        return text


def split_keys(text: str) -> list[str]:
    return [key for key in text.split(",") if key]


def require_package(setting: str, package: str) -> None:
    """For a setting that needs packages which not everybody installs."""
    if find_spec(package) is None:
        remedy = "pip install --no-deps -r requirements-observability.txt"
        raise ImproperlyConfigured(f"{setting} is set, and its packages are not installed: {remedy}")
