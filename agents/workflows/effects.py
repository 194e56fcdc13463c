"""What nodes do to the world, as their graph asks for it. The room that executes runs does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from agents.compiler import CompiledModel
from agents.specification import ToolSpecification
from agents.workflows.document import Node


class NodeFault(Exception):
    """A node that has failed. An edge with the case `error` catches it; otherwise the run fails.

    `error_class` is one of a failed run's.
    """

    def __init__(self, error_class: str, message: str) -> None:
        super().__init__(message)
        self.error_class = error_class
        self.message = message


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """What a node asks a model. `retries` are further attempts after a fault that may pass.

    `read` makes of an answer's text what the node wants. It raises NodeFault where the answer is of no use; the model
    is then told why, and asked once more.
    """

    models: Sequence[CompiledModel]
    system: str
    prompt: str
    retries: int
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person, or the deadline, has decided: with what was shown as it is now, edited or not."""

    approved: bool
    shown: Mapping[str, Any]


class Effects(Protocol):
    """`context` is the graph's runtime context. Every verb but `entered` may raise NodeFault or interrupt the graph."""

    def entered(self, context: Any, node: Node) -> AbstractContextManager[None]:
        """The node is at work until it leaves."""

    async def ask_model(self, context: Any, node: Node, question: ModelQuestion) -> Any:
        """The model's answer, as the question reads it."""

    async def call_tool(
        self, context: Any, node: Node, tool: ToolSpecification, arguments: Mapping[str, Any]
    ) -> Any:
        """The tool's result: its structured content where it has one, else its text."""

    async def ask_agent(self, context: Any, node: Node, agent: str, message: str) -> str:
        """The agent's answer."""

    async def run_workflow(self, context: Any, node: Node, workflow: str, values: Mapping[str, Any]) -> Any:
        """What the workflow has come to."""

    async def decide(self, context: Any, node: Node, message: str, shown: Mapping[str, Any]) -> Verdict:
        """What a person has decided."""
