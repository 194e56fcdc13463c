"""Schedules that are due: each of their runs starts in one transaction with the step to the next moment.

So no crash and no second worker starts the run of a moment twice, or loses it.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import structlog
from django.db import OperationalError, transaction
from django.utils import timezone

from accounts.actor import Actor
from accounts.actors import actor_in
from agentplatform.lib.errors import BudgetExceeded, Conflict, PlatformError
from runs import commands
from runs.commands import RunRequest, Started
from runs.events import StoredEvent
from runs.models import Schedule
from runs.queueing.multitask import Strategy
from runs.schedules import cron

logger = structlog.get_logger(__name__)

# Runs that one sweep starts: it has others to look after.
BATCH = 50
# A moment that passed longer ago was missed.
ON_TIME = timedelta(minutes=1)
# Missed moments that are made up for; those before them are not.
MOST_MISSED = 100


def start_due() -> list[StoredEvent]:
    """Starts runs of schedules whose moment has come, at most BATCH; the runs' events."""
    now = timezone.now()
    due = Schedule.objects.filter(enabled=True, next_run_at__lte=now).order_by("next_run_at")
    events: list[StoredEvent] = []
    for schedule_id in due.values_list("pk", flat=True)[:BATCH]:
        try:
            events += _start_one(schedule_id, now)
        except OperationalError as error:
            # Something that it needs is in other hands: the next sweep will do.
            logger.info("schedule_postponed", schedule_id=str(schedule_id), error=str(error))
        except Exception:
            # Nobody else's schedule waits for one that cannot be started.
            logger.exception("schedule_failed", schedule_id=str(schedule_id))
    return events


def start(schedule: Schedule, moment: datetime) -> Started:
    """Starts a run as the schedule's owner, with the role that the owner has now. The caller has locked the schedule.

    Raises what `commands.start_run` does, and Conflict where the owner is gone.
    """
    started = commands.start_run(_owner(schedule), _request(schedule, moment))
    schedule.last_run_at, schedule.last_run_id = started.run.created_at, started.run.pk
    return started


@transaction.atomic
def _start_one(schedule_id: uuid.UUID, now: datetime) -> list[StoredEvent]:
    still_due = Schedule.objects.filter(pk=schedule_id, enabled=True, next_run_at__lte=now)
    if (schedule := still_due.select_for_update(no_key=True, skip_locked=True).first()) is None:
        return []  # Somebody was faster, or is changing it.
    moment = _moment_to_start(schedule, now)
    events: list[StoredEvent] = []
    try:
        if moment <= now:
            with transaction.atomic():
                started = start(schedule, moment)
            events = [*started.others, *started.events]
        schedule.next_run_at = _following(schedule, moment, now)
    except BudgetExceeded as error:
        # It passes by itself; the schedule goes on with its next moment.
        logger.warning("schedule_skipped", schedule_id=str(schedule.pk), reason=error.message)
        schedule.next_run_at = _following(schedule, moment, now)
    except PlatformError as error:
        logger.warning("schedule_paused", schedule_id=str(schedule.pk), reason=error.message)
        schedule.enabled, schedule.pause_reason, schedule.next_run_at = False, error.message, None
    schedule.save()
    return events


def _moment_to_start(schedule: Schedule, now: datetime) -> datetime:
    """The moment whose run is started now; one that lies ahead where nothing is."""
    due = schedule.next_run_at
    assert due
    match schedule.catch_up:
        case Schedule.CatchUp.ALL:
            later = cron.newest_ticks(schedule.cron, schedule.timezone, due, now, MOST_MISSED)
            return [due, *later][-MOST_MISSED:][0]
        case Schedule.CatchUp.ONCE:
            return due
    return due if now - due < ON_TIME else cron.next_tick(schedule.cron, schedule.timezone, now - ON_TIME)


def _following(schedule: Schedule, moment: datetime, now: datetime) -> datetime:
    """When it is due next, `moment` being dealt with."""
    after = moment if schedule.catch_up == Schedule.CatchUp.ALL else now
    return cron.next_tick(schedule.cron, schedule.timezone, after)


def _owner(schedule: Schedule) -> Actor:
    owner = schedule.user_id and actor_in(schedule.user_id, schedule.workspace_id, may_be_superuser=True)
    if not owner:
        raise Conflict(
            "Its owner is no active member of the workspace any more. Make another schedule in its place."
        )
    return owner


def _request(schedule: Schedule, moment: datetime) -> RunRequest:
    origin = {"schedule_id": str(schedule.pk), "scheduled_for": moment.isoformat()}
    return RunRequest(
        messages=schedule.input["messages"],
        agent=str(schedule.agent_id),
        session_id=schedule.session_id,
        end_user=schedule.end_user,
        config=schedule.config,
        limits=schedule.limits,
        metadata={**schedule.metadata, **origin},
        tags=tuple(schedule.tags),
        priority=schedule.priority,
        multitask_strategy=Strategy.ENQUEUE,
    )
