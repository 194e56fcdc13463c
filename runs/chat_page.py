"""The chat page: people talk to agents, in conversations that the API keeps. Its script does the rest over the API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from accounts.actor import Actor
from accounts.authentication import actor_from_session
from accounts.models import Membership
from accounts.oauth.providers import providers
from accounts.pages import STRICT
from accounts.roles import Role, permissions_by_role
from agentplatform.lib.errors import NotFound
from agents.api.representations import agents as agents_with_tools
from runs import chat_texts
from runs.models import Session

CHOSEN = "workspace"
"""The slug of the workspace that somebody has been in last, in the browser's session."""
MOST_AGENTS = 200
MODULES = (
    *(f"chat/{name}.js" for name in ("api", "answer", "composer", "conversation", "markdown", "messages")),
    *(f"chat/{name}.js" for name in ("parts", "sidebar", "work")),
    *(f"runs/{name}.js" for name in ("approvals", "decimal", "elements", "socket", "timeline", "transcript")),
    "vendor/dompurify-3.4.18/dompurify.js",
    "vendor/marked-18.2.1/marked.js",
)
"""What the page's script imports, told to the browser at once: it would find out one after the other."""


@require_safe
@login_required
@ensure_csrf_cookie
@csp_replace(STRICT)
def chat(request: HttpRequest, session_id: UUID | None = None) -> HttpResponse:
    """The page, with an empty conversation or, at `/c/<id>`, with one that the reader may see."""
    memberships = list(
        Membership.objects.filter(user=request.user.pk).select_related("workspace").order_by("pk")
    )
    context: dict[str, Any] = {
        "site": settings.APP_NAME,
        "languages": settings.LANGUAGES,
        "modules": MODULES,
        "has_providers": bool(providers()),
        "workspaces": [one.workspace for one in memberships],
        "here": request.get_full_path(),
    }
    if session_id is not None:
        actor = reader_of(request, session_id)
    elif memberships:
        actor = actor_from_session(request.user, home_of(request, memberships).workspace_id)
        if not actor.may("read:session") and lands_in_admin(request):
            return redirect("admin:index")
    else:
        return render(request, "chat/refused.html", context | {"why": "nowhere"}, status=403)
    if request.session.get(CHOSEN) != actor.workspace_slug:
        request.session[CHOSEN] = actor.workspace_slug
    context["workspace"] = next(
        (one for one in context["workspaces"] if one.pk == actor.workspace_id), {"name": actor.workspace_slug}
    )
    if not actor.may("read:session"):
        return render(request, "chat/refused.html", context | {"why": "role"}, status=403)
    return render(request, "chat/chat.html", context | {"page": page_data(actor, session_id)})


def home_of(request: HttpRequest, memberships: list[Membership]) -> Membership:
    """The membership whose workspace the page begins in: the one asked for, the last one, or the first one where there
    are conversations to see.
    """
    by_slug = {one.workspace.slug: one for one in memberships}
    asked = request.GET.get("workspace", "")
    if asked in by_slug:
        return by_slug[asked]
    last = None if asked else by_slug.get(request.session.get(CHOSEN, ""))
    open_ones = [one for one in memberships if "read:session" in permissions_by_role[Role(one.role)]]
    if last and (last in open_ones or not open_ones):
        return last
    return (open_ones or memberships)[0]


def lands_in_admin(request: HttpRequest) -> bool:
    """Whether somebody for whom there are no conversations has another page to come to; whoever asks for a workspace
    by its name is told why this page is not for them.
    """
    return bool(request.user.is_staff and "workspace" not in request.GET)


def reader_of(request: HttpRequest, session_id: UUID) -> Actor:
    """Who reads a conversation, in its workspace. Raises Http404 where it is not there for them."""
    workspace_id = Session.objects.filter(pk=session_id).values_list("workspace_id", flat=True).first()
    if workspace_id is None:
        raise Http404
    try:
        actor = actor_from_session(request.user, workspace_id)
    except NotFound as error:
        raise Http404 from error
    is_there = Session.objects.visible_to(actor).filter(pk=session_id).exists()
    if actor.membership_id is None or (actor.may("read:session") and not is_there):
        raise Http404
    return actor


def page_data(actor: Actor, session_id: UUID | None) -> dict[str, Any]:
    """What the page's script starts from."""
    return {
        "api": "/api/v1",
        "csrf_cookie": settings.CSRF_COOKIE_NAME,
        "user": {"id": str(actor.user_id), "name": actor.username},
        "workspace": actor.workspace_slug,
        "session": str(session_id) if session_id else None,
        "site": settings.APP_NAME,
        "language": get_language(),
        "may": {
            "write": actor.may("write:session") and actor.may("execute:agent"),
            "delete": actor.may("delete:session"),
            "decide": actor.may("decide:approval"),
            "read_all": actor.may("read:all-sessions"),
        },
        "agents": agents_for(actor),
        "texts": chat_texts.texts(),
    }


def agents_for(actor: Actor) -> list[dict[str, Any]]:
    """The agents that can be talked to, the default one first, each with what one might ask it."""
    if not actor.may("read:agent"):
        return []
    found = agents_with_tools.visible_to(actor).filter(enabled=True).order_by("-is_default", "name")
    rows = found.values("name", "description", "is_default", "tool_names")
    return [
        {
            "name": row["name"],
            "description": row["description"],
            "is_default": row["is_default"],
            "prompts": prompts_for(row["tool_names"]),
        }
        for row in rows[:MOST_AGENTS]
    ]


def prompts_for(tools: Iterable[str]) -> list[str]:
    """Up to four first questions, chosen by what the agent can do."""
    known = prompts_by_tool()
    fitting = [known[name] for name in known if name in set(tools)]
    return [*dict.fromkeys(fitting), *general_prompts()][:4]


def prompts_by_tool() -> dict[str, str]:
    return {
        "calculator": _("What is 17 * 23?"),
        "approved_calculator": _("What is 17 * 23?"),
        "ask_mathematician": _("What is 17 * 23?"),
        "current_time": _("What time is it in Asia/Shanghai?"),
        "unit_convert": _("Convert: 42 km to mi"),
        "find_suppliers": _("Which companies sell ceramic tiles in China?"),
        "trade_figures": _("How have imports of coffee into Germany developed?"),
    }


def general_prompts() -> list[str]:
    return [
        _("What can you help me with?"),
        _("Explain in three sentences what an agent is."),
        _("Write a short note that thanks a colleague."),
        _("Make a table of three ideas for a better meeting."),
    ]


urlpatterns = [
    path("", chat, name="chat-page"),
    path("c/<uuid:session_id>", chat, name="chat-conversation"),
]
