"""A run's time line and messages on its page in the admin, which go on as long as the run does."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path

from runs.admin.acts import Acts
from runs.admin.lists import visible_runs
from runs.admin.messages import said_in
from runs.models import Run
from runs.waterfall import waterfall_of


class Followed(Acts):
    """Mixin of the run's admin."""

    change_form_outer_before_template = "admin/runs/before_run.html"

    def get_urls(self) -> list[URLPattern]:
        live = self.admin_site.admin_view(self.live_view)
        return [path("<uuid:object_id>/live/", live, name="runs_run_live"), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        if obj:
            context |= _told(request, obj)
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)

    def live_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """The fragment that takes the place of the one that the page has; the last one says so in a header."""
        told = _told(request, self.row(request, str(object_id)))
        is_final = told["waterfall"].is_final
        headers = {"X-Fragment": "final" if is_final else "goes on"}
        return HttpResponse(render(request, "admin/runs/run_live.html", told).content, headers=headers)


def _told(request: HttpRequest, run: Run) -> dict[str, Any]:
    return {"waterfall": waterfall_of(run, visible_runs(request)), "said": said_in(run)}
