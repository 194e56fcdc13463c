"""Messages as the platform shows them, and the way back."""

from __future__ import annotations

from typing import cast

import pytest
from langchain_core.messages import AIMessage

from runs.engine.messages import as_json, from_json

CALL = {"id": "call_1", "name": "calculator", "args": {"expression": "6 * 7"}}
ANSWER = {
    "role": "tool",
    "content": "42",
    "tool_call_id": "call_1",
    "name": "calculator",
    "status": "success",
}


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "What is 6 * 7?"},
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "42"},
        {"role": "assistant", "content": "42", "thought": "Six times seven."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ANSWER,
        {**ANSWER, "status": "error"},
        {**ANSWER, "name": None},
    ],
)
def test_reads_what_it_shows(message):
    assert as_json(from_json(message)) == message


def test_makes_calls_that_a_graph_can_carry_out():
    message = cast(AIMessage, from_json({"role": "assistant", "content": "", "tool_calls": [CALL]}))

    assert message.tool_calls == [{**CALL, "type": "tool_call"}]


def test_takes_the_answer_of_a_tool_with_what_it_needs():
    answer = from_json({"role": "tool", "content": "42", "tool_call_id": "call_1"})

    assert as_json(answer) == {**ANSWER, "name": None}
