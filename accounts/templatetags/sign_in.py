"""What sign-in pages of others show of ours."""

from __future__ import annotations

from django import template

from accounts.oauth.views import choices

register = template.Library()


@register.simple_tag
def provider_links(next: str) -> list[dict[str, str]]:
    """The providers that one can sign in with, as links."""
    return choices(next)
