"""The ledger, to read; prices, to add and to withdraw before they are in force; periods, to reprice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import TenantForm, TenantModelAdmin
from agentplatform.lib.admin_lists import CappedPaginator
from agentplatform.lib.errors import Invalid
from agentplatform.lib.ids import as_uuid
from billing import price_list, repricing
from billing.admin_exports import UsageExportAdmin
from billing.budget_admin import BudgetAdmin
from billing.budgets.room import plain
from billing.models import Entry, Price, Repricing, UsageRecord

__all__ = ["BudgetAdmin", "PriceAdmin", "RepricingAdmin", "UsageExportAdmin", "UsageRecordAdmin"]


class EntryFilter(admin.SimpleListFilter):
    """Shows calls that have ended unless another entry is asked for; these are also what the index knows."""

    title = _("entry")
    parameter_name = "entry"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(Entry.OPENED.value, Entry.OPENED.label)]

    def choices(self, changelist: Any) -> Iterator[Any]:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": Entry.SETTLED.label}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[UsageRecord]) -> QuerySet[UsageRecord]:
        return queryset.filter(entry=self.value() or Entry.SETTLED)


class UsageRecordForm(TenantForm):
    """Nobody fills it in: it says what the page calls the entry's fields."""

    class Meta:
        labels = {
            "entry": _("Entry"),
            "workflow": _("Workflow"),
            "tags": _("Tags"),
            "cached_tokens": _("Cached tokens"),
            "cache_write_tokens": _("Tokens written to the cache"),
            "reasoning_tokens": _("Reasoning tokens"),
            "input_audio_tokens": _("Audio tokens in"),
            "output_audio_tokens": _("Audio tokens out"),
            "input_image_tokens": _("Image tokens in"),
            "output_image_tokens": _("Image tokens out"),
            "price_version": _("Price list"),
            "id": _("Id"),
            "call_id": _("Id of the model call"),
            "run_id": _("Id of the run"),
            "session_id": _("Id of the conversation"),
            "agent_id": _("Id of the agent"),
            "workflow_id": _("Id of the workflow"),
            "user_id": _("Id of the user"),
            "api_key_id": _("Id of the API key"),
            "attempt": _("Attempt"),
            "step": _("Step"),
            "correction_of": _("Corrects the entry"),
            "revision": _("Revision"),
            "is_reversal": _("Reversal"),
        }


@admin.register(UsageRecord)
class UsageRecordAdmin(TenantModelAdmin):
    permission_resource = "usage"
    form = UsageRecordForm
    paginator = CappedPaginator
    show_full_result_count = False
    list_select_related = ["workspace", "user_name"]
    list_display = [
        "timestamp", "workspace", "status", "agent", "user_name", "provider", "model",
        "input_tokens", "output_tokens", "money",
    ]  # fmt: skip
    list_filter = [EntryFilter, "status", "workspace"]
    search_fields = ["run_id"]
    search_help_text = _("Id of a run or of a model call")
    ordering = ["-id"]
    sortable_by = ()
    list_per_page = 50
    readonly_fields = [
        "user_name", "end_user_name", "api_key_name", "run", "money", "input_token_price", "output_token_price",
        "other_prices",
    ]  # fmt: skip
    fieldsets = [
        (None, {"fields": [("timestamp", "recorded_at"), ("status", "entry"), "workspace"]}),
        (
            _("Who and what"),
            {
                "fields": [
                    ("agent", "workflow"), "run", ("user_name", "end_user_name"), "api_key_name", "tags",
                ]
            },
        ),
        (
            _("Tokens"),
            {
                "fields": [
                    ("provider", "model"),
                    ("input_tokens", "output_tokens"),
                    ("cached_tokens", "cache_write_tokens", "reasoning_tokens"),
                    ("input_audio_tokens", "output_audio_tokens"),
                    ("input_image_tokens", "output_image_tokens"),
                ]
            },
        ),
        (
            _("Cost"),
            {"fields": ["money", ("input_token_price", "output_token_price"), "other_prices", "price_version"]},
        ),
        (
            _("Technical"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("id", "call_id"),
                    ("attempt", "step"),
                    ("run_id", "session_id"),
                    ("agent_id", "workflow_id"),
                    ("user_id", "api_key_id"),
                    ("correction_of", "revision", "is_reversal"),
                ],
            },
        ),
    ]  # fmt: skip

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageRecord], search_term: str
    ) -> tuple[QuerySet[UsageRecord], bool]:
        """The entries of a run; where it is none, those of a model call. Each has its own index."""
        if not (term := search_term.strip()):
            return queryset, False
        if (key := as_uuid(term)) is None:
            return queryset.none(), False
        if (of_run := queryset.filter(run_id=key)).exists():
            return of_run, False
        corrections = Q(call_id=key, correction_of__isnull=False)
        return queryset.filter(Q(call_id=key, correction_of=None) | corrections), False

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Who may not read runs gets no link to one."""
        shown = super().get_fieldsets(request, obj)
        if self.may(request, "read:run"):
            return shown
        return [
            (title, {**options, "fields": [name for name in options["fields"] if name != "run"]})
            for title, options in shown
        ]

    @admin.display(description=_("cost"))
    def money(self, record: UsageRecord) -> str:
        return "–" if record.cost is None else f"{plain(record.cost)} {record.currency}"

    @admin.display(description=_("price of an input token"))
    def input_token_price(self, record: UsageRecord) -> str:
        return "–" if record.input_price is None else f"{plain(record.input_price)} {record.currency}"

    @admin.display(description=_("price of an output token"))
    def output_token_price(self, record: UsageRecord) -> str:
        return "–" if record.output_price is None else f"{plain(record.output_price)} {record.currency}"

    @admin.display(description=_("other prices"))
    def other_prices(self, record: UsageRecord) -> str:
        return ", ".join(f"{name}: {price}" for name, price in record.prices.items()) or "–"

    @admin.display(description=_("run"))
    def run(self, record: UsageRecord) -> str:
        """The room above has the page, so the link to it is a name."""
        if record.run_id is None:
            return "–"
        page = reverse("admin:runs_run_change", args=[record.run_id])
        return format_html('<a class="text-link" href="{}">{}</a>', page, gettext("Open the run"))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PriceForm(TenantForm):
    """A new price, checked as in the API."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        for name in [name for name in cleaned if name in (*price_list.FIGURES, "per_request")]:
            if (amount := cleaned[name]) is not None and not 0 <= amount <= price_list.HIGHEST_PRICE:
                self.add_error(
                    name, gettext("Use a price from 0 to %(most)s.") % {"most": price_list.HIGHEST_PRICE}
                )
        if not self.errors:
            self._check(cleaned)
        return cleaned

    def _check(self, cleaned: dict[str, Any]) -> None:
        try:
            price_list.check(cleaned)
        except Invalid as error:
            for detail in error.details:
                field = detail["field"].split(".")[0]
                self.add_error(field if field in self.fields else None, detail["message"])


@admin.register(Price)
class PriceAdmin(TenantModelAdmin):
    permission_resource = "price"
    deletes_by_verb = True
    form = PriceForm
    list_select_related = ["workspace"]
    list_display = [
        "provider", "model", "workspace", "input_per_million", "cached_per_million", "output_per_million",
        "valid_from", "valid_until", "version", "source", "in_force",
    ]  # fmt: skip
    list_filter = ["provider", "is_imported", "workspace"]
    search_fields = ["model"]
    readonly_fields = ["version", "source", "created_at"]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).with_superseded()

    @admin.display(boolean=True, description=_("in force"))
    def in_force(self, price: Price) -> bool:
        return price_list.is_in_force(price)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """One at a time, before it is in force; see `billing.price_list`."""
        return isinstance(obj, Price) and price_list.is_future(obj) and self.may(request, "write:price", obj)

    def save_model(self, request: HttpRequest, obj: Price, form: forms.ModelForm[Any], change: bool) -> None:
        price_list.add(obj)

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        price_list.withdraw(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Price]) -> None:
        for price in queryset:
            price_list.withdraw(price)


class RepricingForm(TenantForm):
    """A period to reprice, checked as in the API."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and start >= end:
            self.add_error("start", gettext("Give a start before the end."))
        return cleaned


@admin.register(Repricing)
class RepricingAdmin(TenantModelAdmin):
    permission_resource = "price"
    form = RepricingForm
    list_select_related = ["workspace"]
    list_display = [
        "__str__", "workspace", "status", "dry_run", "looked_at", "changed", "unknown", "differences", "created_at",
    ]  # fmt: skip
    list_filter = ["status", "dry_run", "workspace"]
    ordering = ["-id"]
    readonly_fields = [
        "status", "looked_at", "changed", "unknown", "sums", "error", "created_at", "updated_at", "finished_at",
    ]  # fmt: skip

    @admin.display(description=_("difference"))
    def differences(self, obj: Repricing) -> str:
        return ", ".join(f"{sums['difference']} {currency}" for currency, sums in sorted(obj.sums.items()))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: Repricing, form: forms.ModelForm[Any], change: bool
    ) -> None:
        obj.user_id = self.actor(request, obj.workspace_id).user_id
        repricing.request(obj)
