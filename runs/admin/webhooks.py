"""Webhooks in the admin: what they are told of, what became of it, and the buttons that test and switch them.

The API makes and changes them, because only its answer may show a secret.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from accounts.actor import Actor
from runs.admin.acts import asking
from runs.admin.lists import WorkspaceFilter
from runs.admin.operated import OperatedAdmin
from runs.admin.sections import Section, WithSections, when
from runs.models import Webhook, WebhookDelivery
from runs.webhooks import editing

# Messages that a page shows.
SHOWN = 50


def send_test(actor: Actor, webhook_id: UUID) -> tuple[UUID, str]:
    editing.send_test(operable(actor, webhook_id))
    return webhook_id, _("A test message is on its way.")


def enable(actor: Actor, webhook_id: UUID) -> tuple[UUID, str]:
    webhook = editing.change(operable(actor, webhook_id), {"enabled": True})
    return webhook_id, _("%(name)s is enabled.") % {"name": webhook.name}


def disable(actor: Actor, webhook_id: UUID) -> tuple[UUID, str]:
    webhook = editing.change(operable(actor, webhook_id), {"enabled": False})
    return webhook_id, _("%(name)s is disabled.") % {"name": webhook.name}


def operable(actor: Actor, webhook_id: UUID) -> Webhook:
    """The webhook, if the actor may change it. Raises PermissionDenied, NotFound."""
    actor.require("write:webhook")
    return Webhook.objects.named(actor, webhook_id)


class WebhookAdmin(WithSections, OperatedAdmin):
    permission_resource = "webhook"
    deletes_by_verb = True
    refusal = gettext_lazy("Webhook %(id)s: %(reason)s")
    list_display = ["name", "url", "told_of", "agent", "state", "failing_since", "workspace"]
    list_filter = ["enabled", WorkspaceFilter]
    list_select_related = ["agent", "workspace"]
    actions_detail = ["test_this", "enable_this", "disable_this"]
    fieldsets = [
        (None, {"fields": [("name", "workspace"), "url", ("told_of", "agent")]}),
        (gettext_lazy("State"), {"fields": [("enabled", "failing_since"), "disabled_reason"]}),
        (gettext_lazy("Times"), {"fields": [("created_at", "updated_at")]}),
    ]
    readonly_fields = ["told_of", "created_at", "updated_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("secret", "previous_secret")

    def delete_model(self, request: HttpRequest, obj: Webhook) -> None:
        editing.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Webhook]) -> None:
        for webhook in queryset:
            editing.delete(webhook)

    def buttons_for(self, webhook: Webhook) -> set[str]:
        return {"test_this", "disable_this"} if webhook.enabled else {"enable_this"}

    def sections(self, request: HttpRequest, obj: Webhook) -> list[Section]:
        headers = [_("Time (UTC)"), _("Type"), _("Status"), _("Attempts"), _("Answer"), _("Error")]
        newest = obj.deliveries.order_by("-pk").defer("payload", "response")[:SHOWN]
        return [Section(_("Deliveries"), headers, [_row(delivery) for delivery in newest])]

    # --- one webhook's page ---

    @action(
        description=gettext_lazy("Send a test message"),
        url_path="test",
        icon="send",
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Send a test message?"),
            gettext_lazy("It has the type webhook_test. What becomes of it is shown below."),
            gettext_lazy("Send"),
        ),
    )
    def test_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, send_test)

    @action(
        description=gettext_lazy("Enable"),
        url_path="enable",
        icon="toggle_on",
        variant=ActionVariant.PRIMARY,
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Enable this webhook?"),
            gettext_lazy("Messages that still wait are sent, and it is told of what happens from now on."),
            gettext_lazy("Enable"),
        ),
    )
    def enable_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, enable)

    @action(
        description=gettext_lazy("Disable"),
        url_path="disable",
        icon="toggle_off",
        variant=ActionVariant.DANGER,
        permissions=["operate"],
        dialog=asking(
            gettext_lazy("Disable this webhook?"),
            gettext_lazy("It is told of nothing that happens meanwhile."),
            gettext_lazy("Disable"),
        ),
    )
    def disable_this(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, disable)

    # --- columns ---

    @display(description=gettext_lazy("events"))
    def told_of(self, webhook: Webhook) -> str:
        return ", ".join(webhook.events)

    @display(
        description=gettext_lazy("state"),
        label={"active": "success", "failing": "warning", "disabled": "danger"},
    )
    def state(self, webhook: Webhook) -> tuple[str, str]:
        if not webhook.enabled:
            return "disabled", _("Disabled")
        return ("failing", _("Failing")) if webhook.failing_since else ("active", _("Active"))


def _row(delivery: WebhookDelivery) -> list[Any]:
    return [
        when(delivery.created_at),
        delivery.type,
        delivery.get_status_display(),
        delivery.attempts,
        delivery.response_status or "–",
        delivery.error,
    ]
