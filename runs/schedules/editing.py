"""What people do with schedules: make, change, pause, resume and trigger them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts import audit
from accounts.actor import Actor
from agentplatform.lib.errors import NotFound
from runs.commands import Started
from runs.models import Schedule, Session
from runs.schedules import cron, due

# What decides when it is due next.
CLOCK = frozenset({"cron", "timezone", "enabled"})


def create(actor: Actor, values: Mapping[str, Any]) -> Schedule:
    """A new schedule of the actor's; `values` are attributes by name.

    Raises PermissionDenied, without `execute:agent` too, Invalid (`cron`, `timezone`) and NotFound (session).
    """
    _require(actor)
    schedule = Schedule(workspace_id=actor.workspace_id, user_id=actor.user_id)
    return _save(actor, schedule, values)


def change(actor: Actor, schedule: Schedule, values: Mapping[str, Any]) -> Schedule:
    """Writes `values`; where they change when it is due, it goes on from now. Raises as `create` does."""
    with _changing(actor, schedule.pk) as found:
        return _save(actor, found, values)


def pause(actor: Actor, schedule_id: uuid.UUID) -> Schedule:
    """No runs until it is resumed. A second time changes nothing."""
    with _changing(actor, schedule_id) as schedule:
        return _save(actor, schedule, {"enabled": False}) if schedule.enabled else schedule


def resume(actor: Actor, schedule_id: uuid.UUID) -> Schedule:
    """Goes on with the next moment; those of the pause are not made up for. A second time changes nothing."""
    with _changing(actor, schedule_id) as schedule:
        return schedule if schedule.enabled else _save(actor, schedule, {"enabled": True})


def trigger(actor: Actor, schedule_id: uuid.UUID) -> Started:
    """Starts a run now, as the owner's, whether the schedule is paused or not; its next moment stays.

    Raises what `commands.start_run` does, and Conflict where the owner is gone.
    """
    with _changing(actor, schedule_id) as schedule:
        audit.current().actor = actor
        started = due.start(schedule, timezone.now())
        schedule.save()
        return started


@contextmanager
def _changing(actor: Actor, schedule_id: uuid.UUID) -> Iterator[Schedule]:
    """The schedule, locked: the sweep waits for what people do. Raises NotFound where the actor does not see it."""
    _require(actor)
    with transaction.atomic():
        visible = Schedule.objects.visible_to(actor).select_for_update(no_key=True)
        if (schedule := visible.filter(pk=schedule_id).first()) is None:
            raise NotFound("Schedule", schedule_id)
        yield schedule


def _require(actor: Actor) -> None:
    """Whoever lets agents run by the clock must be allowed to run them."""
    actor.require("write:schedule")
    actor.require("execute:agent")


def _save(actor: Actor, schedule: Schedule, values: Mapping[str, Any]) -> Schedule:
    if session_id := values.get("session_id"):
        Session.objects.named(actor, session_id)
    is_new, before = schedule._state.adding, audit.fingerprint_of(schedule)
    is_set_anew = any(getattr(schedule, name) != values[name] for name in CLOCK & values.keys())
    for name, value in values.items():
        setattr(schedule, name, value)
    if is_set_anew or is_new:
        _set_clock(schedule)
    with transaction.atomic():
        schedule.save()
        if is_new:
            audit.created(schedule, actor=actor)
        else:
            audit.updated(schedule, before, actor=actor)
    return schedule


def _set_clock(schedule: Schedule) -> None:
    cron.check(schedule.cron, schedule.timezone)
    schedule.pause_reason = ""
    schedule.next_run_at = (
        cron.next_tick(schedule.cron, schedule.timezone, timezone.now()) if schedule.enabled else None
    )
