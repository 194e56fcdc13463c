"""The history page of a configuration in the admin: its versions, what differs between two, and the way back."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.admin_base import reach
from agentplatform.lib.errors import Conflict, PlatformError
from agentplatform.lib.ids import as_uuid
from agents import versions
from agents.configuration.documents import difference, document_of
from agents.mcp.rules import permissions_to_restore
from agents.models import Configuration, Version

MOST_VERSIONS = 200


class VersionsAdmin:
    """Mixin: `history_view` shows versions in the place of the admin's own log."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All versions, and what differs between `?old=` and `?new=`. A POST restores the one of its `restore`."""
        row: Configuration | None = self.get_object(request, object_id) if as_uuid(object_id) else None  # type: ignore[attr-defined]
        if row is None:
            raise Http404
        if request.method == "POST":
            return self._restored(request, row)
        old, new = (numbered(row, request.GET.get(name, "")) for name in ("old", "new"))
        differences = (
            difference(*(document_of(one.kind, one.data) for one in (old, new))) if old and new else {}
        )
        options: Any = self.opts  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "opts": options,
            "title": _("Versions of %(name)s") % {"name": row.name},
            "original": row,
            "back": reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk]),
            "versions": list(versions.history(row.kind, row).defer("data")[:MOST_VERSIONS]),
            "may_restore": reach(request).may(f"write:{row.kind}", row.workspace_id),
            "published_id": getattr(row, "published_id", None),
            "old": old,
            "new": new,
            "differences": [
                (path, shown(one["old"]), shown(one["new"])) for path, one in differences.items()
            ],
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/agents/versions.html", context)

    def _restored(self, request: HttpRequest, row: Configuration) -> HttpResponse:
        version = numbered(row, request.POST.get("restore", ""))
        try:
            if version is None:
                raise Conflict(_("There is no such version."))
            made = restore(request, row, version, as_uuid(request.POST.get("seen", "")))
        except PlatformError as error:
            messages.error(request, error.message)
        else:
            said = _("Version %(number)s is restored as version %(made)s.")
            messages.success(request, said % {"number": version.number, "made": made.number})
        return HttpResponseRedirect(request.path)


@transaction.atomic
def restore(request: HttpRequest, row: Configuration, version: Version, seen: uuid.UUID | None) -> Version:
    """Raises Conflict where somebody has changed it since `seen`, PermissionDenied, and as `versions.restore`."""
    actor = reach(request).actor(row.workspace_id)
    for permission in permissions_to_restore(version):
        actor.require(permission)
    if versions.lock(row).version_id != seen:
        raise Conflict(_("Somebody else has changed it in the meantime. Look at it again."))
    return versions.restore(version, actor)


def numbered(row: Configuration, number: str) -> Version | None:
    """The version of this number, as it was typed; None: there is none."""
    if not number.isdecimal() or len(number) > 9:
        return None
    return versions.history(row.kind, row).filter(number=number).first()


def shown(value: Any) -> str:
    """A value of a difference for people."""
    if value is None:
        return "—"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
