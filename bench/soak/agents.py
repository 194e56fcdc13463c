"""What the mixed work needs in the workspace: models of the fake endpoint, tools, agents, a price, a webhook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.connection import Connection
from bench.platform import API
from bench.workload import TEXT_TOKENS

# Tokens and the milliseconds between two: an answer that comes at once, one to look at for three seconds, one that is
# cancelled long before its end, and one whose tool call takes a second to be asked for, so that it can be paused.
MODELS = {
    "soak-text": f"text-{TEXT_TOKENS}-5",
    "soak-paced": "clock-60-50",
    "soak-slow": "text-100-100",
    "soak-hesitant": f"slow-{TEXT_TOKENS}-50",
}
AGENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "soak-text": ("soak-text", ()),
    "soak-tools": ("soak-text", ("calculator", "get_order")),
    "soak-approved": ("soak-text", ("approved_calculator",)),
    "soak-paced": ("soak-paced", ()),
    "soak-slow": ("soak-slow", ()),
    "soak-hesitant": ("soak-hesitant", ("calculator",)),
}


@dataclass(frozen=True, slots=True)
class Agents:
    """Ids by name."""

    ids: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.ids[name]


async def prepare(connection: Connection, model_url: str, receiver_url: str) -> Agents:
    """Makes them; `get_order` asks the receiver, and so does the webhook, of every run that ends."""

    async def create(path: str, **values: Any) -> str:
        return str((await connection.request("POST", f"{API}/{path}", values, expect=201)).json()["id"])

    for name, model in MODELS.items():
        reached = {"base_url": model_url, "api_key": "sk-soak"}
        await create("models", name=name, provider="openai", model=model, **reached)
        price = {"input_per_million": "0.15", "output_per_million": "0.60"}
        await create("billing/prices", provider="openai", model=model, **price)
    await create(
        "tools",
        name="get_order",
        kind="http",
        description="Looks up an order by its number.",
        request={"method": "GET", "url": f"{receiver_url}/orders/{{number}}"},
        arguments_schema={
            "type": "object",
            "properties": {"number": {"type": "string"}},
            "required": ["number"],
        },
    )
    ended = ["run_completed", "run_failed", "run_cancelled"]
    await create("webhooks", name="soak", url=f"{receiver_url}/hook", events=ended)
    return Agents(
        {
            name: await create(
                "agents", name=name, model=model, system_prompt="Answer briefly.", tools=list(tools)
            )
            for name, (model, tools) in AGENTS.items()
        }
    )
