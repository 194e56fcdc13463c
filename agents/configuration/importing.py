"""A workspace's configuration made what a text says: in one transaction, tried or for good.

A trial is the import itself, taken back at the end. So it finds whatever the import would find.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from rest_framework.exceptions import APIException, ValidationError

from accounts import audit
from accounts.actor import Actor
from agentplatform.lib.error_format import as_platform_error
from agentplatform.lib.errors import Conflict, Invalid, PermissionDenied, PlatformError
from agentplatform.lib.locks import lock_name
from agents import editing
from agents.configuration import text
from agents.configuration.documents import difference
from agents.configuration.exporting import default_agent
from agents.configuration.kinds import agents as agent_section
from agents.configuration.order import Loose, in_order
from agents.configuration.secrets import named_in
from agents.configuration.sections import (
    Json,
    Lookup,
    Reference,
    Section,
    no_secrets,
    registry,
    with_placeholders,
)
from agents.configuration.text import UNCHANGED, Wanted
from agents.versions import lock
from agents.workflows.faults import Place

Documents = dict[Reference, Json]


@dataclass(frozen=True, slots=True)
class Change:
    """What has become of a component: created, updated or deleted."""

    type: str
    name: str
    change: str
    difference: Json


@dataclass(slots=True)
class Report:
    """What an import has done or, of a trial, would do. `faults` only where the sound part was kept."""

    is_trial: bool
    changes: list[Change]
    unchanged: int
    faults: dict[Place, str] = field(default_factory=dict)

    def count(self, change: str) -> int:
        return sum(one.change == change for one in self.changes)


def import_text(
    actor: Actor, written: str, *, secrets: Lookup = no_secrets, prune: bool = False, is_trial: bool = False
) -> Report:
    """All or nothing. Raises Invalid with an entry per fault (`agents.shop-assistant.model`) and its line."""
    wanted = text.read(written)
    if wanted.faults:
        raise text.refusal(wanted.faults, written)
    with transaction.atomic():
        report = make(actor, wanted, secrets=secrets, prune=prune, is_trial=is_trial)
        if report.faults:
            raise text.refusal(report.faults, written)
    return report


@transaction.atomic
def make(
    actor: Actor, wanted: Wanted, *, secrets: Lookup = no_secrets, prune: bool = False, is_trial: bool = False
) -> Report:
    """Makes as much of `wanted` as can be made; what cannot stands in the report's `faults`.

    With `prune`, components that are not wanted are deleted, of those sections that the text has. Raises
    PermissionDenied.
    """
    # Two imports at once: the second compares with what the first has made.
    lock_name(f"configuration:{actor.workspace_id}")
    sections = [registry[kind] for kind in registry if _concerns(kind, wanted)]
    before, agent = _documents(actor, sections), default_agent(actor)
    work = _written(actor, wanted, before, secrets)
    if prune:
        work.prune()
    after = _documents(actor, sections)
    unchanged = sum(one in before and before[one] == after.get(one) for one in wanted.documents)
    report = Report(is_trial, _changes(before, after), unchanged)
    report.faults = work.faults
    if (now := default_agent(actor)) != agent:
        report.changes.append(
            Change("default_agent", "", "updated", {"default_agent": {"old": agent, "new": now}})
        )
    if is_trial:
        transaction.set_rollback(True)
    return report


def _written(actor: Actor, wanted: Wanted, before: Documents, secrets: Lookup) -> _Import:
    """What can be written. A component of two rounds is written as a whole or not at all: where its second round fails,
    all is taken back and done again without it.
    """
    left_out: dict[Reference, Mapping[str, str]] = {}
    while True:
        work = _Import(actor, wanted, before, secrets)
        try:
            with transaction.atomic():
                work.run(left_out)
                if work.half_done:
                    raise _HalfDone
        except _HalfDone:
            left_out |= work.half_done
        else:
            return work


def _concerns(kind: str, wanted: Wanted) -> bool:
    return kind in wanted.sections or any(reference[0] == kind for reference in wanted.documents)


def _documents(actor: Actor, sections: list[Section]) -> Documents:
    found: Documents = {}
    for section in sections:
        actor.require(f"read:{section.resource}")
        found |= {(section.type, name): document for name, document in section.documents(actor).items()}
    return found


def _changes(before: Documents, after: Documents) -> list[Change]:
    found = []
    for reference in sorted(before.keys() | after.keys(), key=_place):
        old, new = before.get(reference), after.get(reference)
        if old != new:
            change = "deleted" if new is None else "updated" if old is not None else "created"
            found.append(Change(*reference, change, difference(old, new)))
    return found


def _place(reference: Reference) -> tuple[int, str]:
    return list(registry).index(reference[0]), reference[1]


class _HalfDone(Exception):
    """Takes back what was written in a first round."""


class _Import:
    """One import on its way."""

    def __init__(self, actor: Actor, wanted: Wanted, before: Documents, secrets: Lookup) -> None:
        self.actor, self.wanted, self.before, self.secrets = actor, wanted, before, secrets
        self.faults: dict[Place, str] = {}
        self.failed: set[Reference] = set()
        self.half_done: dict[Reference, Mapping[str, str]] = {}
        """Those whose first round was written and whose second was refused, and why."""

    def run(self, left_out: Mapping[Reference, Mapping[str, str]]) -> None:
        """Writes all but what is left out, which has failed already."""
        for reference, faults in left_out.items():
            self._fail(reference, faults)
        order, waiting = in_order(self.wanted.documents)
        self._wait_with_disabling(waiting)
        for reference in order:
            if reference not in left_out:
                self._write(reference, waiting.get(reference, set()))
        for reference in order:
            if (
                reference in waiting
                and reference not in self.failed
                and (faults := self._write(reference, set()))
            ):
                self.half_done[reference] = faults
        default = self.wanted.default_agent
        if default is not UNCHANGED and ("agent", default) not in self.failed:
            self._set_default(default)

    def _wait_with_disabling(self, waiting: Loose) -> None:
        """A workflow that calls what is disabled is refused, so what is about to be disabled is so at the end."""
        called = {
            needed
            for reference, document in self.wanted.documents.items()
            if reference[0] == "workflow"
            for found in registry["workflow"].needs(document).values()
            for needed in found
        }
        for reference in called & self.wanted.documents.keys():
            is_disabled = self.before.get(reference, {}).get("enabled") is False
            if self.wanted.documents[reference].get("enabled") is False and not is_disabled:
                waiting.setdefault(reference, set()).add("enabled")

    def _write(self, reference: Reference, without: set[str]) -> Mapping[str, str]:
        """Writes a component, some fields left at their defaults for now; why it is refused, by field."""
        section, document = registry[reference[0]], dict(self.wanted.documents[reference])
        if self._is_as_wanted(reference, document):
            return {}
        needed = set[Reference]().union(*section.needs(document).values())
        if lacking := sorted(needed & self.failed):
            return self._fail(
                reference, {"": f"It needs the {lacking[0][0]} {lacking[0][1]!r}, which is not valid."}
            )
        for name in without:
            document[name] = section.defaults[name]
        try:
            with transaction.atomic():
                section.save(self.actor, reference[1], document, self.secrets)
        except (APIException, IntegrityError) as error:
            return self._fail(reference, faults_of(error))
        return {}

    def _is_as_wanted(self, reference: Reference, document: Mapping[str, Any]) -> bool:
        """Without a look into the database: an export that comes back costs nothing."""
        present = self.before.get(reference)
        if present is None or any(self.secrets(name) is not None for name in named_in(document)):
            return False
        shown = with_placeholders(present)
        return all(shown.get(name) == value for name, value in document.items())

    def _fail(self, reference: Reference, faults: Mapping[str, str]) -> Mapping[str, str]:
        self.failed.add(reference)
        key = registry[reference[0]].key
        for name, message in faults.items():
            self.faults[(key, reference[1], *(filter(None, name.split("."))))] = message
        return faults

    def _set_default(self, name: str | None) -> None:
        if default_agent(self.actor) == name:
            return
        self.actor.require("write:agent")
        row = agent_section.find(self.actor, name or default_agent(self.actor) or "")
        if row is None:
            self.faults["default_agent",] = f"There is no agent {name!r}."
        else:
            locked = lock(row)
            with audit.updating(locked, actor=self.actor):
                editing.save(locked, self.actor, {"is_default": name is not None})

    def prune(self) -> None:
        """Deletes what is not wanted: what is used by nothing first, until nothing is left or nothing can go."""
        rest = [
            reference
            for reference in sorted(self.before, key=_place, reverse=True)
            if reference[0] in self.wanted.sections and reference not in self.wanted.documents
        ]
        self._let_go(rest)
        refused: dict[Reference, Mapping[str, str]] = {}
        while rest:
            left = [reference for reference in rest if not self._delete(reference, refused)]
            if left == rest:
                break
            rest = left
        for reference in rest:
            self._fail(reference, refused[reference])

    def _let_go(self, rest: list[Reference]) -> None:
        """Of components that refer to one another in a circle, one has to let go before it can be deleted."""
        _, waiting = in_order({reference: self.before[reference] for reference in rest})
        for reference, fields in waiting.items():
            section = registry[reference[0]]
            emptied = {name: section.defaults[name] for name in fields}
            document = {**with_placeholders(self.before[reference]), **emptied}
            section.save(self.actor, reference[1], document, no_secrets)

    def _delete(self, reference: Reference, refused: dict[Reference, Mapping[str, str]]) -> bool:
        try:
            with transaction.atomic():
                registry[reference[0]].delete(self.actor, reference[1])
        except (Conflict, IntegrityError) as error:
            refused[reference] = faults_of(error)
            return False
        return True


def faults_of(error: Exception) -> dict[str, str]:
    """What a refusal says, by field; "" is the whole. Raises PermissionDenied, and what is no refusal."""
    error = as_platform_error(error)
    if isinstance(error, PermissionDenied):
        raise error
    if isinstance(error, Invalid):
        return {entry["field"]: entry["message"] for entry in error.details}
    if isinstance(error, ValidationError):
        return dict(_flat(error.detail))
    if isinstance(error, PlatformError) and error.status_code < 500:
        return {"": error.message}
    raise error


def _flat(detail: Any, path: str = "") -> list[tuple[str, str]]:
    """The entries of an error of Django REST framework, by dotted path."""
    if isinstance(detail, dict):
        return [
            entry
            for name, item in detail.items()
            for entry in _flat(item, path if name == "non_field_errors" else f"{path}.{name}".strip("."))
        ]
    if isinstance(detail, list) and any(isinstance(item, dict) for item in detail):
        return [
            entry for index, item in enumerate(detail) for entry in _flat(item, f"{path}.{index}".strip("."))
        ]
    said = detail if isinstance(detail, list) else [detail]
    return [(path, " ".join(map(str, said)))] if said else []
