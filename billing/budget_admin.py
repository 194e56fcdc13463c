"""Budgets in the admin: made, changed, and how much of each is spent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelect2Widget, UnfoldAdminTextInputWidget

from accounts.admin_base import TenantForm, TenantModelAdmin, reach
from accounts.models import ApiKey, User
from agentplatform.lib.decimals import plain
from agentplatform.lib.errors import Invalid
from billing.budgets import counters, editing, targets
from billing.budgets.periods import EVER
from billing.budgets.room import Counter
from billing.budgets.scope import FIELDS
from billing.budgets.targets import Named
from billing.models import Budget

MOST_OFFERED = 1_000
"""Of agents, of members and of keys each, that a form offers."""
IDS = ("agent_id", "user_id", "api_key_id")
CHANGEABLE = ("name", "limit_amount", "limit_tokens", "warning_levels", "action", "recipients", "enabled")
PERIODS_SHOWN = 12
FULL = 100


HELP = {
    "limit_amount": _("In the workspace's currency."),
    "limit_tokens": _("Input and output."),
    "action": _(
        "What happens when it is spent. Alert: it is only told. Block: no call begins. Pause: runs rest until there "
        "is room."
    ),
    "agent_id": _("Empty: any."),
    "user_id": _("Empty: any."),
    "api_key_id": _("Empty: any."),
    "provider": _("Empty: any."),
    "model": _("The provider's id of the model. Empty: any."),
    "warning_levels": _("Percents of the limit, separated by commas. Each is told once in a period."),
    "recipients": _("Addresses that are mailed, separated by commas. Webhooks are told in any case."),
}


class BudgetForm(TenantForm):
    """A budget, checked as in the API."""

    class Meta:
        labels = {"time_zone": _("Time zone")}
        help_texts = HELP

    def clean_warning_levels(self) -> list[int]:
        levels = sorted(set(self.cleaned_data["warning_levels"] or []))
        if levels and not 1 <= levels[0] <= levels[-1] <= 1000:
            raise ValidationError(_("Use percents from 1 to 1000."))
        return levels

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        limits = [cleaned.get("limit_amount"), cleaned.get("limit_tokens")]
        if all(limit is None for limit in limits) and not self.errors:
            self.add_error("limit_amount", _("Limit the money, the tokens or both."))
        for name in ("limit_amount", "limit_tokens"):
            if (limit := cleaned.get(name)) is not None and limit <= 0:
                self.add_error(name, _("Give more than 0."))
        if self.instance._state.adding and not self.errors:
            self._check_targets(cleaned)
        return cleaned

    def _check_targets(self, cleaned: dict[str, Any]) -> None:
        try:
            editing.check_targets(Budget(**{name: cleaned.get(name) for name in ("workspace", *FIELDS)}))
        except Invalid as error:
            for entry in error.details:
                self.add_error(entry["field"], entry["message"])


class WithCounters(ChangeList):
    """The page's budgets with what is spent of each, read together."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        found = counters.present(self.result_list)
        for budget in self.result_list:
            budget.counter = found[budget.pk]


@admin.register(Budget)
class BudgetAdmin(TenantModelAdmin):
    permission_resource = "budget"
    deletes_by_verb = True
    form = BudgetForm
    list_select_related = ["workspace"]
    list_display = ["name", "workspace", "period", "limit", "spent", "action", "enabled"]
    list_filter = ["period", "action", "enabled", "workspace"]
    search_fields = ["name"]
    ordering = ["name"]
    readonly_fields = ["currency", "time_zone", "created_by", "created_at", "spent", "past"]
    readonly_fields += ["of_agent", "of_user", "of_key"]
    fieldsets = [
        (None, {"fields": ["name", "period", "limit_amount", "limit_tokens", "action", "enabled", "spent"]}),
        (_("Whose calls"), {"fields": FIELDS}),
        (_("Warnings"), {"fields": ["warning_levels", "recipients"]}),
        (_("Periods"), {"fields": ["past", "currency", "time_zone", "created_by", "created_at"]}),
    ]

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return WithCounters

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """What a budget is of, and its period, never change."""
        fields = super().get_readonly_fields(request, obj)
        return [*fields, *editing.FIXED] if obj else fields

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """A new one has spent nothing that could be shown; of others stand the names that a new one chooses from."""
        shown = super().get_fieldsets(request, obj)
        if obj is not None:
            return [
                (title, {"fields": [named_by_id.get(name, name) for name in options["fields"]]})
                for title, options in shown
            ]
        return [
            (title, {"fields": [name for name in options["fields"] if name not in self.readonly_fields]})
            for title, options in shown
            if title != _("Periods")
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, "write:budget", obj)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name in ("warning_levels", "recipients"):
            options["widget"] = UnfoldAdminTextInputWidget
        if db_field.name in IDS:
            return _choice(db_field, request)
        return super().formfield_for_dbfield(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Budget, form: forms.ModelForm[Any], change: bool) -> None:
        if change:
            editing.update(
                obj, {name: getattr(obj, name) for name in CHANGEABLE if name in form.changed_data}
            )
        else:
            obj.created_by = request.user  # type: ignore[assignment]
            editing.create(obj)

    def delete_model(self, request: HttpRequest, obj: Budget) -> None:
        editing.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Budget]) -> None:
        for budget in queryset:
            editing.delete(budget)

    @admin.display(description=_("agent"))
    def of_agent(self, budget: Budget) -> str:
        return _name("agent_id", budget)

    @admin.display(description=_("user"))
    def of_user(self, budget: Budget) -> str:
        return _name("user_id", budget)

    @admin.display(description=_("API key"))
    def of_key(self, budget: Budget) -> str:
        return _name("api_key_id", budget)

    @admin.display(description=_("Limit"))
    def limit(self, budget: Budget) -> str:
        money = f"{plain(budget.limit_amount)} {budget.currency}" if budget.limit_amount is not None else ""
        tokens = _tokens(budget.limit_tokens) if budget.limit_tokens is not None else ""
        return ", ".join(filter(None, (money, tokens)))

    @admin.display(description=_("Spent"))
    def spent(self, budget: Budget) -> SafeString:
        counter = getattr(budget, "counter", None) or counters.present([budget])[budget.pk]
        return _bar(counter)

    @admin.display(description=_("Past periods"))
    def past(self, budget: Budget) -> SafeString:
        rows: Sequence[Any] = counters.history(budget)[:PERIODS_SHOWN]
        shown = [(_day(row.period_start), _bar(counters.as_counter(row, budget))) for row in rows]
        return format_html_join("", '<div class="mb-2">{} {}</div>', shown) or SafeString("–")


named_by_id = {"agent_id": "of_agent", "user_id": "of_user", "api_key_id": "of_key"}
"""Which column tells the name that an id of a budget stands for."""


def _rows(field: str, workspace_ids: Sequence[Any]) -> Named:
    """What a budget of these workspaces may be of: ids with names."""
    if field == "agent_id":
        return targets.agents_of(workspace_ids)
    if field == "user_id":
        members = User.objects.filter(memberships__workspace__in=workspace_ids).distinct()
        return list(members.order_by("username").values_list("pk", "username"))
    keys = ApiKey.objects.filter(workspace__in=workspace_ids, revoked_at=None).order_by("name")
    return [(key.pk, str(key)) for key in keys[:MOST_OFFERED]]


def _choice(db_field: Any, request: HttpRequest) -> forms.TypedChoiceField:
    """A field that offers names for an id. Which workspace each is of is checked with the form."""
    workspaces = list(reach(request).workspaces("write:budget").values_list("pk", flat=True))
    rows = _rows(db_field.name, workspaces)[:MOST_OFFERED]
    return forms.TypedChoiceField(
        label=capfirst(db_field.verbose_name),
        help_text=HELP[db_field.name],
        choices=[("", "---------"), *((str(key), name) for key, name in rows)],
        coerce=UUID,
        empty_value=None,
        required=False,
        widget=UnfoldAdminSelect2Widget(),
    )


def _name(field: str, budget: Budget) -> str:
    """The name; of what is gone, the id."""
    key = getattr(budget, field)
    return dict(_rows(field, [budget.workspace_id])).get(key, str(key)) if key else "–"


def _tokens(count: int) -> str:
    return gettext("%(count)s tokens") % {"count": f"{count:,}"}


def _day(start: Any) -> str:
    return "" if start == EVER else f"{start:%Y-%m-%d %H:%M} UTC"


def _bar(counter: Counter) -> SafeString:
    """How much is spent, as a bar; its label says the same in words."""
    percent = counters.percent(counter)
    color = "bg-red-500" if percent >= FULL else "bg-primary-500"
    amount = f"{plain(counter.spent_amount)} {counter.budget.currency}, {_tokens(counter.spent_tokens)}"
    return format_html(
        '<div role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{}" aria-label="{}">'
        '<div class="bg-base-200 dark:bg-base-700 rounded h-2 w-32 overflow-hidden">'
        '<div class="{} h-2" style="width: {}%"></div></div> {} % '
        '<span class="text-font-subtle-light dark:text-font-subtle-dark">{}</span></div>',
        min(percent, FULL),
        counter.budget.name,
        color,
        min(percent, FULL),
        percent,
        amount,
    )
