"""The page that asks before something is done to what was selected in a list of the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

# A page's worth, so that one request never works through a whole table.
MOST_AT_ONCE = 100
CONFIRMED = "confirmed"


def is_confirmed(request: HttpRequest) -> bool:
    """Whether somebody has seen what the selection consists of, and said yes."""
    return bool(request.POST.get(CONFIRMED))


def confirmation(
    model_admin: Any,
    request: HttpRequest,
    queryset: QuerySet[Any],
    named: Callable[[Any], str],
    *,
    title: str,
    question: str,
    only_some: str,
) -> HttpResponse:
    """The page. `named` says what a row is called there, `only_some` that there are more than MOST_AT_ONCE."""
    rows = list(queryset[: MOST_AT_ONCE + 1])
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": title,
        "question": question,
        "rows": [(row, named(row)) for row in rows[:MOST_AT_ONCE]],
        "only_some": only_some if len(rows) > MOST_AT_ONCE else "",
        "action": request.POST.get("action", ""),
        "confirmed": CONFIRMED,
    }
    return TemplateResponse(request, "admin/confirmation.html", context)
