"""The dialogs that decide an approval in the admin."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextareaWidget

from agentplatform.lib.errors import Invalid
from runs import approvals
from runs.api.approval_serializers import LONGEST_REASON
from runs.approvals import Decision
from runs.models import Approval


class IndentedJsonField(forms.JSONField):
    """JSON as people read it."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, InvalidJSONInput) or value is None:
            return value
        return json.dumps(value, indent=2, ensure_ascii=False)


class RejectForm(BaseDialogForm):
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )

    def decision(self) -> Decision:
        return Decision("reject", self.cleaned_data["reason"])


class EditForm(BaseDialogForm):
    """Other arguments; of a call whose effect is unknown its result instead. Checked as the domain does."""

    arguments = IndentedJsonField(label=_("Arguments"), required=False)
    result = IndentedJsonField(
        label=_("Result"),
        required=False,
        help_text=_("What the call has answered, as JSON, if you know it: then it is not made again."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.approval = Approval.objects.select_related("run").get(pk=self.object_id)
        self.initial["arguments"] = self.approval.arguments
        if self.approval.kind != Approval.Kind.UNKNOWN_EFFECT:
            del self.fields["result"]

    def clean_arguments(self) -> dict[str, Any]:
        arguments = self.cleaned_data["arguments"] or {}
        if not isinstance(arguments, dict):
            raise forms.ValidationError(_("Arguments are a JSON object."))
        return arguments

    def clean(self) -> dict[str, Any] | None:
        if not self.errors:
            try:
                approvals.check(self.approval, self.decision())
            except Invalid as error:
                for fault in error.details:
                    self.add_error(
                        fault["field"] if fault["field"] in self.fields else None, fault["message"]
                    )
        return self.cleaned_data

    def decision(self) -> Decision:
        reason, result = self.cleaned_data["reason"], self.cleaned_data.get("result")
        if result is not None:
            return Decision("edit", reason, result=result, has_result=True)
        return Decision("edit", reason, arguments=self.cleaned_data["arguments"])
