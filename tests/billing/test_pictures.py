"""Usage as plots: of the answers that the API gives."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from xml.etree import ElementTree

from billing import pictures

MODELS = {
    "currency": "EUR",
    "by_model": [
        {"provider": "openai", "model": "mini", "cost": Decimal("0.000000300000")},
        {"provider": "openai", "model": "large", "cost": Decimal("12.5")},
        {"provider": "own", "model": "free", "cost": None},
    ],
    "by_agent": [{"agent": "", "cost": Decimal("1")}],
}


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_models_stand_in_the_order_of_their_cost():
    assert texts(pictures.by_model(MODELS)) == [
        "Cost by model",
        *("openai/large", "12.5 EUR"),
        *("openai/mini", "0.0000003 EUR"),
        *("own/free", "–"),
    ]


def test_what_is_no_agents_is_called_so():
    assert "without an agent" in texts(pictures.by_agent(MODELS))


def test_a_breakdown_has_its_agents():
    svg = pictures.by_agent({"currency": "USD", "agents": [{"agent": "assistant", "cost": Decimal(2)}]})
    assert texts(svg) == ["Cost by agent", "assistant", "2 USD"]


def test_a_history_names_its_buckets_as_its_time_zone_does():
    answer = {
        "currency": "USD",
        "tz": "Asia/Kolkata",
        "granularity": "hour",
        "buckets": [{"start": datetime(2026, 3, 10, 18, 30, tzinfo=UTC), "cost": Decimal("0.5")}],
    }
    assert "03-11 00:00\ncost: 0.5 USD" in pictures.history(answer)
