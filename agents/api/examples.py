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
    "inputs": ["image"],
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
    "mcp_server": None,
    "mcp_tool": "",
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

WORKFLOW = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d62",
    "name": "reply",
    "description": "Answers a question.",
    "enabled": True,
    "tags": ["support"],
    "document": {
        "state": {"answer": {"type": "string"}},
        "nodes": [
            {"id": "start", "kind": "start"},
            {
                "id": "say",
                "kind": "llm",
                "model": "fast",
                "prompt": "{{ input.message }}",
                "output": "answer",
            },
            {"id": "end", "kind": "end", "output": "{{ state.answer }}"},
        ],
        "edges": [{"from": "start", "to": "say"}, {"from": "say", "to": "end"}],
    },
    "source": "name: reply\nstate: {answer: {type: string}}\nnodes: […]\nedges: […]\n",
    "published_version": 3,
    "published_at": "2026-11-26T10:00:00Z",
    "version": 4,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-26T10:30:00Z",
}

AGENT = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d60",
    "name": "shop-assistant",
    "description": "Answers questions about orders.",
    "enabled": True,
    "model": "fast",
    "tools": ["calculator", "get_order"],
    "memory": {"window": 50},
    "knowledge": ["handbook"],
    "system_prompt": "You help customers of a shop. Look an order up before you speak about it.",
    "config": {"max_steps": 10, "temperature": 0.2, "timeout": 30, "retries": 3},
    "tags": ["shop"],
    "is_default": True,
    "version": 2,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-21T10:30:00Z",
}

MCP_SERVER = {
    "id": "01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d61",
    "name": "documents",
    "description": "Searches the company's documents.",
    "enabled": True,
    "transport": "http",
    "command": "",
    "arguments": [],
    "environment": {},
    "url": "https://documents.example.com/mcp",
    "headers": {},
    "secrets": {"Authorization": "Bearer …"},
    "secret_hints": {"Authorization": "9xKe"},
    "timeout_seconds": 30,
    "health": "healthy",
    "health_message": "",
    "checked_at": "2026-11-21T10:30:00Z",
    "server_info": {"name": "documents", "version": "2.1.0", "protocol": "2026-07-28"},
    "discovered": ["search", "fetch"],
    "version": 1,
    "created_at": "2026-11-20T09:00:00Z",
    "updated_at": "2026-11-20T09:00:00Z",
}

DISCOVERY = {
    "ok": True,
    "latency_ms": 312.4,
    "message": "",
    "server_info": {"name": "documents", "version": "2.1.0", "protocol": "2026-07-28"},
    "new": ["search"],
    "changed": [],
    "unchanged": ["fetch"],
    "gone": [],
    "imported": [{"mcp_tool": "search", "tool": "docs_search"}],
    "refused": [],
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

KNOWLEDGE_BASE = {
    "name": "handbook",
    "description": "What everybody who works here should know.",
    "embedding_model": None,
    "chunk_size": 1000,
    "chunk_overlap": 150,
}
DOCUMENT = {
    "id": "01993f1c-7b1e-7c3e-9d8a-6c1f5f0a2b44",
    "name": "holidays.md",
    "media_type": "text/markdown",
    "size": 5210,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "status": "indexing",
    "progress": 0.4,
    "error": None,
    "chunk_count": 0,
    "created_at": "2026-11-01T09:30:00Z",
    "updated_at": "2026-11-01T09:30:00Z",
    "indexed_at": None,
}
FOUND_PASSAGES = {
    "items": [
        {
            "knowledge_base": "handbook",
            "document": "holidays.md",
            "document_id": "01993f1c-7b1e-7c3e-9d8a-6c1f5f0a2b44",
            "place": {"heading": "Holidays › Leave", "lines": [3, 9]},
            "text": "Everybody has 30 days of leave a year.",
            "score": 7.214,
            "highlight": {"text": "Everybody has 30 days of leave a year.", "matches": [[17, 21], [25, 30]]},
        }
    ],
    "total": 1,
    "warning": None,
}

CONFIG = {
    "type": "model",
    "name": "fast",
    "description": "For short answers",
    "enabled": True,
    "provider": "openai",
    "model": "gpt-5-mini",
    "purpose": "chat",
    "base_url": "",
    "parameters": {"temperature": 0.2},
    "inputs": ["image"],
    "fallbacks": ["thorough"],
    "api_key": "${secret:model/fast/api_key}",
}

CONFIG_CHANGES = {"parameters.temperature": {"old": 0.7, "new": 0.2}}

CONFIGURATION_TEXT = """\
format: 1
default_agent: shop-assistant
models:
  fast:
    provider: openai
    model: gpt-5-mini
    api_key: ${secret:model/fast/api_key}
agents:
  shop-assistant:
    model: fast
"""
