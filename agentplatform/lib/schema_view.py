"""`/openapi.json`: the API's own description, made once in each process.

It takes a second of a processor, is the same for everybody, and anybody may ask for it.
"""

from __future__ import annotations

import functools
from typing import Any

from django.conf import settings
from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularJSONAPIView
from rest_framework.request import Request
from rest_framework.response import Response


class SchemaView(SpectacularJSONAPIView):
    def _get_schema_response(self, request: Request) -> Response:
        language = translation.get_language() or settings.LANGUAGE_CODE
        # What a query may name is not remembered without end.
        known = language if language in dict(settings.LANGUAGES) else settings.LANGUAGE_CODE
        name = self._get_filename(request, None)
        return Response(description(known), headers={"Content-Disposition": f'inline; filename="{name}"'})


@functools.cache
def description(language: str) -> dict[str, Any]:
    """The OpenAPI document, with texts in that language."""
    with translation.override(language):
        document: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
        return document
