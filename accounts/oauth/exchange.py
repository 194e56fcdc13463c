"""From a code to what the provider says of its user. Imported on first use: Authlib takes a third of a second.

Authlib speaks OAuth, joserfc checks signatures; connections go through the guarded client. What the provider's token is
good for besides is not used, and it is not kept.
"""

from __future__ import annotations

from typing import Any

import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from accounts.oauth.attempt import Attempt
from accounts.oauth.providers import ExchangeFailed, Profile, Provider
from agentplatform.lib import outbound
from agentplatform.lib.addresses import OutboundRefused, authority_of

TIMEOUT_SECONDS = 10.0
ALGORITHMS = ("RS256", "ES256")
CLOCKS_DIFFER_SECONDS = 60
JSON = {"Accept": "application/json"}


def authorization_url(provider: Provider, attempt: Attempt, redirect_uri: str) -> str:
    """Where the browser is sent."""
    extra = {"nonce": attempt.nonce} if provider.issuer else {}
    url, _ = _client(provider, None, redirect_uri).create_authorization_url(
        provider.authorize_url, state=attempt.state, code_verifier=attempt.verifier, **extra
    )
    return str(url)


def profile_of(provider: Provider, attempt: Attempt, code: str, redirect_uri: str) -> Profile:
    """Exchanges the code, and reads who it stands for. Raises ExchangeFailed."""
    allowed = tuple(authority_of(url) for url in provider.urls)
    try:
        with outbound.client(TIMEOUT_SECONDS, also_allowed=allowed) as http:
            token = _token(provider, http, attempt, code, redirect_uri)
            if provider.issuer:
                return _from_id_token(provider, http, attempt, str(token.get("id_token", "")))
            return _from_api(provider, http, str(token.get("access_token", "")))
    except (AuthlibBaseError, JoseError, OutboundRefused, httpx2.HTTPError) as error:
        raise ExchangeFailed(type(error).__name__) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExchangeFailed("an answer that cannot be read") from error


def _client(provider: Provider, http: Any, redirect_uri: str) -> OAuth2Client:
    return OAuth2Client(
        http,
        provider.client_id,
        provider.client_secret,
        scope=provider.scope,
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
    )


def _token(
    provider: Provider, http: httpx2.Client, attempt: Attempt, code: str, redirect_uri: str
) -> dict[str, Any]:
    """The client's credentials go in the body, which every provider takes."""
    token: dict[str, Any] = _client(provider, http, redirect_uri).fetch_token(
        provider.token_url,
        code=code,
        code_verifier=attempt.verifier,
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        grant_type="authorization_code",
        auth=_unchanged,
        headers=JSON,
    )
    return token


def _unchanged(request: httpx2.Request) -> httpx2.Request:
    return request


def _from_id_token(provider: Provider, http: httpx2.Client, attempt: Attempt, id_token: str) -> Profile:
    keys = KeySet.import_key_set(_json(http.get(provider.keys_url, headers=JSON)))
    claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
    jwt.JWTClaimsRegistry(
        leeway=CLOCKS_DIFFER_SECONDS,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id},
        nonce={"essential": True, "value": attempt.nonce},
        exp={"essential": True},
        sub={"essential": True},
    ).validate(claims)
    is_verified = claims.get("email_verified") is True
    return Profile(
        _subject(claims["sub"]),
        str(claims.get("email", "")) if is_verified else "",
        str(claims.get("hd", "")),
    )


def _from_api(provider: Provider, http: httpx2.Client, access_token: str) -> Profile:
    headers = {**JSON, "Authorization": f"Bearer {access_token}"}
    user = _json(http.get(provider.user_url, headers=headers))
    emails = _json(http.get(provider.emails_url, headers=headers))
    verified = [one["email"] for one in emails if one["primary"] is True and one["verified"] is True]
    email = str(verified[0]) if verified else ""
    # GitHub verified the address once, and does not say when somebody has left the domain: it vouches for none.
    return Profile(_subject(user["id"]), email, "")


def _subject(value: Any) -> str:
    """An id as text: never an empty one, nor one of any other type."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value):
        raise ValueError("The provider's id of its user is not usable.")
    return str(value)[:255]


def _json(response: httpx2.Response) -> Any:
    return response.raise_for_status().json()
