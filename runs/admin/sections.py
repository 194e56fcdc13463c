"""What a page of the admin shows below an object: bounded tables of what belongs to it.

They are tables and not inline forms, because nothing in them can be edited and a run has thousands of
events. Long texts are folded, and cut by the database, so that no page grows without bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import F, Func, QuerySet, TextField, Value
from django.db.models.functions import Cast, Left
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from runs.models import Checkpoint, Message, Run, RunEvent, RunStep, Session, ToolCall

EVENTS = 200
ROWS = 100
# Characters of a text that a page holds, and that stand in the row while it is folded.
LONGEST = 4000
FOLDED = 100


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table; `link` leads to the rest of it."""

    title: str
    headers: list[str]
    rows: list[list[Any]]
    link: str = ""
    link_text: str = ""


class WithSections:
    """Mixin: an object's page shows bounded tables of what belongs to it."""

    change_form_outer_after_template = "admin/runs/sections.html"

    class Media:
        css = {"all": ["runs/admin.css"]}

    def sections(self, request: HttpRequest, obj: Any) -> list[Section]:
        """The tables below an object's form."""
        raise NotImplementedError

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Any = None, **kwargs: Any
    ) -> HttpResponse:
        context["sections"] = self.sections(request, obj) if obj else []
        return super().render_change_form(request, context, *args, obj=obj, **kwargs)  # type: ignore[misc]


def run_sections(run: Run, runs: QuerySet[Run]) -> list[Section]:
    """What belongs to a run, as far as there is any; of the runs made from it, those that may be seen."""
    found = [
        approvals_of(run),
        steps_of(run),
        tool_calls_of(run),
        made_from(run, runs),
        last_events_of(run),
        messages_of(run.messages.all()),
        checkpoints_of(run),
    ]
    return [section for section in found if section.rows]


def session_sections(session: Session, runs: QuerySet[Run]) -> list[Section]:
    """A session's last messages, and those of its runs that may be seen."""
    return [messages_of(session.messages.filter(active=True)), runs_of(runs.filter(session=session))]


def steps_of(run: Run) -> Section:
    steps = _newest(RunStep.objects.filter(run=run).annotate(text=_cut("model_response")), ROWS, "messages")
    headers = [
        _("Step"),
        _("Node"),
        _("Type"),
        _("Attempt"),
        _("Seconds"),
        _("Tokens"),
        _("Cost"),
        _("Answer"),
    ]
    return Section(_("Steps"), headers, [_step_row(step) for step in steps])


def _step_row(step: Any) -> list[Any]:
    metrics = step.metrics
    return [
        step.step_num,
        step.node,
        step.get_type_display(),
        step.attempt,
        metrics.get("duration", ""),
        metrics.get("total_tokens", ""),
        metrics.get("cost") or "",
        folded(step.text),
    ]


def approvals_of(run: Run) -> Section:
    headers = [_("Time (UTC)"), _("Tool"), _("Kind"), _("Status"), _("Decided by"), _("Arguments")]
    found = _newest(run.approvals.annotate(text=_cut(Cast("arguments", TextField()))), ROWS, "arguments")
    return Section(_("Approvals"), headers, [_approval_row(approval) for approval in found])


def _approval_row(approval: Any) -> list[Any]:
    page = reverse("admin:runs_approval_change", args=[approval.pk])
    tool = format_html('<a href="{}">{}</a>', page, approval.tool)
    kind, status = approval.get_kind_display(), approval.get_status_display()
    return [when(approval.created_at), tool, kind, status, approval.decided_by, folded(approval.text)]


def tool_calls_of(run: Run) -> Section:
    """The ledger of side effects."""
    headers = [_("Step"), _("Status"), _("Attempt"), _("Begun (UTC)"), _("Seconds"), _("Tool")]
    found = _newest(run.tool_calls.all(), ROWS, "message")
    return Section(_("Tool calls"), headers, [_tool_call_row(call) for call in found])


def _tool_call_row(call: ToolCall) -> list[Any]:
    ended = call.finished_at
    seconds = round((ended - call.claimed_at).total_seconds(), 3) if ended else ""
    tool = _to_run(call.child_run_id, call.tool) if call.child_run_id else call.tool
    return [call.step_num, call.get_status_display(), call.attempt, when(call.claimed_at), seconds, tool]


def made_from(run: Run, runs: QuerySet[Run]) -> Section:
    """Runs that its tools have started, and retries, forks and restored ones."""
    cut = runs.filter(parent=run).annotate(text=Left("input_query", FOLDED))
    found = _newest(cut, ROWS, "input", "input_query", "response_content")
    headers = [_("Time (UTC)"), _("Relation"), _("Agent"), _("Status"), _("Question")]
    rows = [
        [
            when(one.created_at),
            one.get_relation_display(),
            one.executes,
            status_badge(one),
            linked(one),
        ]
        for one in found
    ]
    return Section(_("Runs made from it"), headers, rows)


def last_events_of(run: Run) -> Section:
    """The last EVENTS events; a page of its own has all of them."""
    events = _newest(events_of(run), EVENTS, "data", ordering="seq")
    link = reverse("admin:runs_run_events", args=[run.pk]) if run.last_seq > EVENTS else ""
    return _event_section(_("Events"), events, link, _("All %(total)s events") % {"total": run.last_seq})


def event_page(run: Run, after: int) -> tuple[Section, int | None]:
    """The EVENTS events after `after`, and where the next page begins; None after the last one."""
    events = list(events_of(run).filter(seq__gt=after).order_by("seq").defer("data")[: EVENTS + 1])
    following = events[EVENTS - 1].seq if len(events) > EVENTS else None
    return _event_section(_("Events"), events[:EVENTS]), following


def events_of(run: Run) -> QuerySet[Any]:
    """A run's events with their data as text."""
    return RunEvent.objects.filter(run=run).annotate(text=_cut(Cast("data", TextField())))


def _event_section(title: str, events: Iterable[Any], link: str = "", link_text: str = "") -> Section:
    headers = ["#", _("Time (UTC)"), _("Attempt"), _("Step"), _("Type"), _("Data")]
    return Section(title, headers, [_event_row(event) for event in events], link, link_text)


def _event_row(event: Any) -> list[Any]:
    time = f"{event.timestamp:%H:%M:%S.%f}"[:-3]
    return [event.seq, time, event.attempt, event.step or "", event.type, folded(event.text)]


def messages_of(messages: QuerySet[Message]) -> Section:
    cut = messages.annotate(text=_cut("content"))
    found = _newest(cut, ROWS, "content", "thought", ordering="created_at")
    rows = [[when(row.created_at), row.source, row.type, folded(row.text)] for row in found]
    return Section(_("Messages"), [_("Time (UTC)"), _("Source"), _("Type"), _("Content")], rows)


def checkpoints_of(run: Run) -> Section:
    taken = Checkpoint.objects.filter(run=run)
    found = _newest(taken, ROWS, "checkpoint", "metadata", ordering="checkpoint_id")
    rows = [[when(row.created_at), row.step_num, row.checkpoint_id, row.description] for row in found]
    headers = [_("Time (UTC)"), _("Step"), _("Id"), _("Description")]
    link = reverse("admin:runs_run_checkpoints", args=[run.pk])
    return Section(_("Checkpoints"), headers, rows, link, _("Compare and fork"))


def runs_of(runs: QuerySet[Run], most: int = ROWS) -> Section:
    """The newest of these runs, the last one first."""
    cut = runs.annotate(text=Left("input_query", FOLDED)).defer("input", "input_query", "response_content")
    headers = [_("Time (UTC)"), _("Agent"), _("Status"), _("Tokens"), _("Question")]
    return Section(_("Latest runs"), headers, [_run_row(run) for run in cut.order_by("-id")[:most]])


def _run_row(run: Any) -> list[Any]:
    return [when(run.created_at), run.executes, status_badge(run), run.total_tokens, linked(run)]


def status_badge(run: Any) -> str:
    """A run's status; its colour only repeats what it says."""
    shown = run.get_status_display()
    return format_html('<span class="platform-status" data-status="{}">{}</span>', run.status, shown)


def linked(run: Any) -> str:
    """The beginning of a run's question, which leads to the run's page."""
    return _to_run(run.pk, run.text.strip() or run.pk)


def _to_run(run_id: object, text: object) -> str:
    page = reverse("admin:runs_run_change", args=[run_id])
    return format_html('<a href="{}">{}</a>', page, text)


def when(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def as_written(text: str) -> str:
    """A text with its own line breaks."""
    return format_html('<span class="platform-text">{}</span>', text) if text else ""


def folded(text: str) -> str:
    """A text as it is where it is short; otherwise its beginning, to unfold."""
    if len(text) <= FOLDED:
        return text
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return format_html("<details><summary>{} …</summary><pre>{}</pre></details>", text[:FOLDED], shown)


def _cut(text: str | Cast) -> Func:
    """One character more than is shown tells that there is more."""
    return Left(F(text) if isinstance(text, str) else text, Value(LONGEST + 1))


def _newest(rows: QuerySet[Any], most: int, *heavy: str, ordering: str = "id") -> list[Any]:
    """The last `most` rows, oldest first, without their heavy columns."""
    return list(rows.order_by(f"-{ordering}").defer(*heavy)[:most])[::-1]
