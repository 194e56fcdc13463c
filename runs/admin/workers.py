"""Worker processes in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import ShowFacets
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.decorators import display

from accounts.admin_base import reach
from runs.admin.lists import visible_runs
from runs.admin.sections import WithSections, runs_of
from runs.models import IN_FLIGHT, Worker


class WorkerAdmin(WithSections, ModelAdmin):
    """Workers serve all workspaces: whoever operates one may see them. Nobody edits them."""

    list_display = ["host", "pid", "state", "in_hand", "concurrency", "started_at", "beat_at"]
    list_filter = ["draining"]
    show_facets = ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).with_hands(visible_runs(request))

    @display(
        description=gettext_lazy("state"), label={"alive": "success", "draining": "warning", "lost": "danger"}
    )
    def state(self, worker: Any) -> tuple[str, str]:
        if not worker.alive:
            return "lost", _("Lost")
        return ("draining", _("Draining")) if worker.draining else ("alive", _("Alive"))

    @display(description=gettext_lazy("runs in hand"))
    def in_hand(self, worker: Any) -> int:
        """Those that the user may see."""
        return worker.running

    def has_module_permission(self, request: HttpRequest) -> bool:
        return reach(request).may("read:worker")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return reach(request).may("read:worker")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def sections(self, request: HttpRequest, obj: Worker) -> list[Any]:
        """The runs in its hands, as far as the user may see them."""
        return [runs_of(visible_runs(request).filter(worker_id=obj.pk, status__in=IN_FLIGHT))]
