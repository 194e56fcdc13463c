"""What happened: sessions, messages, runs, steps, events, checkpoints, approvals, and the workers that made them.

Beside them: schedules, which start runs, and webhooks, which tell of them.
"""

from runs.models.approvals import Approval, ApprovalQuerySet, ToolCall
from runs.models.attachments import Attachment, AttachmentQuerySet
from runs.models.checkpoints import Checkpoint, CheckpointBlob, CheckpointQuerySet, CheckpointWrite
from runs.models.figures import ALL_EXECUTED, DAY, EVERYBODY, QUARTER, Figures, Kind, Measurement
from runs.models.idempotency import IdempotencyKey
from runs.models.journal import RunEvent, RunPayload, RunStep
from runs.models.memory import Memory, MemoryQuerySet
from runs.models.ownership import OwnedQuerySet, RunQuerySet, SessionQuerySet, protect_while_active
from runs.models.runs import Relation, Run
from runs.models.schedules import Schedule, ScheduleQuerySet
from runs.models.sessions import Message, Session
from runs.models.states import ACTIVE, AT_REST, IN_FLIGHT, TERMINAL, UNDER_WAY, ErrorClass, Status
from runs.models.totals import FamilyTotals
from runs.models.webhooks import DeliveryQuerySet, Webhook, WebhookDelivery
from runs.models.workers import Worker, WorkerQuerySet

__all__ = [
    "ACTIVE",
    "ALL_EXECUTED",
    "AT_REST",
    "DAY",
    "EVERYBODY",
    "IN_FLIGHT",
    "QUARTER",
    "TERMINAL",
    "UNDER_WAY",
    "Approval",
    "ApprovalQuerySet",
    "Attachment",
    "AttachmentQuerySet",
    "Checkpoint",
    "CheckpointBlob",
    "CheckpointQuerySet",
    "CheckpointWrite",
    "DeliveryQuerySet",
    "ErrorClass",
    "FamilyTotals",
    "Figures",
    "IdempotencyKey",
    "Kind",
    "Measurement",
    "Memory",
    "MemoryQuerySet",
    "Message",
    "OwnedQuerySet",
    "Relation",
    "Run",
    "RunEvent",
    "RunPayload",
    "RunQuerySet",
    "RunStep",
    "Schedule",
    "ScheduleQuerySet",
    "Session",
    "SessionQuerySet",
    "Status",
    "ToolCall",
    "Webhook",
    "WebhookDelivery",
    "Worker",
    "WorkerQuerySet",
    "protect_while_active",
]
