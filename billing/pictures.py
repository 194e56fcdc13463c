"""Usage as plots, of the very answers that the API gives as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _

from agentplatform.lib import plots
from agentplatform.lib.plots import Bar, Series
from billing.models import Budget
from billing.totals import Totals

Json = dict[str, Any]


def by_model(answer: Json, most: int = plots.MOST_BARS, **how: Any) -> str:
    """What the models of a summary have cost, the dearest first."""
    bars = [Bar(f"{group['provider']}/{group['model']}", group["cost"]) for group in answer["by_model"]]
    return plots.bars(_("Cost by model"), _dearest(bars, most), unit=answer["currency"], **how)


def by_agent(answer: Json, most: int = plots.MOST_BARS, **how: Any) -> str:
    """What the agents of a summary or of a breakdown have cost, the dearest first."""
    groups: list[Totals] = answer["agents"] if "agents" in answer else answer["by_agent"]
    bars = [Bar(group["agent"] or _("without an agent"), group["cost"]) for group in groups]
    return plots.bars(_("Cost by agent"), _dearest(bars, most), unit=answer["currency"], **how)


def burnt(found: Sequence[tuple[Budget, Decimal]], most: int = plots.MOST_BARS, **how: Any) -> str:
    """How many percent of budgets are spent in their present periods, as `counters.burnt` has them."""
    bars = [Bar(budget.name, percent) for budget, percent in found[:most]]
    return plots.bars(_("Budgets burnt"), bars, unit="%", **how)


def history(answer: Json, **how: Any) -> str:
    """Cost over time, by the buckets that there are."""
    zone, shape = ZoneInfo(answer["tz"]), _LABELS.get(answer["granularity"], "%m-%d")
    labels = [bucket["start"].astimezone(zone).strftime(shape) for bucket in answer["buckets"]]
    costs = Series(_("cost"), [bucket["cost"] for bucket in answer["buckets"]])
    return plots.columns(_("Cost"), labels, [costs], unit=answer["currency"], **how)


_LABELS = {"hour": "%m-%d %H:%M", "month": "%Y-%m", "quarter": "%Y-%m", "year": "%Y"}


def _dearest(bars: list[Bar], most: int) -> list[Bar]:
    return sorted(bars, key=lambda bar: -(bar.value or 0))[:most]
