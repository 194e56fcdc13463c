"""What a fork does otherwise than its source, as a form of the admin."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from agentplatform.lib.json import Indented
from runs.history.branches import Modifications
from runs.history.checkpoints import State

LONGEST_QUERY = 100_000
LONGEST_PROMPT = 100_000


class ForkForm(forms.Form):
    """It begins with what the checkpoint has. Of an agent: the question and the prompt; of a workflow: its state."""

    question = forms.CharField(
        required=False,
        max_length=LONGEST_QUERY,
        label=gettext_lazy("Question"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=gettext_lazy("Takes the place of the user's last message; what came after it is dropped."),
    )
    system_prompt = forms.CharField(
        required=False,
        max_length=LONGEST_PROMPT,
        label=gettext_lazy("System prompt"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=gettext_lazy("Of this fork alone; the agent stays as it is."),
    )
    state = forms.JSONField(
        required=False,
        encoder=Indented,
        label=gettext_lazy("State"),
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 10}),
        help_text=gettext_lazy("Fields that are changed here take the place of those in the state."),
    )
    description = forms.CharField(
        required=False,
        max_length=1000,
        label=gettext_lazy("Description"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Why it was forked."),
    )

    def __init__(self, state: State, data: Any = None) -> None:
        self.source = state
        asked = [one["content"] for one in state.messages if one.get("role") == "user"]
        self._question = asked[-1] if asked and isinstance(asked[-1], str) else ""
        self._prompt = state.agent_config.get("system_prompt", "")
        initial = {"question": self._question, "system_prompt": self._prompt, "state": state.fields or {}}
        super().__init__(data, initial=initial)
        for name in ("state",) if state.fields is None else ("question", "system_prompt"):
            del self.fields[name]
        if "state" in self.fields:
            self.initial["state"] = json.loads(json.dumps(state.fields, default=str))

    def clean_state(self) -> Any:
        given = self.cleaned_data["state"]
        if given is not None and not isinstance(given, dict):
            raise forms.ValidationError(_("Give the state as a JSON object."))
        return given

    @property
    def modifications(self) -> Modifications:
        """Only what differs from the checkpoint; a run that had its answer there is asked again."""
        cleaned = self.cleaned_data
        if self.source.fields is not None:
            known = self.initial["state"]
            changed = {
                name: value for name, value in (cleaned["state"] or {}).items() if known.get(name) != value
            }
            return Modifications(state=changed or None)
        question, prompt = cleaned["question"], cleaned["system_prompt"]
        is_asked_again = question != self._question or self.source.is_final
        return Modifications(
            modified_query=question if is_asked_again else "",
            system_prompt=prompt if prompt != self._prompt else None,
        )
