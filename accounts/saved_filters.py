"""Filters of the admin's lists that people save under a name, for themselves or for all members of a workspace.

A saved filter is an address: opening it asks the list as anybody would, so it never shows more than its reader may see.
"""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts import audit
from accounts.admin_reach import reach
from accounts.audit import Action
from accounts.models import SavedFilter, User
from agentplatform.lib.ids import as_uuid

MOST = 50
"""Of a list, that a person may have; and that are offered."""
LONGEST_NAME = 60
LONGEST_QUERY = 1000
# Parameters of a list's address that are no filter: the page, and what a popup and an error add.
OF_THE_PAGE = frozenset({"p", "all", "e", "_popup", "_to_field", "_facets"})
OF_EVERYBODY = "read:api-key"
"""A permission that every member has."""
SHARING = "write:agent"
"""Who may give a filter to all others: those who operate the workspace."""


def filters_of(request: HttpRequest, model_admin: Any) -> dict[str, Any]:
    """The context of a list: `saved_filters` that the person may use, and what saving the present one needs."""
    query = query_of(request.GET.urlencode())
    label = model_admin.opts.label_lower
    mine = Q(user_id=request.user.pk) | Q(is_shared=True)
    found = reach(request).rows(SavedFilter.objects.filter(mine, page=label), OF_EVERYBODY)
    rows = list(found.select_related("user")[:MOST])
    return {
        "saved_filters": [(row, row.user_id == request.user.pk, row.query == query) for row in rows],
        "filter_query": query,
        "filter_list": label,
        "may_share_filter": reach(request).may(SHARING),
    }


def query_of(text: str) -> str:
    """The filters of a query string, always in the same order."""
    pairs = [(name, value) for name, value in parse_qsl(text) if name not in OF_THE_PAGE and value]
    return urlencode(sorted(pairs))


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Keeps a filter of a list under a name; the same name takes the place of the person's earlier one."""
    model_admin = _list(request)
    page = reverse(f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}_changelist")
    name, query = request.POST.get("name", "").strip(), query_of(request.POST.get("query", ""))
    back = HttpResponseRedirect(f"{page}?{query}" if query else page)
    workspace_id = _workspace(request, query)
    fault = _fault(name, query, workspace_id)
    own = SavedFilter.objects.filter(user=_user(request), page=model_admin.opts.label_lower)
    if not fault and own.exclude(name=name).count() >= MOST:
        fault = _("You have %(most)s filters of this list already. Remove one first.") % {"most": MOST}
    if fault or workspace_id is None:
        audit.current().is_refused = True
        messages.error(request, fault)
        return back
    is_shared = bool(request.POST.get("shared")) and _may_share(request, query, workspace_id)
    values = {"query": query, "is_shared": is_shared}
    saved, is_new = own.update_or_create(
        name=name,
        workspace_id=workspace_id,
        user=_user(request),
        page=model_admin.opts.label_lower,
        defaults=values,
    )
    done = Action.CREATED if is_new else Action.UPDATED
    audit.record(done, audit.thing(saved), after={"page": saved.page, **values})
    messages.success(request, _("The filter “%(name)s” is saved.") % {"name": name})
    return back


@require_POST
def remove(request: HttpRequest, filter_id: UUID) -> HttpResponse:
    """Forgets a filter of one's own."""
    found = SavedFilter.objects.filter(user=_user(request), pk=filter_id).first()
    if found is None:
        raise Http404
    audit.record(Action.DELETED, audit.thing(found), before={"page": found.page, "query": found.query})
    app, model = found.page.split(".")
    found.delete()
    messages.success(request, _("The filter “%(name)s” is removed.") % {"name": found.name})
    return HttpResponseRedirect(reverse(f"admin:{app}_{model}_changelist"))


def _user(request: HttpRequest) -> User:
    """The admin lets nobody else in."""
    return cast(User, request.user)


def _list(request: HttpRequest) -> Any:
    """The admin of the list that is named, if the person may look at it. Raises Http404."""
    label = request.POST.get("list", "")
    for model, found in admin.site._registry.items():
        if model._meta.label_lower == label and found.has_view_permission(request):
            return found
    raise Http404


def _workspace(request: HttpRequest, query: str) -> UUID | None:
    """Where the filter belongs: in the workspace that it names, else the first in which the person may share, or is."""
    asked = dict(parse_qsl(query))
    named = as_uuid(asked.get("workspace__id__exact") or asked.get("workspace") or "")
    if named and named in reach(request).actors:
        return named
    actors = sorted(reach(request).actors.items(), key=lambda pair: (not pair[1].may(SHARING), pair[0]))
    return actors[0][0] if actors else None


def _may_share(request: HttpRequest, query: str, workspace_id: UUID) -> bool:
    """In a workspace that the filter names, or where there is no other that it could be about."""
    is_clear = str(workspace_id) in query or len(reach(request).actors) == 1
    return is_clear and reach(request).may(SHARING, workspace_id)


def _fault(name: str, query: str, workspace_id: UUID | None) -> str:
    if workspace_id is None:
        return _("Only members of a workspace can save filters.")
    if not name or len(name) > LONGEST_NAME:
        return _("Give the filter a name of at most %(most)s characters.") % {"most": LONGEST_NAME}
    if not query:
        return _("The list is not filtered. Choose filters or search first.")
    if len(query) > LONGEST_QUERY:
        return _("The filter is too long to be saved.")
    return ""


urlpatterns = [
    path("", admin.site.admin_view(save), name="saved-filters"),
    path("<uuid:filter_id>/remove/", admin.site.admin_view(remove), name="saved-filter-remove"),
]
