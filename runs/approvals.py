"""Deciding what a run waits for: who may, once, and what the run makes of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from accounts import audit
from accounts.actor import Actor
from accounts.audit import Action
from agentplatform.lib.errors import Conflict, Invalid, PermissionDenied
from agentplatform.lib.text import storable
from agents.pinned import load
from agents.specification import ToolSpecification
from agents.tools.base import ToolFault, is_too_deep
from agents.tools.call import arguments_schema
from agents.tools.schemas import check_arguments
from agents.workflows.specification import load_workflow
from runs import lifecycle
from runs.events import EventType, StoredEvent
from runs.models import TERMINAL, Approval, Run

decided = {"approve": Action.APPROVED, "reject": Action.REJECTED, "edit": Action.EDITED}


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says: `approve`, `reject` with a reason, or `edit` with other arguments.

    Of a call whose effect is unknown `approve` makes it again, and `edit` may give its `result` instead.
    """

    verb: str
    reason: str = ""
    arguments: Mapping[str, Any] | None = None
    result: Any = None
    has_result: bool = False

    @property
    def status(self) -> Approval.Status:
        return {
            "approve": Approval.Status.APPROVED,
            "reject": Approval.Status.REJECTED,
            "edit": Approval.Status.EDITED,
        }[self.verb]


def decide(actor: Actor, approval_id: object, decision: Decision) -> tuple[Approval, list[StoredEvent]]:
    """Writes a person's decision and lets the run go on, in one transaction. The same decision again changes nothing.

    Raises NotFound, PermissionDenied, Invalid (arguments that the tool does not take), and Conflict when it was
    decided otherwise or its run has ended.
    """
    approval = decidable(actor, approval_id)
    check(approval, decision)
    with lifecycle.changing(approval.run_id) as change:
        approval = Approval.objects.select_for_update().get(pk=approval.pk)
        if _is_repeated(approval, decision, actor):
            return approval, []
        _require_open(approval, change.run)
        _write(approval, decision, change, actor)
        audit.record(
            decided[decision.verb],
            audit.Thing("Approval", approval.pk, approval.tool, actor.workspace_id),
            actor=actor,
            after={"run_id": approval.run_id},
        )
    return approval, change.stored


def decidable(actor: Actor, approval_id: object) -> Approval:
    """The approval, if the actor may decide it: of its own runs, or with `control:all-runs` of others'."""
    approval: Approval = Approval.objects.select_related("run").named(actor, approval_id)
    actor.require("decide:approval")
    if not may_decide(actor, approval.run):
        raise PermissionDenied("This run belongs to somebody else; deciding for it needs 'control:all-runs'.")
    return approval


def may_decide(actor: Actor, run: Run) -> bool:
    """Whether the actor may decide what a run waits for."""
    is_own = run.user_id == actor.user_id
    return actor.may("decide:approval") and (is_own or actor.may("control:all-runs"))


def due(most: int) -> list[uuid.UUID]:
    """Approvals whose deadline has passed, the longest overdue first."""
    pending = Approval.objects.filter(status=Approval.Status.PENDING, deadline__lte=Now())
    return list(pending.order_by("deadline").values_list("pk", flat=True)[:most])


def expire(approval_id: uuid.UUID) -> list[StoredEvent]:
    """Decides what nobody has decided in time, as its tool says. Answers the events."""
    run_id = Approval.objects.values_list("run_id", flat=True).get(pk=approval_id)
    with lifecycle.changing(run_id) as change:
        approval = Approval.objects.select_for_update().get(pk=approval_id)
        if approval.status != Approval.Status.PENDING:
            return []
        if change.run.is_terminal:
            approval.status, approval.decided_at = Approval.Status.CANCELLED, change.now
            approval.save(update_fields=["status", "decided_at"])
            return []
        _write(approval, Decision(approval.default, "Nobody has decided in time."), change)
    return change.stored


def check(approval: Approval, decision: Decision) -> None:
    """Raises Invalid for arguments that the tool does not take, and for a result where none can be given."""
    if decision.has_result:
        if approval.kind != Approval.Kind.UNKNOWN_EFFECT:
            raise Invalid({"result": "Only a call whose effect is unknown can be given its result."})
        if is_too_deep(decision.result):
            raise Invalid({"result": "It is nested too deep."})
    if decision.arguments is not None:
        _check_arguments(approval, decision.arguments)


def _check_arguments(approval: Approval, arguments: Mapping[str, Any]) -> None:
    """By the schema of the tool as the run is pinned to it."""
    tool = _tool_of(approval)
    try:
        if tool:
            check_arguments(arguments_schema(tool), arguments)
    except ToolFault as fault:
        raise Invalid({"arguments": fault.message}) from fault


def _tool_of(approval: Approval) -> ToolSpecification | None:
    """None of a node that asks by itself: it takes whatever it is given."""
    run = approval.run
    if approval.kind == Approval.Kind.NODE:
        return None
    if run.workflow_version_id:
        # Its calls have their nodes' ids; a name may be a tool's and a node's.
        return load_workflow(run.workflow_version_id, run.pins, run.config).tools.get(approval.call_id)
    if run.agent_version_id:
        return load(run.agent_version_id, run.pins, run.config, run.overrides).tool(approval.tool)
    return None


def _is_repeated(approval: Approval, decision: Decision, actor: Actor) -> bool:
    """Whether the same person has decided the same before."""
    edited = None if decision.arguments is None else storable(dict(decision.arguments))
    result = {"value": storable(decision.result)} if decision.has_result else None
    return (approval.status, approval.edited, approval.result, approval.decided_by_id) == (
        decision.status,
        edited,
        result,
        actor.user_id,
    )


def _require_open(approval: Approval, run: lifecycle.RunState) -> None:
    if approval.status != Approval.Status.PENDING:
        raise Conflict(
            f"It was {approval.status} already.",
            details={"status": approval.status, "decided_by": approval.decided_by},
        )
    if run.status in TERMINAL:
        raise Conflict(f"Its run is {run.status}.", details={"run_id": str(run.id), "status": run.status})


def _write(
    approval: Approval, decision: Decision, change: lifecycle.Change, actor: Actor | None = None
) -> None:
    """The decision, the event that tells it, and the run's going on."""
    approval.status, approval.reason, approval.decided_at = (
        decision.status,
        storable(decision.reason),
        change.now,
    )
    if decision.arguments is not None:
        approval.edited = storable(dict(decision.arguments))
    if decision.has_result:
        approval.result = {"value": storable(decision.result)}
    if actor:
        approval.decided_by, approval.decided_by_id = actor.username, actor.user_id
    approval.save(
        update_fields=["status", "reason", "decided_at", "edited", "result", "decided_by", "decided_by_id"]
    )
    told = {"approval_id": str(approval.pk), "status": str(approval.status)}
    change.run.add_event(
        EventType.APPROVAL_RESOLVED,
        change.now,
        **told,
        decided_by=approval.decided_by,
        reason=approval.reason,
    )
    lifecycle.proceed(change.run, change.now)


def pending_of(run: Run) -> list[uuid.UUID]:
    """The ids of what a run, or a run below it, waits for a person to decide."""
    family = [run.pk, *lifecycle.active_below(run.pk)]
    pending = Approval.objects.filter(run_id__in=family, status=Approval.Status.PENDING)
    return list(pending.order_by("pk").values_list("pk", flat=True))


def of_family(approvals: QuerySet[Approval], run_id: uuid.UUID) -> QuerySet[Approval]:
    """Those of a run and of the runs that its tools have started."""
    return approvals.filter(run_id__in=[run_id, *lifecycle.all_below(run_id)])
