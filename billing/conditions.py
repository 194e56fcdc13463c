"""Conditions on calls, as the filters of the API mean them. Agents, people, keys … are given by id or by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from agentplatform.lib.ids import as_uuid
from billing.models import LedgerName
from billing.selections import Condition

NOBODY = uuid.UUID(int=0)


def own(user_id: uuid.UUID) -> Condition:
    """Calls of this user."""
    return Condition("user", "{row}.user_id = {}", [user_id])


def conditions(workspace_id: uuid.UUID, filters: Mapping[str, Any]) -> list[Condition]:
    """What these filters mean, by their names; those that are empty mean nothing."""
    given = {name: value for name, value in filters.items() if value not in (None, "")}
    return [make(workspace_id, given[name]) for name, make in MAKERS.items() if name in given]


def _equal(dimension: str, column: str) -> Callable[[uuid.UUID, Any], Condition]:
    return lambda _workspace_id, value: Condition(dimension, f"{{row}}.{column} = {{}}", [value])


def _by_id_or_name(dimension: str) -> Callable[[uuid.UUID, str], Condition]:
    """Of what has its name in the entry."""

    def make(_workspace_id: uuid.UUID, value: str) -> Condition:
        if key := as_uuid(value):
            sql = f"({{row}}.{dimension} = {{}} OR {{row}}.{dimension}_id = {{}})"
            return Condition(dimension, sql, [value, key])
        return Condition(dimension, f"{{row}}.{dimension} = {{}}", [value])

    return make


def _user(workspace_id: uuid.UUID, value: str) -> Condition:
    names = _names(workspace_id, LedgerName.Kind.USER, value)
    users, key = set(names.values()), as_uuid(value)
    sql, values = "({row}.user_name_id = ANY({}::uuid[]) OR {row}.user_id = {}::uuid)", [list(names), key]
    if NOBODY in users:
        return Condition("user", sql, values)
    # Says no more, but says it so that an index finds it: a name belongs to one user.
    known = list(users | ({key} if key else set()))
    return Condition("user", f"({{row}}.user_id = ANY({{}}::uuid[]) AND {sql})", [known, *values])


def _api_key(workspace_id: uuid.UUID, value: str) -> Condition:
    names = _names(workspace_id, LedgerName.Kind.API_KEY, value)
    sql = "({row}.api_key_name_id = ANY({}::uuid[]) OR {row}.api_key_id = {}::uuid)"
    return Condition("api_key", sql, [list(names), as_uuid(value)])


def _end_user(workspace_id: uuid.UUID, value: str) -> Condition:
    names = _names(workspace_id, LedgerName.Kind.END_USER, value)
    return Condition("end_user", "{row}.end_user_name_id = ANY({}::uuid[])", [list(names)])


def _names(workspace_id: uuid.UUID, kind: LedgerName.Kind, name: str) -> dict[uuid.UUID, uuid.UUID]:
    """The names that read like this, with whose they are."""
    found = LedgerName.objects.filter(workspace_id=workspace_id, kind=kind, name=name)
    return dict(found.values_list("id", "user_id"))


# By the name of a filter. What stands in the entries alone has the dimension of its index; see `selections`.
MAKERS: Mapping[str, Callable[[uuid.UUID, Any], Condition]] = {
    "agent": _by_id_or_name("agent"),
    "workflow": _by_id_or_name("workflow"),
    "user": _user,
    "api_key": _api_key,
    "end_user": _end_user,
    "provider": _equal("provider", "provider"),
    "model": _equal("model", "model"),
    "tag": _equal("tag", "tag"),
    "status": _equal("status", "status"),
    "run_id": _equal("run", "run_id"),
    "session_id": _equal("session", "session_id"),
}
