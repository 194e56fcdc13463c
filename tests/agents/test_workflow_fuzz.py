"""Documents at random: each is valid, compiles and comes to an end, or has an error that names the place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver

from agentplatform.lib.errors import Invalid
from agents.models import Workflow
from agents.specification import ModelSpecification, ToolSpecification
from agents.workflows import drafts, state, text
from agents.workflows.checks import EmptyCatalogue, check
from agents.workflows.compiler import compile_workflow
from agents.workflows.document import Node, parse
from agents.workflows.effects import ModelQuestion, NodeFault, Verdict
from agents.workflows.faults import Fault
from agents.workflows.specification import WorkflowSpecification
from tests.agents.workflow_documents import EXAMPLES, anything, documents, frames, whole_documents

often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)
INPUT = {"message": "hello", "limit": 2, "rate": 1, "names": ["ann"], "extra": {"a": 1}}
NOWHERE = uuid.UUID(int=0)


# --- what anybody might write ---


@often
@given(anything | frames)
def test_says_what_is_wrong_with_any_json(data: Any) -> None:
    assert all(fault.message for fault in check(data, EmptyCatalogue()))


@often
@given(
    st.text()
    | frames.map(lambda data: json.dumps(data))
    | st.text(alphabet="{}[]:,-&*!|>'\"#%@` \n\tab01\x00\ud800")
)
def test_reads_any_text_or_says_why_not(written: str) -> None:
    with contextlib.suppress(Invalid):
        assert isinstance(text.read(written), dict)


@pytest.mark.django_db
@often
@given(frames | documents() | documents().map(lambda data: json.dumps(data)))
def test_makes_a_draft_of_any_document(written: Any) -> None:
    with contextlib.suppress(Invalid):
        faults = drafts.read(NOWHERE, written).faults_json()
        assert all(fault["message"] for fault in faults)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), 2**63, b"bytes", {1: "one"}, "NUL \x00", "half a letter \ud800"],
    ids=repr,
)
def test_names_the_place_of_what_json_has_no_form_for(value: Any) -> None:
    node = {"id": "one", "kind": "tool", "arguments": {"deep": [value]}}
    [fault] = check({"nodes": [node], "edges": []}, EmptyCatalogue())
    assert fault.path == "nodes.0.arguments.deep.0"


# --- nearly valid documents ---


class FakeEffects:
    """An `Effects` whose answers follow from what is asked: some fail, people approve and reject."""

    def __init__(self) -> None:
        self.calls = 0

    @contextlib.contextmanager
    def entered(self, context: Any, node: Node) -> Iterator[None]:
        yield

    async def ask_model(self, context: Any, node: Node, question: ModelQuestion) -> str:
        assert isinstance(question.prompt, str)
        assert isinstance(question.system, str)
        self._do(node)
        return '{"a": 1}' if node.data.get("schema") else "An answer."

    async def call_tool(
        self, context: Any, node: Node, tool: ToolSpecification, arguments: Mapping[str, Any]
    ) -> Any:
        self._do(node)
        return json.loads(json.dumps(dict(arguments)))

    async def ask_agent(self, context: Any, node: Node, agent: str, message: str) -> str:
        self._do(node)
        return message

    async def run_workflow(self, context: Any, node: Node, workflow: str, values: Mapping[str, Any]) -> Any:
        self._do(node)
        return dict(values)

    async def decide(self, context: Any, node: Node, message: str, shown: Mapping[str, Any]) -> Verdict:
        return Verdict(len(node.id) % 2 == 0, dict(shown))

    def _do(self, node: Node) -> None:
        self.calls += 1
        if self.calls % 5 == 0:
            raise NodeFault("tool_error", "It has failed.")


def specification(data: Mapping[str, Any]) -> WorkflowSpecification:
    document = parse(data)
    model = ModelSpecification(NOWHERE, NOWHERE, "gpt", "demo", "scripted")
    tool = ToolSpecification(NOWHERE, NOWHERE, "pay", "", "function", function="calculator")
    return WorkflowSpecification(
        version_id=NOWHERE,
        id=NOWHERE,
        workspace_id=NOWHERE,
        name="fuzzed",
        document=document,
        models={node.id: (model,) for node in document.of_kind("llm")},
        tools={node.id: tool for node in document.nodes if node.kind in ("tool", "http")},
    )


async def run(data: Mapping[str, Any]) -> dict[str, Any] | NodeFault:
    """The last state of the document's graph, or why it has none."""
    compiled = compile_workflow(specification(data), {}, FakeEffects())
    graph = compiled.graph.copy(update={"checkpointer": InMemorySaver()})
    config: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 10_000}
    try:
        found: dict[str, Any] = await graph.ainvoke(
            state.first(compiled.specification.document, INPUT), config
        )
    except NodeFault as fault:
        return fault
    return found


def names_its_place(fault: Fault, data: Mapping[str, Any]) -> bool:
    """Below a node or an edge that there is, or in one of the document's other parts."""
    if not fault.place:
        return False
    head, *rest = fault.place
    if head in ("nodes", "edges") and rest:
        return rest[0] in range(len(data[head]))
    return head in ("nodes", "edges", "state", "input")


@often
@given(documents())
def test_names_the_place_of_each_fault(data: dict[str, Any]) -> None:
    faults = check(data, EmptyCatalogue(), "fuzzed")
    assert [fault for fault in faults if not fault.message or not names_its_place(fault, data)] == []


@often
@given(documents())
def test_brings_each_valid_document_to_its_end(data: dict[str, Any]) -> None:
    if check(data, EmptyCatalogue(), "fuzzed"):
        event("invalid")
        return
    ended = asyncio.run(run(data))
    if isinstance(ended, NodeFault):
        # An expression that does not come to a value, or a value that does not fit: the run says which node's.
        event("a node has failed")
        assert "The node '" in ended.message
    else:
        event("it has ended")
        assert state.OUTPUT in ended


# --- round trips ---


@often
@given(whole_documents())
def test_reads_what_it_has_written(data: dict[str, Any]) -> None:
    assert text.read(text.write(data)) == data


@pytest.mark.django_db
@often
@given(whole_documents())
def test_keeps_a_version_through_export_and_load(workspace, data: dict[str, Any]) -> None:
    if check(data, EmptyCatalogue(), "fuzzed"):
        return
    Workflow.objects.filter(workspace=workspace).delete()
    draft = drafts.Draft(data)
    workflow = drafts.save(Workflow(workspace=workspace), None, draft.values)
    assert workflow.version
    before = workflow.version.hash
    again = drafts.save(workflow, None, drafts.Draft(text.read(drafts.export(workflow))).values)
    assert again.version
    assert again.version.hash == before
