"""JavaScript modules as media of forms and admin pages."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.utils.html import format_html, html_safe


@html_safe
class Module:
    """`<script type="module">` of a static file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __str__(self) -> str:
        return format_html('<script type="module" src="{}"></script>', static(self.path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Module) and other.path == self.path

    def __hash__(self) -> int:
        return hash(self.path)


def scripts(*paths: str) -> list[Any]:
    """Modules as `Media(js=scripts("room/file.js"))` takes them; Django's stubs know only of paths."""
    return [Module(path) for path in paths]
