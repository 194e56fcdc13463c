"""What a conversation's next run is told of calls that the one before has left open."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from runs.engine.recall import answers_to_open_calls

pytestmark = pytest.mark.django_db

CALL = {"id": "call_0", "name": "pay", "args": {}}
ANSWERED = [
    HumanMessage("Pay."),
    AIMessage("", tool_calls=[CALL]),
    ToolMessage("Paid.", tool_call_id="call_0"),
    AIMessage("Done."),
]


def test_leaves_no_call_without_an_answer_where_a_provider_uses_its_ids_again():
    past = [*ANSWERED, HumanMessage("Once more."), AIMessage("", tool_calls=[CALL])]

    assert [answer.tool_call_id for answer in answers_to_open_calls(past, None)] == ["call_0"]


def test_adds_nothing_where_all_calls_are_answered():
    assert answers_to_open_calls(ANSWERED, None) == []
