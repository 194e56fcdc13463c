"""The ledger, to read; prices, to add and to withdraw before they are in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.admin_base import TenantForm, TenantModelAdmin
from agentplatform.lib.admin_lists import CappedPaginator
from agentplatform.lib.errors import Invalid
from billing import price_list
from billing.admin_exports import UsageExportAdmin
from billing.models import Entry, Price, UsageRecord

__all__ = ["PriceAdmin", "UsageExportAdmin", "UsageRecordAdmin"]


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


@admin.register(UsageRecord)
class UsageRecordAdmin(TenantModelAdmin):
    permission_resource = "usage"
    paginator = CappedPaginator
    show_full_result_count = False
    list_select_related = ["workspace", "user_name"]
    list_display = [
        "timestamp", "workspace", "status", "agent", "user_name", "provider", "model",
        "input_tokens", "output_tokens", "cost", "currency",
    ]  # fmt: skip
    list_filter = [EntryFilter, "status", "workspace"]
    search_fields = ["run_id__exact", "call_id__exact"]
    search_help_text = _("Id of a run or of a model call")
    ordering = ["-id"]
    sortable_by = ()
    list_per_page = 50
    readonly_fields = ["user_name", "end_user_name", "api_key_name"]

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
        for name in [name for name in cleaned if name.endswith("_per_million")]:
            if (amount := cleaned[name]) is not None and not 0 <= amount <= price_list.HIGHEST_PRICE:
                self.add_error(name, f"Use a price from 0 to {price_list.HIGHEST_PRICE} per million tokens.")
        return cleaned

    def clean_valid_from(self) -> Any:
        valid_from = self.cleaned_data["valid_from"]
        try:
            price_list.check_start(valid_from)
        except Invalid as error:
            raise ValidationError(error.details[0]["message"]) from error
        return valid_from


@admin.register(Price)
class PriceAdmin(TenantModelAdmin):
    permission_resource = "price"
    form = PriceForm
    list_select_related = ["workspace"]
    list_display = [
        "provider", "model", "workspace", "input_per_million", "cached_per_million",
        "cache_write_per_million", "output_per_million", "valid_from",
    ]  # fmt: skip
    list_filter = ["provider", "workspace"]
    search_fields = ["model"]

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
