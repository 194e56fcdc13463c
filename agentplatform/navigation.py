"""The admin's sidebar: one group per room, and in it what the signed-in user may see."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.admin_base import reach
from accounts.oauth.providers import providers

Item = dict[str, Any]

title_by_room = {
    "runs": gettext_lazy("Runs"),
    "agents": gettext_lazy("Agents"),
    "billing": gettext_lazy("Usage and cost"),
    "accounts": gettext_lazy("Accounts"),
}
# Titles, and names of Material Symbols. The order is the sidebar's; models that are not named here follow.
entry_by_model = {
    "runs.run": (gettext_lazy("Runs"), "play_circle"),
    "runs.approval": (gettext_lazy("Approvals"), "approval"),
    "runs.session": (gettext_lazy("Sessions"), "forum"),
    "runs.memory": (gettext_lazy("Memories"), "psychology"),
    "runs.schedule": (gettext_lazy("Schedules"), "schedule"),
    "runs.webhook": (gettext_lazy("Webhooks"), "webhook"),
    "runs.worker": (gettext_lazy("Workers"), "memory"),
    "agents.agent": (gettext_lazy("Agents"), "smart_toy"),
    "agents.workflow": (gettext_lazy("Workflows"), "account_tree"),
    "agents.knowledgebase": (gettext_lazy("Knowledge bases"), "library_books"),
    "agents.chatmodel": (gettext_lazy("Models"), "neurology"),
    "agents.tool": (gettext_lazy("Tools"), "build"),
    "agents.mcpserver": (gettext_lazy("MCP servers"), "lan"),
    "agents.version": (gettext_lazy("Versions"), "history"),
    "billing.usagerecord": (gettext_lazy("Usage"), "receipt_long"),
    "billing.budget": (gettext_lazy("Budgets"), "savings"),
    "billing.usageexport": (gettext_lazy("Exports"), "download"),
    "billing.price": (gettext_lazy("Prices"), "sell"),
    "billing.repricing": (gettext_lazy("Repricings"), "price_change"),
    "accounts.workspace": (gettext_lazy("Workspaces"), "apartment"),
    "accounts.user": (gettext_lazy("Users"), "group"),
    "accounts.apikey": (gettext_lazy("API keys"), "key"),
    "accounts.auditentry": (gettext_lazy("Audit log"), "policy"),
    "accounts.securityevent": (gettext_lazy("Security events"), "gpp_maybe"),
}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups of the sidebar, as unfold wants them."""
    rooms = [{"title": title, "items": _items(request, room)} for room, title in title_by_room.items()]
    return [
        {"items": [{"title": _("Overview"), "icon": "monitoring", "link": reverse("admin:index")}]},
        *(room for room in rooms if room["items"]),
        {"title": _("Help"), "items": [{"title": _("API"), "icon": "api", "link": reverse("swagger")}]},
    ]


def account_links(request: HttpRequest) -> list[Item]:
    """What stands below the name of who is signed in, as unfold wants it."""
    user: Any = request.user
    if not user.is_authenticated:
        return []
    links = []
    if user.has_usable_password():
        links.append({"title": _("Change password"), "link": reverse("admin:password_change")})
    if providers():
        links.append({"title": _("Ways to sign in"), "link": reverse("sign-in-accounts")})
    return links


def _items(request: HttpRequest, room: str) -> list[Item]:
    own = [one for one in admin.site._registry.values() if one.opts.app_label == room]
    items = [_item(one) for one in sorted(own, key=_place) if one.has_view_permission(request)]
    if room == "agents" and reach(request).may("read:configuration"):
        link = reverse("admin:agents_configuration")
        if request.path.startswith(link):
            # It lies below the list of versions, which is not where one is.
            items = [{**item, "active": False} for item in items]
        items.append({"title": _("Configuration"), "icon": "data_object", "link": link})
    return items


def _place(model_admin: ModelAdmin[Any]) -> int:
    known = list(entry_by_model)
    label = model_admin.opts.label_lower
    return known.index(label) if label in known else len(known)


def _item(model_admin: ModelAdmin[Any]) -> Item:
    options = model_admin.opts
    unnamed = (capfirst(str(options.verbose_name_plural)), "table")
    title, icon = entry_by_model.get(options.label_lower, unnamed)
    link = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    return {"title": title, "icon": icon, "link": link}
