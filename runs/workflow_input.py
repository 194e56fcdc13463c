"""What a workflow's run is given: checked by the workflow's own schema, before anything is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentplatform.lib.errors import Invalid
from agentplatform.lib.text import storable
from agents.tools.base import ToolFault
from agents.tools.schemas import check_arguments
from agents.workflows.launch import WorkflowLaunch
from agents.workflows.structure import number_fault

MESSAGE = "message"
LONGEST = 1_000_000
"""Characters of the input's JSON."""


def checked_input(launch: WorkflowLaunch, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as they are stored. Raises Invalid that says which field does not fit."""
    if len(json.dumps(values)) > LONGEST:
        raise Invalid({"input": f"The input is longer than {LONGEST:,} characters."})
    given: dict[str, Any] = storable(dict(values))
    if said := number_fault(given):
        raise Invalid({"input": said})
    try:
        check_arguments(launch.input_schema, given)
    except ToolFault as fault:
        said = fault.message.removeprefix("The arguments do not fit the tool's schema: ")
        raise Invalid(
            {"input": f"It does not fit the input of the workflow {launch.name!r}: {said}"}
        ) from fault
    return given


def query_of(values: Mapping[str, Any]) -> str:
    """The input as people read it: its message, where it has one, else its JSON."""
    message = values.get(MESSAGE)
    return message if isinstance(message, str) else json.dumps(values, ensure_ascii=False)
