"""An upgrade keeps what an earlier version has stored, and so does the way back."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.processes import PROJECT

pytestmark = [pytest.mark.slow, pytest.mark.external]


@pytest.fixture(scope="module")
def upgraded(database_of_module) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "tests.deployment.upgrading"],
        cwd=PROJECT,
        env={**os.environ, "DATABASE_URL": database_of_module},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("way", ["forward", "back"])
def test_keeps_every_value_that_an_earlier_version_has_stored(upgraded, way):
    changed = [table for table, rows in upgraded["before"].items() if upgraded[way].get(table) != rows]

    assert changed == []
    assert len(upgraded["before"]["billing_usagerecord"]) == 40


def test_can_prove_what_an_earlier_version_has_stored(upgraded):
    assert "acme ledger 40:" in upgraded["verify_ledger"]
    assert "differ" not in upgraded["reconcile"], upgraded["reconcile"]
