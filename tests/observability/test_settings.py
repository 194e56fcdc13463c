"""Settings that cannot be meant stop the start, and say what to do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from agentplatform.lib.environment import require_package
from tests.processes import PROJECT


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "remedy"),
    [
        ({"METRICS_TOKEN": "guessable"}, "METRICS_TOKEN must have at least 16 characters."),
        ({"METRICS_ALLOWED_ADDRESSES": "10.0.0.7,crm.internal"}, "METRICS_ALLOWED_ADDRESSES must list"),
        ({"METRICS_PORT": "9464"}, "set METRICS_TOKEN or METRICS_ALLOWED_ADDRESSES"),
        ({"PROMETHEUS_MULTIPROC_DIR": "/nowhere"}, "PROMETHEUS_MULTIPROC_DIR is no folder"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_names_the_setting_and_the_remedy(environment, remedy):
    done = subprocess.run(
        [sys.executable, "-c", "import agentplatform.settings"],
        cwd=PROJECT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert remedy in done.stderr


def test_says_how_to_install_what_is_missing():
    with pytest.raises(ImproperlyConfigured, match=r"SENTRY_DSN.*requirements-observability\.txt"):
        require_package("SENTRY_DSN", "no_such_package")
