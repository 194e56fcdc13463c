"""The list of what there is of a person."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from accounts import audit
from accounts.models import ApiKey, Membership, SavedFilter
from agents.models import Document, Version
from billing.models import UsageRecord
from runs.models import (
    Approval,
    Attachment,
    Checkpoint,
    Memory,
    Message,
    Run,
    RunEvent,
    RunPayload,
    RunStep,
    Schedule,
    Session,
    ToolCall,
)

Rows = QuerySet[Any]
FILES = "attachment"
"""The part whose rows come with what is in their files."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A person in one workspace, whether they are still its member or not."""

    user_id: uuid.UUID
    workspace_id: uuid.UUID

    @property
    def own(self) -> dict[str, uuid.UUID]:
        return {"workspace_id": self.workspace_id, "user_id": self.user_id}


def runs(subject: Subject) -> QuerySet[Run]:
    """Those that the person has started, and whatever was started in their conversations."""
    theirs = Q(user_id=subject.user_id) | Q(session__user_id=subject.user_id)
    return Run.objects.filter(theirs, workspace_id=subject.workspace_id)


def sessions(subject: Subject) -> QuerySet[Session]:
    return Session.objects.filter(**subject.own)


def attachments(subject: Subject) -> QuerySet[Attachment]:
    """What was sent in the person's conversations, and what they have sent in others'."""
    theirs = Q(user_id=subject.user_id) | Q(session__user_id=subject.user_id)
    return Attachment.objects.filter(theirs, workspace_id=subject.workspace_id)


def memories(subject: Subject) -> QuerySet[Memory]:
    return Memory.objects.filter(**subject.own)


def schedules(subject: Subject) -> QuerySet[Schedule]:
    return Schedule.objects.filter(**subject.own)


def api_keys(subject: Subject) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(**subject.own)


def saved_filters(subject: Subject) -> QuerySet[SavedFilter]:
    return SavedFilter.objects.filter(**subject.own)


def decisions(subject: Subject) -> QuerySet[Approval]:
    """What the person has decided, in whoever's runs."""
    return Approval.objects.filter(workspace_id=subject.workspace_id, decided_by_id=subject.user_id)


def versions(subject: Subject) -> QuerySet[Version]:
    """Of configurations, which stay; the person is their author."""
    return Version.objects.filter(workspace_id=subject.workspace_id, author_id=subject.user_id)


def documents(subject: Subject) -> QuerySet[Document]:
    """Of knowledge bases, which stay; the person has uploaded them."""
    return Document.objects.filter(
        knowledge_base__workspace_id=subject.workspace_id, payer__user_id=str(subject.user_id)
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A table's part of an export: rows as they are, without what is left out of them."""

    kind: str
    rows: Rows
    without: tuple[str, ...] = ()


# What hangs on a run, by its foreign key. `checkpoint` is their list; the states in them say what the steps say.
OF_RUNS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "step": (RunStep, ()),
    "event": (RunEvent, ()),
    "payload": (RunPayload, ()),
    "tool_call": (ToolCall, ()),
    "approval": (Approval, ()),
    "checkpoint": (Checkpoint, ("checkpoint",)),
    "usage": (UsageRecord, ()),
}


def parts(subject: Subject) -> list[Part]:
    """All that is exported, but what hangs on runs."""
    found = sessions(subject)
    return [
        Part("membership", Membership.objects.filter(**subject.own)),
        Part("api_key", api_keys(subject), ("hash",)),
        Part("session", found),
        Part("message", Message.objects.filter(session__in=found)),
        Part(FILES, attachments(subject)),
        Part("memory", memories(subject)),
        Part("schedule", schedules(subject)),
        Part("saved_filter", saved_filters(subject)),
        Part("decision", decisions(subject)),
        Part("version", versions(subject), ("data",)),
        Part("document", documents(subject)),
        Part("audit", audit.AuditEntry.objects.filter(**subject.own)),
        # Of tests of models; those of runs come with them.
        Part("usage", UsageRecord.objects.filter(run_id=None, **subject.own)),
        Part("run", runs(subject)),
    ]
