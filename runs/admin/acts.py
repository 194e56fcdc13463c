"""Acting on rows in the admin: on a selection in the list, and by buttons on a row's page.

A verb goes through the domain as the signed-in user, like one of the API, so that permission and state are judged
in one place. Each row's outcome is told in a message of its own. The buttons ask before they act: what opens is a
dialog, and only its submission (a POST with the token against forgery) changes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.dataclasses import ActionDialog, UnfoldAction
from unfold.forms import BaseDialogForm

from accounts import audit
from accounts.actor import Actor
from accounts.admin_base import TenantModelAdmin
from accounts.admin_confirmation import MOST_AT_ONCE, confirmation, is_confirmed
from agentplatform.lib.errors import PlatformError

# Acts as somebody on a row; answers the row to look at afterwards, and what to say.
Verb = Callable[[Actor, UUID], tuple[UUID, str]]


def asking(
    title: Any, description: Any, submit: Any, form_class: type[BaseDialogForm] | None = None
) -> ActionDialog:
    return ActionDialog(title=title, description=description, form_class=form_class, form_submit_text=submit)


class Acts(TenantModelAdmin):
    """Mixin of the admin of rows that can be acted on."""

    refusal: Any
    """What is said of a row on which a verb was refused, with its `id` and the `reason`."""
    only_some: Any
    """What is said where no more than `most` rows were taken."""

    def buttons_for(self, row: Any) -> set[str]:
        """The names of the buttons that make sense on a row as it is."""
        raise NotImplementedError

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[UnfoldAction]:
        """Only the buttons that make sense now."""
        row = self.get_object(request, object_id)
        wanted = self.buttons_for(row) if row else set()
        offered = super().get_actions_detail(request, object_id)
        return [button for button in offered if button.method.original_function_name in wanted]

    def act_on_each(self, request: HttpRequest, queryset: QuerySet[Any], verb: Verb) -> None:
        """Acts on a selection."""
        chosen = list(queryset.values_list("pk", "workspace_id")[: MOST_AT_ONCE + 1])
        for row_id, workspace_id in chosen[:MOST_AT_ONCE]:
            self.act(request, workspace_id, row_id, verb)
        if len(chosen) > MOST_AT_ONCE:
            messages.warning(request, self.only_some % {"most": MOST_AT_ONCE})

    def confirmed(
        self, request: HttpRequest, queryset: QuerySet[Any], verb: Verb, title: Any, question: Any
    ) -> HttpResponse | None:
        """Acts on a selection once somebody has seen what it consists of, and said yes."""
        if is_confirmed(request):
            self.act_on_each(request, queryset, verb)
            return None
        only_some = self.only_some % {"most": MOST_AT_ONCE}
        return confirmation(
            self, request, queryset, self.named, title=title, question=question, only_some=only_some
        )

    def named(self, row: Any) -> str:
        """What a row is called where it is asked about."""
        return str(row)

    def act(self, request: HttpRequest, workspace_id: UUID, row_id: UUID, verb: Verb) -> UUID:
        """Does it, says how it went, and answers the row to look at."""
        try:
            shown, text = verb(self.actor(request, workspace_id), row_id)
        except PlatformError as error:
            audit.current().is_refused = True
            messages.error(request, self.refusal % {"id": row_id, "reason": error.message})
            return row_id
        messages.success(request, text)
        return shown

    def act_here(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        """Acts on the row of a page, and leads to the page to look at."""
        row = self.row(request, object_id)
        shown = self.act(request, row.workspace_id, row.pk, verb)
        page = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[shown])
        if request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": page})
        return HttpResponseRedirect(page)

    def row(self, request: HttpRequest, object_id: str) -> Any:
        """The row, if the user may see it. Raises Http404."""
        row: Model | None = self.get_object(request, object_id)
        if row is None:
            raise Http404
        return row
