"""What a configuration's text must not say, and what is left out of it."""

from __future__ import annotations

import uuid

import pytest

from agents.workflows import text
from tests.factories import BudgetFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("field", ["agent_id", "user_id"])
def test_leaves_out_a_budget_of_what_is_gone(field, api, alice, workspace):
    BudgetFactory(workspace=workspace, name="monthly", **{field: uuid.uuid4()})
    assert "monthly" not in api(alice).get("/config/export").content.decode()


def test_bounds_the_levels_of_json():
    with pytest.raises(text.TextFault):
        text.load('{"a": ' + "[" * 200 + "]" * 200 + "}")
