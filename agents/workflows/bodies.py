"""What each kind of node does: from the state to what it writes. The graph that calls them is `compiler`'s."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from agentplatform.lib.json import is_deeper
from agents.compiler import CompiledModel
from agents.specification import ToolSpecification
from agents.tools.base import MOST_LEVELS
from agents.workflows import state
from agents.workflows.document import DEFAULT, Node, StateField
from agents.workflows.effects import Effects, ModelQuestion, NodeFault
from agents.workflows.expressions import Expression, ExpressionFault, Scope, Template, Values
from agents.workflows.graph import inner_loops
from agents.workflows.specification import WorkflowSpecification
from agents.workflows.structure import number_fault, value_fault

Update = dict[str, Any]
Body = Callable[[Values, Any], Awaitable[Update]]
"""Gets what expressions see and the run's context; answers what it writes to the channels."""

INVALID = "invalid_configuration"
LARGEST_FIELD = 5_000_000
"""Characters of a field's JSON: the state is stored anew with each step that changes it."""
_FENCE = "```"
_OVERWRITE = "__overwrite__"


@dataclass(frozen=True, slots=True)
class Workshop:
    """What bodies are made with."""

    specification: WorkflowSpecification
    scope: Scope
    effects: Effects
    models: Mapping[str, tuple[CompiledModel, ...]]

    def writing(self, name: str | None, value: Any, values: Values) -> Update:
        """`value` into a field of the state. Raises NodeFault where it does not fit; writes nothing without a field."""
        if name is None:
            return {}
        one = self.specification.document.state[name]
        kept = 0 if one.reducer == "replace" else _size(values[state.field(name)])
        if kept + _size(value) > LARGEST_FIELD:
            said = f"The field {name!r} would be longer than {LARGEST_FIELD:,} characters of JSON."
            raise NodeFault(INVALID, said)
        is_item = one.reducer == "append" and not isinstance(value, list)
        if one.reducer != "replace" and _overwrites(value):
            raise NodeFault(INVALID, f"The field {name!r} takes no object with the mark {_OVERWRITE!r}.")
        if fault := number_fault(value) or value_fault(one.items if is_item else one, value):
            raise NodeFault(INVALID, f"What it has come to does not fit the field {name!r}: {fault}")
        return {state.field(name): value}


def body_of(shop: Workshop, node: Node) -> Body:
    """Expressions are compiled once, here. Raises ExpressionFault."""
    return _makers[node.kind](shop, node)


# --- effects ---


def _agent(shop: Workshop, node: Node) -> Body:
    message = shop.scope.template(node.data["message"])

    async def body(values: Values, context: Any) -> Update:
        text = _text(message.render(values))
        answer = await shop.effects.ask_agent(context, node, node.data["agent"], text)
        return shop.writing(node.data.get("output"), answer, values)

    return body


def _llm(shop: Workshop, node: Node) -> Body:
    system, prompt = (shop.scope.template(node.data.get(name, "")) for name in ("system", "prompt"))
    schema = node.data.get("schema")

    def read(answer: str) -> Any:
        return _structured(answer, schema) if schema else answer

    async def body(values: Values, context: Any) -> Update:
        question = ModelQuestion(
            shop.models[node.id],
            _with_schema(_text(system.render(values)), schema),
            _text(prompt.render(values)),
            shop.specification.retries,
            read,
        )
        answer = await shop.effects.ask_model(context, node, question)
        return shop.writing(node.data.get("output"), answer, values)

    return body


def _tool(shop: Workshop, node: Node) -> Body:
    tool: ToolSpecification = shop.specification.tools[node.id]
    arguments = _prepared(shop.scope, node.data.get("arguments", {}))

    async def body(values: Values, context: Any) -> Update:
        given = _filled(arguments, values)
        return shop.writing(
            node.data.get("output"), await shop.effects.call_tool(context, node, tool, given), values
        )

    return body


def _workflow(shop: Workshop, node: Node) -> Body:
    prepared = _prepared(shop.scope, node.data.get("input", {}))

    async def body(values: Values, context: Any) -> Update:
        given = _filled(prepared, values)
        found = await shop.effects.run_workflow(context, node, node.data["workflow"], given)
        return shop.writing(node.data.get("output"), found, values)

    return body


def _approval(shop: Workshop, node: Node) -> Body:
    message = shop.scope.template(node.data["message"])
    prepared = _prepared(shop.scope, node.data.get("show", {}))

    async def body(values: Values, context: Any) -> Update:
        text, shown = _text(message.render(values)), _filled(prepared, values)
        verdict = await shop.effects.decide(context, node, text, shown)
        written = shop.writing(node.data.get("output"), dict(verdict.shown), values)
        return {**written, state.route(node.id): "approved" if verdict.approved else "rejected"}

    return body


# --- the state ---


def _transform(shop: Workshop, node: Node) -> Body:
    sources = {name: shop.scope.expression(source) for name, source in node.data["set"].items()}

    async def body(values: Values, context: Any) -> Update:
        update: Update = {}
        for name, source in sources.items():
            update |= shop.writing(name, source.evaluate(values), values)
        return update

    return body


def _condition(shop: Workshop, node: Node) -> Body:
    cases = [(case["case"], shop.scope.expression(case["when"])) for case in node.data["cases"]]

    async def body(values: Values, context: Any) -> Update:
        taken = next((case for case, when in cases if _holds(when, values)), DEFAULT)
        return {state.route(node.id): taken}

    return body


def _loop(shop: Workshop, node: Node) -> Body:
    rounds, inner = (
        f"loops.{node.id}",
        [state.loop(name) for name in inner_loops(shop.specification.document, node)],
    )
    over = shop.scope.expression(node.data["over"]) if "over" in node.data else None
    condition = shop.scope.expression(node.data.get("while", "true"))

    async def body(values: Values, context: Any) -> Update:
        count, written = values[rounds], {}
        goes_on = count < node.data["max"]
        if goes_on and over:
            items = _list(over, values)
            goes_on = count < len(items)
            written = shop.writing(node.data.get("item"), items[count], values) if goes_on else {}
        elif goes_on:
            goes_on = _holds(condition, values)
        # Loops in its body begin anew in each of its rounds, also those that were left by another way than `done`.
        return {
            **written,
            **(dict.fromkeys(inner, 0) if goes_on else {}),
            state.loop(node.id): count + 1 if goes_on else 0,
            state.route(node.id): "body" if goes_on else "done",
        }

    return body


def _end(shop: Workshop, node: Node) -> Body:
    prepared = _prepared(shop.scope, node.data["output"])

    async def body(values: Values, context: Any) -> Update:
        return {state.OUTPUT: _filled(prepared, values)}

    return body


def _passing(shop: Workshop, node: Node) -> Body:
    async def body(values: Values, context: Any) -> Update:
        return {}

    return body


_makers: dict[str, Callable[[Workshop, Node], Body]] = {
    "agent": _agent,
    "llm": _llm,
    "tool": _tool,
    "http": _tool,
    "workflow": _workflow,
    "approval": _approval,
    "transform": _transform,
    "condition": _condition,
    "loop": _loop,
    "parallel": _passing,
    "join": _passing,
    "end": _end,
}


# --- values ---


def _prepared(scope: Scope, value: Any) -> Any:
    """`value` with its texts as templates."""
    if isinstance(value, str):
        return scope.template(value)
    if isinstance(value, Mapping):
        return {name: _prepared(scope, item) for name, item in value.items()}
    return [_prepared(scope, item) for item in value] if isinstance(value, list) else value


def _filled(prepared: Any, values: Values) -> Any:
    if isinstance(prepared, Template):
        return prepared.render(values)
    if isinstance(prepared, Mapping):
        return {name: _filled(item, values) for name, item in prepared.items()}
    return [_filled(item, values) for item in prepared] if isinstance(prepared, list) else prepared


def _overwrites(value: Any) -> bool:
    """Whether LangGraph would take data for its command to pass over the reducer."""
    return isinstance(value, Mapping) and (_OVERWRITE in value or value.get("type") == _OVERWRITE)


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _holds(expression: Expression, values: Values) -> bool:
    found = expression.evaluate(values)
    if not isinstance(found, bool):
        raise ExpressionFault(
            f"{expression.source}: it comes to {_text(found)}, and true or false is needed."
        )
    return found


def _list(expression: Expression, values: Values) -> list[Any]:
    found = expression.evaluate(values)
    if not isinstance(found, list):
        raise ExpressionFault(f"{expression.source}: it comes to {_text(found)}, and a list is needed.")
    return found


def _with_schema(system: str, schema: Mapping[str, Any] | None) -> str:
    if schema is None:
        return system
    rule = "Answer with JSON alone, without a word around it, that fits this JSON Schema:"
    return f"{system}\n\n{rule}\n{json.dumps(schema, ensure_ascii=False)}".strip()


def _structured(answer: str, schema: Mapping[str, Any]) -> Any:
    """The JSON of a model's answer, which may stand in a fenced block."""
    text = answer.strip()
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        text = text.removesuffix(_FENCE).partition("\n")[2]
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NodeFault("provider_rejected", f"The model's answer is no JSON: {error}.") from error
    if is_deeper(value, MOST_LEVELS):
        raise NodeFault("provider_rejected", f"The answer is nested more than {MOST_LEVELS} levels deep.")
    if said := value_fault(StateField("", schema), value):
        raise NodeFault("provider_rejected", f"The model's answer does not fit the schema: {said}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no form for {name}")
