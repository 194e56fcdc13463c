"""Answers of models, kept for whoever asks the same again in the same workspace.

The same question: the same version of the model with the same parameters, the same prompt and messages, the same
versions of the same tools. What the cache cannot do, because it is away or has forgotten, the model does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import structlog
from django.core.cache import cache
from langchain_core.messages import AIMessage, BaseMessage

from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from agents.compiler import CompiledModel
from runs.engine.messages import as_json, finish_reason, from_json

logger = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
# Only what came to its end by itself; a text that was cut off would be cut off for ever.
KEPT = frozenset({"stop", "tool_calls"})


@dataclass(frozen=True, slots=True)
class AnswerCache(Generic[Answer]):
    """The place of one question's answers. `asked` is all of the question but the model."""

    asked: Any
    seconds: int
    message_of: Callable[[Answer], BaseMessage]
    answer_of: Callable[[AIMessage], Answer]

    async def find(self, model: CompiledModel) -> Answer | None:
        try:
            kept = await in_thread(cache.get, self._key(model))
        except Exception as error:
            logger.warning("answer_cache_failed", error=repr(error)[:500])
            return None
        return self.answer_of(_revived(orjson.loads(kept))) if kept else None

    async def keep(self, model: CompiledModel, answer: Answer) -> None:
        """Does nothing with an answer that is of no use to others."""
        message = self.message_of(answer)
        if not isinstance(message, AIMessage) or finish_reason(message) not in KEPT:
            return
        try:
            await in_thread(cache.set, self._key(model), orjson.dumps(as_json(message)), self.seconds)
        except Exception as error:
            logger.warning("answer_cache_failed", error=repr(error)[:500])

    def _key(self, model: CompiledModel) -> str:
        spec = model.specification
        whole = [str(spec.version_id), spec.model, dict(spec.parameters), self.asked]
        return "answer:" + hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _revived(data: dict[str, Any]) -> AIMessage:
    """With calls of its own: two with one id would be one to whoever approves or makes them."""
    calls = [{**call, "id": f"call_{uuid7().hex}"} for call in data.get("tool_calls", ())]
    message = from_json({**data, **({"tool_calls": calls} if calls else {})})
    assert isinstance(message, AIMessage)
    message.response_metadata = {"finish_reason": "tool_calls" if calls else "stop"}
    return message
