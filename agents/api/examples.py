"""Examples for the API's own description."""

MODEL = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e",
    "name": "fast",
    "description": "For short answers",
    "enabled": True,
    "provider": "openai",
    "model": "gpt-5-mini",
    "base_url": "https://llm.example.com/v1",
    "api_key": "sk-…",
    "api_key_hint": "x7Qf",
    "parameters": {"temperature": 0.2},
    "fallbacks": ["thorough"],
    "version": 3,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-21T10:30:00Z",
}

TOOL = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5f",
    "name": "get_order",
    "description": "Looks up an order by its number.",
    "enabled": True,
    "kind": "http",
    "function": "",
    "request": {
        "method": "GET",
        "url": "https://shop.example.com/orders/{number}",
        "headers": {},
        "query": {},
    },
    "secret_headers": {"Authorization": "Bearer …"},
    "secret_header_hints": {"Authorization": "9xKe"},
    "agent": None,
    "arguments_schema": {
        "type": "object",
        "properties": {"number": {"type": "string"}},
        "required": ["number"],
    },
    "timeout_seconds": 30,
    "idempotent": True,
    "requires_approval": True,
    "approval_timeout_seconds": 86400,
    "approval_default": "reject",
    "version": 1,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-20T09:00:00Z",
}

AGENT = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d60",
    "name": "shop-assistant",
    "description": "Answers questions about orders.",
    "enabled": True,
    "model": "fast",
    "tools": ["calculator", "get_order"],
    "memory": {"window": 50},
    "knowledge": [],
    "system_prompt": "You help customers of a shop. Look an order up before you speak about it.",
    "config": {"max_steps": 10, "temperature": 0.2, "timeout": 30, "retries": 3},
    "tags": ["shop"],
    "is_default": True,
    "version": 2,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-21T10:30:00Z",
}

VERSION = {
    "number": 2,
    "name": "shop-assistant",
    "change": "updated",
    "author": "alice",
    "hash": "9b74c9897bac770ffc029102a200c5de3c5d1c9f4a2f1d3a6e3f5b8c7d9e0f1a",
    "created_at": "2026-11-21T10:30:00Z",
    "data": {"name": "shop-assistant", "model": "fast", "tools": ["calculator"]},
}
