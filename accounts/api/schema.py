"""How the API's description names the ways to sign in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ActorScheme(OpenApiAuthenticationExtension):
    """A token, an API key, or the cookie of a page of ours; one will do."""

    target_class = "accounts.authentication.ActorAuthentication"
    name = ["token", "apiKey", "session"]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{name: []} for name in self.name]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, str]]:
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The access token that /auth/login answers.",
            },
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "A key of /auth/api-keys, shown once when it is made.",
            },
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "Of who has signed in at /sign-in/, for this site's own pages. What changes something "
                f"also needs the header X-CSRFToken, with the value of the cookie {settings.CSRF_COOKIE_NAME}.",
            },
        ]
