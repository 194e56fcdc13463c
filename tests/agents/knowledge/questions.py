"""Twenty questions about this project, as people ask them, and where its own documents answer them."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
SOURCES = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
LOOKED_AT = 3
"""How many of the passages that are found may come before the right one, and the right one."""

QUESTIONS = (
    # question, document, words that only the right passage has
    ("What happens when a worker is killed in the middle of a run?", "architecture.md", "given up finds its attempt fenced"),
    ("How long is an access token valid?", "api.md", "ACCESS_TOKEN_EXPIRE_MINUTES"),
    ("Why was cronsim chosen for cron expressions?", "decisions.md", "cronsim follows Debian's cron"),
    ("Which library lays out the pictures of workflows?", "decisions.md", "grandalf"),
    ("How do I rotate the keys that encrypt secrets?", "operations.md", "rotate_secrets"),
    ("How must nginx be configured for streaming?", "operations.md", "proxy_buffering off"),
    ("In which order are locks taken?", "architecture.md", "a run before the runs below it"),
    ("How can I make a repeated request start only one run?", "api.md", "Idempotency-Key"),
    ("Which language are expressions in workflows written in?", "workflows.md", "CEL"),
    ("How is a Chinese message found by search?", "decisions.md", "pair of"),
    ("Can an agent be called through the OpenAI client?", "openai.md", "base_url"),
    ("Which commands may be started as MCP servers?", "mcp.md", "MCP_ALLOWED_COMMANDS"),
    ("What does the event budget_warning tell?", "events.md", "budget_warning"),
    ("How often are deliveries to webhooks attempted?", "api.md", "attempt"),
    ("How is a webhook's signature checked?", "api.md", "webhook-signature"),
    ("What does a viewer have permission to do?", "api.md", "viewer"),
    ("How do I move from the old FastAPI back ends?", "migrating.md", "old"),
    ("How large may a request body be?", "operations.md", "MAX_REQUEST_BYTES"),
    ("What is the p95 of starting a run?", "performance.md", "p95"),
    ("How are prices of models known?", "api.md", "genai-prices"),
)
