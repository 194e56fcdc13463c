"""The providers that the settings know, where the operator has given them a client id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.http import Http404


@dataclass(frozen=True, slots=True)
class Provider:
    """Where a provider is asked, and as whom. `issuer` and `keys_url` are OpenID Connect's; empty for plain OAuth 2."""

    name: str
    title: str
    client_id: str
    client_secret: str
    authorize_url: str
    token_url: str
    scope: str
    issuer: str = ""
    keys_url: str = ""
    user_url: str = ""
    emails_url: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """Those that the platform itself calls."""
        return tuple(url for url in (self.token_url, self.keys_url, self.user_url, self.emails_url) if url)


class Profile(NamedTuple):
    """Whom a provider has signed in. `email` is one that it has verified, or empty; `domain` what it vouches for."""

    subject: str
    email: str
    domain: str


class ExchangeFailed(Exception):
    """The provider did not answer, or not with what proves somebody. The text is for the log."""


def providers() -> list[Provider]:
    """Those that can be used."""
    return [
        Provider(name=name, **values)
        for name, values in settings.OAUTH_PROVIDERS.items()
        if values["client_id"] and values["client_secret"]
    ]


def provider_named(name: str) -> Provider:
    """Raises Http404 for one that is unknown or not set up."""
    for provider in providers():
        if provider.name == name:
            return provider
    raise Http404(f"There is no provider {name!r}.")
