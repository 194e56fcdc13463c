"""Tools that whoever has started a run makes himself: the model is offered them, and a call of one ends the run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain_core.messages import AIMessage
from langgraph.types import Command

from agents.specification import Bindings

Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse]]


class CallerTools(AgentMiddleware[Any, Any]):
    """Offers the caller's functions beside the agent's own tools.

    Where the model calls both in one message, its calls of the agent's tools are left out: they have not been made,
    and their results would never come before the model with those of the caller's.
    """

    def __init__(self, bindings: Bindings) -> None:
        super().__init__()
        self.bindings = bindings
        self.offered = [dict(tool) for tool in bindings.tools]
        self.names = {tool["function"]["name"] for tool in bindings.tools}

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Handler
    ) -> ModelResponse | ExtendedModelResponse:
        tools = [*request.tools, *self.offered]
        response = await handler(request.override(tools=tools, tool_choice=self.bindings.tool_choice or None))
        if not any(self._keep_calls_of_the_caller(message) for message in response.result):
            return response
        return ExtendedModelResponse(response, command=Command(update={"jump_to": "end"}))

    def _keep_calls_of_the_caller(self, message: Any) -> bool:
        """Whether there are any."""
        calls = [call for call in getattr(message, "tool_calls", ()) if call["name"] in self.names]
        if calls:
            answer: AIMessage = message
            answer.tool_calls = calls[:1] if self.bindings.one_call else calls
        return bool(calls)
