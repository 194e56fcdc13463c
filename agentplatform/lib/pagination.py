"""Lists: `limit` and `offset` for everybody, and `cursor` beside them for tables that grow for ever.

    {"total": 1203, "total_is_capped": false, "limit": 20, "offset": 40, "has_more": true, "items": [ … ]}

`total` is counted up to TOTAL_CAP; beyond that it is the cap and `total_is_capped` is true. A view with
`keyset = True` also answers `next_cursor` while it is ordered by `-id` (ids grow with time): reading on
from a cursor costs the same on page one and page ten thousand.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from agentplatform.lib.errors import Invalid

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
MAX_OFFSET = 100_000
TOTAL_CAP = 10_000
NEWEST_FIRST = (("-id",), ("-pk",))

Schema = dict[str, Any]


class Pagination(BasePagination):
    """One page of a query set (or of any sequence), and the envelope around it."""

    limit: int
    offset: int
    total: int
    has_more: bool
    next_cursor: str | None
    keyset: bool

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: Any = None
    ) -> list[Any]:
        """The page's rows. Raises Invalid for a limit, offset or cursor that cannot be used."""
        self.limit = whole_number(request, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT)
        self.offset = offset_of(request)
        self.keyset = bool(getattr(view, "keyset", False)) and isinstance(queryset, QuerySet)
        rows = self._after_cursor(queryset, request)
        page = list(rows[self.offset : self.offset + self.limit + 1])
        self.has_more = len(page) > self.limit
        self.total = self._total(queryset, rows, len(page))
        page = page[: self.limit]
        self.next_cursor = self._next_cursor(rows, page)
        return page

    def get_paginated_response(self, data: Any) -> Response:
        envelope: dict[str, Any] = {
            "total": min(self.total, TOTAL_CAP),
            "total_is_capped": self.total > TOTAL_CAP,
            "limit": self.limit,
            "offset": self.offset,
            "has_more": self.has_more,
            "items": data,
        }
        if self.keyset:
            envelope["next_cursor"] = self.next_cursor
        return Response(envelope)

    def _after_cursor(self, queryset: Any, request: Request) -> Any:
        cursor = request.query_params.get("cursor")
        if cursor is None:
            return queryset
        if not self.keyset:
            raise Invalid({"cursor": "This list has no cursor; use offset."})
        if "offset" in request.query_params or not is_newest_first(queryset):
            raise Invalid({"cursor": "A cursor goes with neither offset nor ordering; leave them out."})
        return queryset.filter(pk__lt=decode_cursor(cursor)) if cursor else queryset

    def _total(self, queryset: Any, rows: Any, seen: int) -> int:
        """How many rows there are, at most one more than the cap. Where the page tells, nobody is asked."""
        page_holds_the_end = not self.has_more and (seen > 0 or self.offset == 0)
        if rows is queryset and page_holds_the_end:
            return self.offset + seen
        if isinstance(queryset, QuerySet):
            return queryset.order_by().values("pk")[: TOTAL_CAP + 1].count()
        return len(queryset)

    def _next_cursor(self, rows: Any, page: list[Any]) -> str | None:
        if self.keyset and self.has_more and is_newest_first(rows):
            return encode_cursor(page[-1].pk)
        return None

    def get_paginated_response_schema(self, schema: Schema) -> Schema:
        return {
            "type": "object",
            "required": ["total", "total_is_capped", "limit", "offset", "has_more", "items"],
            "properties": {
                "total": {"type": "integer", "example": 123, "description": f"Counted up to {TOTAL_CAP}."},
                "total_is_capped": {
                    "type": "boolean",
                    "example": False,
                    "description": "True: there are more.",
                },
                "limit": {"type": "integer", "example": DEFAULT_LIMIT},
                "offset": {"type": "integer", "example": 0},
                "has_more": {"type": "boolean", "example": True},
                "items": schema,
                "next_cursor": {
                    "type": "string",
                    "nullable": True,
                    "example": "AZqMwIKEeP6BQ2m3vS1vdA",
                    "description": "Large lists only: send it as `cursor` to read on.",
                },
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[Schema]:
        parameters = [
            query_parameter(
                "limit",
                "Items on a page.",
                type="integer",
                minimum=1,
                maximum=MAX_LIMIT,
                default=DEFAULT_LIMIT,
            ),
            query_parameter(
                "offset", "Items to skip.", type="integer", minimum=0, maximum=MAX_OFFSET, default=0
            ),
        ]
        if getattr(view, "keyset", False):
            parameters.append(
                query_parameter(
                    "cursor", "The last answer's `next_cursor`; empty for the first page.", type="string"
                )
            )
        return parameters


def query_parameter(name: str, description: str, **schema: Any) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def whole_number(request: Request, name: str, default: int, minimum: int, maximum: int) -> int:
    """The query parameter `name`, or `default` without one. Raises Invalid outside minimum … maximum."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12 and minimum <= int(text) <= maximum):
        raise Invalid({name: f"Use a whole number from {minimum} to {maximum}."})
    return int(text)


def offset_of(request: Request) -> int:
    """The query parameter `offset`. One that is too deep names the way that is not slow there."""
    text = request.query_params.get("offset", "")
    if text.isascii() and text.isdigit() and (len(text) > 11 or int(text) > MAX_OFFSET):
        raise Invalid(
            {"offset": f"At most {MAX_OFFSET}. Narrow the list, or read on with the cursor parameter."}
        )
    return whole_number(request, "offset", 0, 0, MAX_OFFSET)


def is_newest_first(queryset: QuerySet[Any]) -> bool:
    """Whether a query set is ordered by descending id, explicitly or by its model's default."""
    ordering = queryset.query.order_by or queryset.model._meta.ordering
    return tuple(ordering) in NEWEST_FIRST


def encode_cursor(key: UUID) -> str:
    """An opaque, URL-safe form of the last row's id."""
    return base64.urlsafe_b64encode(key.bytes).decode().rstrip("=")


def decode_cursor(cursor: str) -> UUID:
    """The id in a cursor. Raises Invalid for anything else."""
    try:
        return UUID(bytes=base64.b64decode(cursor.encode() + b"==", altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise Invalid({"cursor": "This is not a cursor; send next_cursor as it was answered."}) from error
