"""The JSON Schema (Draft 2020-12) of a workflow's document, as it is published and as documents are checked by it.

    input: {properties: {question: {type: string}}, required: [question]}
    state: {answer: {type: string}}
    nodes:
      - {id: start, kind: start}
      - {id: reply, kind: llm, model: gpt, prompt: "Answer: {{ input.question }}", output: answer}
      - {id: end, kind: end, output: "{{ state.answer }}"}
    edges:
      - {from: start, to: reply}
      - {from: reply, to: end}

Texts marked as templates hold CEL expressions in `{{ … }}`; one that is a single expression and nothing else keeps
the expression's type. Conditions, loops and transforms hold bare CEL expressions.
"""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

MOST_NODES = 2_000
MOST_EDGES = 4_000
MOST_FIELDS = 500
MOST_ITERATIONS = 1_000
NAME = r"^[A-Za-z][A-Za-z0-9_]{0,63}$"
TYPES = ("string", "integer", "number", "boolean", "array", "object", "any")
REDUCERS = ("replace", "append", "add", "merge")

_TEMPLATE: Schema = {"type": "string", "maxLength": 100_000, "description": "A text with {{ expressions }}."}
_EXPRESSION: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 4_000,
    "description": "A CEL expression, for example state.score >= 0.8.",
}
_FIELD: Schema = {"type": "string", "pattern": NAME, "description": "A field of the state."}
_REFERENCE: Schema = {"type": "string", "minLength": 1, "maxLength": 100}
_VALUES: Schema = {
    "type": "object",
    "description": "Names and values; texts in them are templates.",
    "maxProperties": 100,
}
_SECONDS: Schema = {"type": "integer", "minimum": 1, "maximum": 600}

_COMMON: Schema = {
    "id": {
        "type": "string",
        "pattern": NAME,
        "description": "Unique in the workflow: a letter, then letters, digits and underscores.",
    },
    "kind": {"type": "string"},
    "label": {"type": "string", "maxLength": 100, "description": "What the picture shows in the id's place."},
    "description": {"type": "string", "maxLength": 2_000},
}
_OUTPUT: Schema = {"output": {**_FIELD, "description": "The field of the state that takes the result."}}

_PROPERTIES: dict[str, Schema] = {
    "start": {},
    "end": {"output": {"description": "What the run comes to: any JSON; texts in it are templates."}},
    "agent": {
        "agent": {**_REFERENCE, "description": "The name of an agent. It answers in a run of its own."},
        "message": _TEMPLATE,
        **_OUTPUT,
    },
    "llm": {
        "model": {**_REFERENCE, "description": "The name of a model."},
        "system": _TEMPLATE,
        "prompt": _TEMPLATE,
        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
        "schema": {
            "type": "object",
            "description": "A JSON Schema: the answer is then JSON that fits it.",
        },
        **_OUTPUT,
    },
    "tool": {
        "tool": {**_REFERENCE, "description": "The name of a tool."},
        "arguments": _VALUES,
        **_OUTPUT,
    },
    "http": {
        "request": {
            "type": "object",
            "description": "{method, url, headers, query, body}; {placeholders} in it are the arguments.",
        },
        "arguments": _VALUES,
        "timeout": _SECONDS,
        "idempotent": {
            "type": "boolean",
            "description": "May be sent again after a crash. Left out: only GET and HEAD may.",
        },
        **_OUTPUT,
    },
    "condition": {
        "cases": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "description": "The first case that holds is taken; `default` where none does.",
            "items": {
                "type": "object",
                "properties": {"case": {"type": "string", "pattern": NAME}, "when": _EXPRESSION},
                "required": ["case", "when"],
                "additionalProperties": False,
            },
        }
    },
    "parallel": {"join": {**_FIELD, "description": "The join in which its branches come together."}},
    "join": {},
    "loop": {
        "while": {**_EXPRESSION, "description": "CEL: goes round once more as long as it holds."},
        "over": {**_EXPRESSION, "description": "CEL: a list; goes round once for each of its items."},
        "item": {**_FIELD, "description": "The field of the state that takes the item, with `over`."},
        "max": {
            "type": "integer",
            "minimum": 1,
            "maximum": MOST_ITERATIONS,
            "description": "Goes round at most so many times.",
        },
    },
    "approval": {
        "message": {**_TEMPLATE, "description": "What the person is asked; a template."},
        "show": {**_VALUES, "description": "What the person sees and may edit; texts in it are templates."},
        "timeout": {"type": "integer", "minimum": 1, "maximum": 31_536_000},
        "default": {
            "enum": ["approve", "reject"],
            "description": "What happens when nobody decides in time.",
        },
        **_OUTPUT,
    },
    "transform": {
        "set": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 100,
            "description": "Field of the state → CEL expression.",
            "additionalProperties": _EXPRESSION,
        }
    },
    "workflow": {
        "workflow": {**_REFERENCE, "description": "The name of a published workflow."},
        "input": _VALUES,
        **_OUTPUT,
    },
}
_REQUIRED: dict[str, list[str]] = {
    "end": ["output"],
    "agent": ["agent", "message"],
    "llm": ["model", "prompt"],
    "tool": ["tool"],
    "http": ["request"],
    "condition": ["cases"],
    "parallel": ["join"],
    "loop": ["max"],
    "approval": ["message"],
    "transform": ["set"],
    "workflow": ["workflow"],
}

KINDS: Final = tuple(_PROPERTIES)


def node_schema(kind: str) -> Schema:
    """The schema of a node of this kind."""
    return {
        "type": "object",
        "properties": {**_COMMON, "kind": {"const": kind}, **_PROPERTIES[kind]},
        "required": ["id", "kind", *_REQUIRED.get(kind, [])],
        "additionalProperties": False,
    }


NODE_SCHEMAS: Final = {kind: node_schema(kind) for kind in KINDS}

_VALUE_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "type": {"enum": list(TYPES)},
        "description": {"type": "string"},
        "items": {"type": "object"},
        "properties": {"type": "object"},
    },
}
_FRAME: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 100, "description": "Unique in the workspace."},
        "description": {"type": "string", "maxLength": 2_000},
        "tags": {"type": "array", "maxItems": 20, "items": {"type": "string", "maxLength": 50}},
        "input": {
            "type": "object",
            "description": "A JSON Schema of the input. Left out: one text, `message`.",
            "properties": {
                "type": {"const": "object"},
                "properties": {
                    "type": "object",
                    "maxProperties": MOST_FIELDS,
                    "propertyNames": {"pattern": NAME},
                    "additionalProperties": {"type": "object"},
                },
                "required": {"type": "array", "items": {"type": "string"}},
            },
        },
        "state": {
            "type": "object",
            "maxProperties": MOST_FIELDS,
            "description": "The fields that nodes write: a JSON Schema each, with `default` and `reducer`.",
            "propertyNames": {"pattern": NAME},
            "additionalProperties": {
                "type": "object",
                "properties": {
                    **_VALUE_SCHEMA["properties"],
                    "default": {},
                    "reducer": {
                        "enum": list(REDUCERS),
                        "description": "How a new value meets the old one. Default: replace.",
                    },
                },
                "required": ["type"],
            },
        },
        "nodes": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_NODES,
            "items": {"type": "object", "required": ["id", "kind"]},
        },
        "edges": {
            "type": "array",
            "maxItems": MOST_EDGES,
            "items": {
                "type": "object",
                "properties": {
                    "from": {"type": "string", "description": "A node's id."},
                    "to": {"type": "string", "description": "A node's id."},
                    "case": {
                        "type": "string",
                        "pattern": NAME,
                        "description": "Of a condition, a loop (body, done), an approval (approved, rejected), "
                        "or `error`.",
                    },
                },
                "required": ["from", "to"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["nodes", "edges"],
    "additionalProperties": False,
}
"""A document without what is particular to each kind of node."""

FRAME: Final = _FRAME


def published_schema() -> Schema:
    """The whole schema, for editors: which properties a node has follows from its `kind`."""
    any_node = {"properties": {"kind": {"enum": list(KINDS)}}, "required": ["id", "kind"], "type": "object"}
    by_kind = [
        {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": schema}
        for kind, schema in NODE_SCHEMAS.items()
    ]
    nodes = {**_FRAME["properties"]["nodes"], "items": {**any_node, "allOf": by_kind}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentplatform workflow",
        **_FRAME,
        "properties": {**_FRAME["properties"], "nodes": nodes},
    }
