"""What follows from budgets beside runs: webhooks and mails of levels that were reached, and runs that go on.

A level is a row that the ledger's own transaction writes, so none is lost; that its webhooks are told, and that its
mail is due, is one transaction, so none is told twice. A mail has a job under a lease, which `mail_at` ends and the job
knows, so that of two jobs only one sends; the mail carries the same Message-ID however often it is sent.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from agentplatform.lib import queue
from agentplatform.lib.errors import Conflict, NotFound
from billing.budgets import holds, notices
from billing.budgets.notices import Notice
from billing.models import BudgetNotice
from runs import lifecycle
from runs.events import StoredEvent
from runs.queueing.turns import QUEUE
from runs.webhooks import outbox

MAIL = "runs.mail_of_budget"
# Longer than a server takes to take a mail.
LEASE = timedelta(minutes=2)
# A mail that could not be sent for so long says nothing new any more.
MAILED_WITHIN = timedelta(days=1)


@transaction.atomic
def tell() -> bool:
    """Writes messages to webhooks; whether there may be more to tell of."""
    now = timezone.now()
    found = notices.untold(now)
    for notice in found:
        budget = notice.budget
        data = {**notice.data, "run_id": str(notice.run_id) if notice.run_id else None}
        outbox.write_of_budget(budget.workspace_id, budget.agent_id, notice.type, data, now)
    return len(found) == notices.BATCH


@transaction.atomic
def send_due() -> bool:
    """Puts a job into the queue for each mail that is due, or whose job was lost; none without a mail server."""
    now = timezone.now()
    due = (
        BudgetNotice.objects.filter(mail_at__lte=now).order_by("mail_at").select_for_update(skip_locked=True)
    )
    found = list(due[: notices.BATCH])
    for row in found:
        is_wanted = settings.EMAIL_HOST and row.created_at > now - MAILED_WITHIN
        lease = now + LEASE if is_wanted else None
        _of(row).update(mail_at=lease)
        if lease:
            start = row.period_start.isoformat()
            queue.defer(
                MAIL,
                queue=QUEUE,
                budget_id=str(row.budget_id),
                period_start=start,
                level=row.level,
                lease=lease.isoformat(),
            )
    return len(found) == notices.BATCH


def mail(budget_id: uuid.UUID, period_start: datetime, level: int, lease: datetime) -> None:
    """Sends the mail, unless its job came too late and another has it. What the mail server refuses is sent again after
    the lease. Nothing is locked meanwhile: the ledger waits for no mail server.
    """
    mine = notices.of_notice(budget_id, period_start, level)
    until = timezone.now() + LEASE
    if not mine.filter(mail_at=lease).update(mail_at=until):
        return
    message(mine.select_related("budget__workspace").get()).send()
    mine.filter(mail_at=until).update(mail_at=None)


def message(row: BudgetNotice) -> EmailMessage:
    """The mail of a level; each recipient sees only themselves."""
    budget = row.budget
    notice = Notice(budget, row.period_start, row.level, row.run_id, row.spent_amount, row.spent_tokens)
    data = notice.data
    unit = data["currency"] or "tokens"
    lines = [
        f"Workspace: {budget.workspace.name}",
        f"Budget: {budget.name} (per {budget.period})",
        f"Level: {row.level} %",
        f"Spent: {data['used']} of {data['value']} {unit}",
        f"Action: {budget.action}",
        *([f"Begins anew: {data['resets_at']}"] if data["resets_at"] else []),
    ]
    head = "is exceeded" if notice.type == notices.EXCEEDS else f"has reached {row.level} %"
    name = " ".join(budget.name.split())
    identity = f"<budget.{budget.pk}.{int(row.period_start.timestamp())}.{row.level}@agentplatform>"
    return EmailMessage(
        f"{settings.APP_NAME}: the budget {name} {head}",
        "\n".join(lines) + "\n",
        bcc=list(budget.recipients),
        headers={"Message-ID": identity},
    )


def resume() -> list[StoredEvent]:
    """Lets runs go on that rest because a budget had no room, and now has."""
    events: list[StoredEvent] = []
    for run_id in holds.with_room(timezone.now()):
        try:
            events += lifecycle.resume(run_id)[1]
        except (Conflict, NotFound) as error:
            # It has ended meanwhile, or rests for something else, too: then a person decides.
            if not is_for_budget(error):
                holds.release([run_id])
    return events


def is_for_budget(error: Conflict | NotFound) -> bool:
    """Somebody was faster, and the room is gone again."""
    return isinstance(error.details, dict) and "budget_id" in error.details


def _of(row: BudgetNotice) -> Any:
    return notices.of_notice(row.budget_id, row.period_start, row.level)
