"""What becomes of a secret that a document brings: it stays, goes, or is a new one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from agentplatform.lib.errors import Invalid
from agents.configuration.sections import Json, Lookup, StoredSecret
from agents.models import Secret

PLACEHOLDER = re.compile(r"\$\{secret:([^{}]{1,500})\}\Z")
KEEP: Final = object()
"""The stored one stays."""


def resolved(field: str, given: Any, stored: StoredSecret | None, secrets: Lookup, *, moved: bool) -> Any:
    """KEEP, None, or the value to store. Not a new value where it is the stored one, unless it has `moved`: then
    whoever sends it has to know it.

    Raises Invalid where the placeholder's value is not known, and it does not stand for what is stored here.
    """
    if not isinstance(given, str):
        return given
    value = given
    if named := PLACEHOLDER.match(given):
        found = secrets(named[1])
        if found is None and (stored is None or stored.name != named[1]):
            raise Invalid(
                {field: f"The secret {named[1]!r} is missing: send its value, or null to go without."}
            )
        if found is None:
            return KEEP
        value = found
    return KEEP if stored and not moved and value == _value_of(stored) else value


def resolved_names(
    field: str, given: Any, stored: Mapping[str, StoredSecret], secrets: Lookup, *, moved: bool
) -> Any:
    """The same of secrets by name, as the API takes them: those to keep are left out, those to remove are None."""
    if not isinstance(given, Mapping):
        return given
    old = {name.lower(): secret for name, secret in stored.items()}
    written: Json = {}
    for name, value in given.items():
        one = resolved(f"{field}.{name}", value, old.get(str(name).lower()), secrets, moved=moved)
        if one is not KEEP:
            written[name] = one
    kept = {str(name).lower() for name in given}
    return written | {name: None for name in stored if name.lower() not in kept}


def _value_of(stored: StoredSecret) -> str | None:
    found = Secret.objects.filter(pk=stored.id).first()
    return found.value if found else None


def named_in(value: Any) -> list[str]:
    """The names of all placeholders in a document."""
    if isinstance(value, str):
        found = PLACEHOLDER.match(value)
        return [found[1]] if found else []
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return [name for item in items for name in named_in(item)]
