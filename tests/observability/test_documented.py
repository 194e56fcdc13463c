"""docs/observability.md lists what there is, and its alerts and the dashboard ask for nothing else."""

from __future__ import annotations

import json
import re

from agentplatform.health.checks import HEALTHY, Finding
from agentplatform.lib.telemetry.metrics import REGISTRY
from agentplatform.observability import exposition  # noqa: F401 (it adds the process's own)
from agentplatform.observability.database_figures import Snapshot, look
from tests.processes import PROJECT

DOCUMENT = (PROJECT / "docs" / "observability.md").read_text()
DASHBOARD = (PROJECT / "docs" / "grafana-dashboard.json").read_text()
PREFIX = "agentplatform_"
NAME = re.compile(r"agentplatform_[a-z_]+|process_[a-z_]+")


def names() -> dict[str, str]:
    """Of everything at /metrics: names of samples as they are asked for, and the name that documents them."""
    found = {}
    for family in (*REGISTRY.collect(), *Snapshot(Finding(HEALTHY, 0.0, "", look())).collect()):
        suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}.get(
            family.type, ("",)
        )
        shown = family.name + ("_total" if family.type == "counter" else "")
        found |= {family.name + suffix: shown for suffix in suffixes}
    return found


def test_documents_every_metric(db):
    assert not {
        shown
        for shown in names().values()
        if shown.startswith(PREFIX) and f"`{shown.removeprefix(PREFIX)}`" not in DOCUMENT
    }


def test_alerts_by_what_there_is(db):
    asked = set(NAME.findall(DOCUMENT.partition("### Alerts")[2].partition("```yaml")[2].partition("```")[0]))

    assert (len(asked) > 5, asked - names().keys()) == (True, set())


def test_draws_what_there_is(db):
    expressions = " ".join(
        target["expr"] for panel in json.loads(DASHBOARD)["panels"] for target in panel["targets"]
    )
    asked = set(NAME.findall(expressions))

    assert (len(asked) > 15, asked - names().keys()) == (True, set())
