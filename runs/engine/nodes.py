"""What the nodes of a workflow do to the world, through the same calls, claims and approvals as agents.

A node's step is current in its task (`current_step`), so that events and pieces of answers name it however many nodes
are at work side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.types import interrupt

from agents.compiler import CompiledModel
from agents.specification import ToolSpecification
from agents.tools.call import call as call_tool
from agents.tools.call import call_key
from agents.workflows.document import Node
from agents.workflows.effects import ModelQuestion, NodeFault, Verdict
from runs.engine import model_calls, tool_calls
from runs.engine.children import AGENT, WORKFLOW, Asked
from runs.engine.faults import RunFault
from runs.engine.messages import content_of, text_of
from runs.engine.recorder import Recorder, Step, current_step
from runs.events import EventType
from runs.models import Approval, ErrorClass, RunStep

_TYPES = {"llm": RunStep.StepType.MODEL}


class NodeEffects:
    """An `agents.workflows.effects.Effects`. One instance serves all runs; the context is the run's recorder."""

    def __init__(self, secrets: Mapping[Any, str]) -> None:
        self.secrets = secrets

    @contextmanager
    def entered(self, context: Recorder, node: Node) -> Iterator[None]:
        kind = _TYPES.get(node.kind) or RunStep.StepType(node.kind)
        token = current_step.set(context.enter_step(kind, node.id))
        try:
            yield
        finally:
            current_step.reset(token)

    async def ask_model(self, context: Recorder, node: Node, question: ModelQuestion) -> Any:
        messages: list[BaseMessage] = [HumanMessage(question.prompt)]
        if question.system:
            messages.insert(0, SystemMessage(question.system))
        answer = await _answer(context, question, messages)
        try:
            return question.read(text_of(answer))
        except NodeFault as fault:
            _tell_of_repeat(context, question, fault)
            correction = f"{fault.message} Answer again."
            answer = await _answer(context, question, [*messages, answer, HumanMessage(correction)])
        return question.read(text_of(answer))

    async def call_tool(
        self, context: Recorder, node: Node, tool: ToolSpecification, arguments: Mapping[str, Any]
    ) -> Any:
        async def carry_out(call: tool_calls.Call) -> ToolMessage:
            result = await call_tool(tool, call["args"], self.secrets, call_key.get())
            return ToolMessage(
                result.text, artifact=result.content, tool_call_id=call["id"], name=call["name"]
            )

        asked = Asked(AGENT, str(tool.agent)) if tool.agent else None
        call = _call(node, tool.name, arguments)
        return content_of(await _made(context, tool_calls.Deed(tool, call, carry_out, asked)))

    async def ask_agent(self, context: Recorder, node: Node, agent: str, message: str) -> str:
        call = _call(node, agent, {"message": message})
        answer = await _made(context, tool_calls.Deed(None, call, asked=Asked(AGENT, agent)))
        return str(content_of(answer))

    async def run_workflow(
        self, context: Recorder, node: Node, workflow: str, values: Mapping[str, Any]
    ) -> Any:
        call = _call(node, workflow, values)
        answer = await _made(context, tool_calls.Deed(None, call, asked=Asked(WORKFLOW, workflow)))
        return answer.artifact

    async def decide(self, context: Recorder, node: Node, message: str, shown: Mapping[str, Any]) -> Verdict:
        question = _question(_step(), node, message, shown)
        approval = context.past.approvals.get(question["key"])
        if approval is None or approval.status not in Approval.DECIDED:
            interrupt(question)
        assert approval
        edited = approval.edited if approval.edited is not None else approval.arguments
        return Verdict(approval.status != Approval.Status.REJECTED, edited)


def _step() -> Step:
    step = current_step.get()
    assert step
    return step


async def _answer(recorder: Recorder, question: ModelQuestion, messages: list[BaseMessage]) -> BaseMessage:
    _count_model_step(recorder)

    async def ask(model: CompiledModel) -> BaseMessage:
        return await model.chat.ainvoke(messages)

    asked = model_calls.Question(messages, question.retries, ask, lambda answer: [answer])
    try:
        async with recorder.places:
            return await model_calls.ask(recorder, _step(), question.models, asked)
    except RunFault as fault:
        raise NodeFault(fault.error_class, fault.message) from fault


def _tell_of_repeat(recorder: Recorder, question: ModelQuestion, fault: NodeFault) -> None:
    """What the model has said so far in this step is void."""
    recorder.emit(
        EventType.RETRYING,
        {
            "reason": fault.error_class,
            "message": fault.message,
            "retry": 1,
            "delay": 0.0,
            "model": question.models[0].specification.name,
        },
        step=_step(),
    )


def _count_model_step(recorder: Recorder) -> None:
    limit = recorder.run.limits.get("max_steps")
    if limit and recorder.model_steps >= limit:
        message = f"The workflow has made {limit} model calls without coming to an end (max_steps)."
        raise RunFault(ErrorClass.MAX_STEPS, message)
    recorder.model_steps += 1


async def _made(recorder: Recorder, deed: tool_calls.Deed) -> ToolMessage:
    """What a call has come to. Raises NodeFault where it has failed, or a person has refused it."""
    async with recorder.places:
        answer = await tool_calls.make(recorder, _step(), deed)
    if answer.status == "error":
        raise NodeFault(ErrorClass.TOOL_ERROR.value, answer.text)
    return answer


def _call(node: Node, name: str, arguments: Mapping[str, Any]) -> tool_calls.Call:
    """By the node's id the call is claimed: it is made once in a step."""
    return {"name": name, "args": dict(arguments), "id": node.id, "type": "tool_call"}


def _question(step: Step, node: Node, message: str, shown: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": f"{Approval.Kind.NODE.value}:{step.number}:{node.id}",
        "kind": Approval.Kind.NODE.value,
        "step": step.number,
        "node": step.node,
        "call_id": node.id,
        "tool": node.id,
        "message": message,
        "args": dict(shown),
        "timeout": node.data.get("timeout"),
        "default": node.data.get("default", Approval.Default.REJECT.value),
    }
