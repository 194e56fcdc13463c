"""What can be commanded over a run's WebSocket: `{"action": name, …}`, with the fields that REST takes for the same.

ping                                       start, pause, cancel {reason?}, resume {limits?}
retry                                      answers the `run_id` of the new run
approve {approval_id}                      of this run, or of a run that its tools have started
reject {approval_id, reason?}              the same
edit {approval_id, arguments | result, reason?}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from drf_standardized_errors.formatter import flatten_errors
from rest_framework.serializers import BaseSerializer, ValidationError

from accounts.actor import Actor
from agentplatform.lib.async_views import validated
from agentplatform.lib.error_format import field_of
from agentplatform.lib.errors import Invalid, NotFound
from agentplatform.lib.ids import as_uuid
from runs import approvals, commands
from runs.api.approval_serializers import EditSerializer, RejectSerializer, edit
from runs.api.serializers import ResumeSerializer
from runs.approvals import Decision
from runs.events import StoredEvent
from runs.models import Approval

LONGEST_REASON = 500

Json = dict[str, Any]
# What the client is told beside `ok`, and the events to announce.
Outcome = tuple[Json, list[StoredEvent]]


def obey(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    """Does what a command says. Raises what REST would answer."""
    name = command["action"]
    if name not in actions:
        raise Invalid({"action": f"{name!r} is not a command; send one of {', '.join(actions)}."})
    return actions[name](actor, run_id, command)


def _ping(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return {}, []


def _start(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return {}, commands.enqueue_run(actor, run_id)[1]


def _pause(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return {}, commands.pause_run(actor, run_id)[1]


def _resume(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    limits = _values(ResumeSerializer, command).get("limits")
    return {}, commands.resume_run(actor, run_id, limits)[1]


def _cancel(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return {}, commands.cancel_run(actor, run_id, _reason(command))


def _retry(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    started = commands.retry_run(actor, run_id)
    return {"run_id": str(started.run.pk)}, [*started.others, *started.events]


def _approve(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return _decide(actor, run_id, command, Decision("approve"))


def _reject(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return _decide(
        actor, run_id, command, Decision("reject", _values(RejectSerializer, command).get("reason", ""))
    )


def _edit(actor: Actor, run_id: UUID, command: Json) -> Outcome:
    return _decide(actor, run_id, command, edit(_values(EditSerializer, command)))


actions: dict[str, Callable[[Actor, UUID, Json], Outcome]] = {
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "cancel": _cancel,
    "retry": _retry,
    "approve": _approve,
    "reject": _reject,
    "edit": _edit,
    "ping": _ping,
}


def _decide(actor: Actor, run_id: UUID, command: Json, decision: Decision) -> Outcome:
    approval_id = as_uuid(command.get("approval_id"))
    if approval_id is None:
        raise Invalid({"approval_id": "Send the id of an approval of this run."})
    of_this_run = approvals.of_family(Approval.objects.visible_to(actor), run_id)
    if not of_this_run.filter(pk=approval_id).exists():
        raise NotFound("Approval", approval_id)
    approval, events = approvals.decide(actor, approval_id, decision)
    return {"approval_id": str(approval.pk), "status": approval.status}, events


def _values(serializer: type[BaseSerializer[Any]], command: Json) -> Json:
    """The command's fields as REST takes them in a body."""
    body = {name: value for name, value in command.items() if name not in ("action", "approval_id")}
    try:
        values: Json = validated(serializer, body)
    except ValidationError as error:
        faults = {field_of(fault.attr): str(fault.detail) for fault in flatten_errors(error.detail)}
        raise Invalid(faults) from error
    return values


def _reason(command: Json) -> str:
    reason = command.get("reason", "")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise Invalid({"reason": f"Send a text of at most {LONGEST_REASON} characters, or leave it out."})
    return reason
