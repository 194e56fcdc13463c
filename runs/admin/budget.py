"""Runs in the admin that rest because their budget is spent: resumed with more of it."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import action
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

from accounts.actor import Actor
from agentplatform.lib.decimals import plain
from runs.admin.acts import asking
from runs.admin.verbs import RunVerbs, resume
from runs.api.fields import COST_DIGITS, COST_PLACES, MOST_TOKENS
from runs.events import EventType
from runs.models import Run, RunEvent, Status


def spent_budget(run_id: UUID | str) -> dict[str, Any] | None:
    """`{"limit", "value", "used"}` where the budget is why the run rests."""
    paused = RunEvent.objects.filter(run_id=run_id, type=EventType.RUN_PAUSED).order_by("-seq")
    why = paused.values_list("data", flat=True).first() or {}
    return why if why.get("reason") == "budget_exceeded" else None


class LimitsForm(BaseDialogForm):
    """The limits of a run's budget, as they are. What is left empty stays as it is."""

    max_tokens = forms.IntegerField(
        label=gettext_lazy("Tokens"),
        required=False,
        min_value=1,
        max_value=MOST_TOKENS,
        widget=UnfoldAdminIntegerFieldWidget,
    )
    max_cost = forms.DecimalField(
        label=gettext_lazy("Cost"),
        required=False,
        min_value=0,
        max_digits=COST_DIGITS,
        decimal_places=COST_PLACES,
        widget=UnfoldAdminDecimalFieldWidget,
    )
    timeout = forms.FloatField(
        label=gettext_lazy("Seconds in workers' hands"),
        required=False,
        min_value=0.1,
        max_value=86_400,
        widget=UnfoldAdminDecimalFieldWidget,
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        run = Run.objects.only("limits").get(pk=self.object_id)
        limits = run.limits
        self.initial |= {
            name: limits[name] for name in ("max_tokens", "max_cost", "timeout") if name in limits
        }
        spent = spent_budget(run.pk) or {}
        if spent.get("limit") in self.fields:
            self.fields[spent["limit"]].help_text = _("Used up: %(used)s of %(value)s.") % spent

    def limits(self) -> dict[str, Any]:
        """Those that were filled in, as `limits` of a run have them."""
        given = {name: self.cleaned_data[name] for name in ("max_tokens", "max_cost", "timeout")}
        if given["max_cost"]:
            given["max_cost"] = plain(given["max_cost"])
        return {name: value for name, value in given.items() if value}


class Budgeted(RunVerbs):
    """Mixin of the run's admin."""

    def buttons_for(self, run: Run) -> set[str]:
        wanted = super().buttons_for(run)
        if run.status == Status.PAUSED and spent_budget(run.pk):
            return wanted - {"resume_this"} | {"resume_with_more"}
        return wanted

    @action(
        description=gettext_lazy("Resume with more"),
        url_path="resume-with-more",
        icon="resume",
        permissions=["control"],
        dialog=asking(
            gettext_lazy("Resume this run with a larger budget?"),
            gettext_lazy("It rests because a limit is used up. A worker goes on from its last checkpoint."),
            gettext_lazy("Resume"),
            LimitsForm,
        ),
    )
    def resume_with_more(self, request: HttpRequest, form: LimitsForm, object_id: str) -> HttpResponse:
        return self.act_here(request, object_id, partial(_resume_within, form.limits()))


def _resume_within(limits: dict[str, Any], actor: Actor, run_id: UUID) -> tuple[UUID, str]:
    return resume(actor, run_id, limits)
