"""The plots of the admin's first page: under the strict policy, in both themes, on a phone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from runs.models import Status
from tests.factories import AgentFactory, RunFactory, UsageRecordFactory

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def _history(workspace, alice):
    agent = AgentFactory(workspace=workspace, name="trade-assistant")
    now = timezone.now()
    for number in range(40):
        at = now - timedelta(hours=4 * number)
        RunFactory(
            workspace=workspace,
            user=alice,
            agent=agent,
            created_at=at,
            started_at=at - timedelta(seconds=2 + number % 7),
            finished_at=at,
            status=Status.FAILED if number % 6 == 0 else Status.COMPLETED,
            error={"class": "timeout", "message": ""} if number % 6 == 0 else None,
            input_tokens=1000 + 37 * number,
        )
        UsageRecordFactory(
            workspace=workspace,
            timestamp=at,
            agent=["trade-assistant", "research"][number % 2],
            model=["gpt-5-mini", "gpt-4o-mini", "a-model-with-a-very-long-name-indeed"][number % 3],
            cost=Decimal("0.0123") * (number % 5 + 1),
        )


@pytest.mark.usefixtures("_history")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 375])
def test_plots_fit_and_can_be_read(page_of, alice, scheme, width):
    page = page_of(alice, color_scheme=scheme, viewport={"width": width, "height": 900})
    page.goto("/admin/")
    plots = page.locator(".platform-plots svg")
    assert plots.count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.querySelector('.plot .ink')).fill") != "rgb(0, 0, 0)"


@pytest.mark.usefixtures("_history")
def test_a_plot_is_shown_as_a_picture(page_of, alice, problems):
    page = page_of(alice)
    page.goto("/admin/")
    shown = page.evaluate(
        """async () => {
            const picture = new Image();
            picture.src = "/api/v1/analytics/performance?format=svg";
            await picture.decode();
            return picture.naturalWidth;
        }"""
    )
    assert shown == 720
