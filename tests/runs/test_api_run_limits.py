"""The budget of a run over the API: what may be asked for, and resuming with more."""

from __future__ import annotations

import pytest

from runs.models import Run, Status
from tests.factories import RunFactory


@pytest.fixture
def create(api, alice, agent):
    """`create(max_tokens=5)`: the answer to a run with these limits."""
    return lambda **limits: api(alice).post("/runs", {"message": "Hello", "limits": limits})


@pytest.fixture
def spent(workspace, alice):
    """A run of alice's that rests, because it has used up its tokens."""
    return RunFactory(
        workspace=workspace,
        user=alice,
        status=Status.PAUSED,
        limits={"max_tokens": 100, "max_steps": 9},
        input_tokens=90,
        output_tokens=20,
    )


@pytest.fixture
def resume(api, alice):
    return lambda run, body=None: api(alice).post(f"/runs/{run.pk}/resume", body)


def test_takes_every_limit(create):
    limits = {"max_tokens": 5, "max_cost": "0.5", "timeout": 2.5, "max_steps": 3}

    assert create(**limits).json()["limits"] == limits


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("0.50", "0.5"), (0.1, "0.1"), (2, "2"), ("1E+3", "1000"), ("0.000000000001", "0.000000000001")],
)
def test_keeps_a_cost_as_plain_decimal_text(create, sent, kept):
    assert create(max_cost=sent).json()["limits"]["max_cost"] == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_cost", 0),
        ("max_cost", -1),
        ("max_cost", "0.0000000000001"),
        ("max_cost", "NaN"),
        ("max_cost", True),
        ("max_cost", None),
        ("max_tokens", 0),
        ("max_tokens", 1.5),
        ("max_tokens", 10**13),
    ],
)
def test_refuses_a_limit_that_is_none(create, name, value):
    refused = create(**{name: value})

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, f"limits.{name}")


def test_resumes_with_a_higher_limit(resume, spent):
    assert resume(spent, {"limits": {"max_tokens": 500}}).json()["status"] == "queued"


def test_leaves_the_other_limits_as_they_are(resume, spent):
    resume(spent, {"limits": {"max_tokens": 500, "max_cost": "1.0"}})

    assert Run.objects.get(pk=spent.pk).limits == {"max_tokens": 500, "max_steps": 9, "max_cost": "1"}


@pytest.mark.parametrize("body", [None, {}, {"limits": {"timeout": 60}}, {"limits": {"max_tokens": 110}}])
def test_says_which_limit_is_used_up(resume, spent, body):
    refused = resume(spent, body)
    limit = (body or {}).get("limits", {}).get("max_tokens", 100)

    assert (refused.status_code, refused.json()["error"]["details"]) == (
        409,
        {"status": "paused", "reason": "budget_exceeded", "limit": "max_tokens", "value": limit, "used": 110},
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limits": {"steps": 1}}, "limits.steps"),
        ({"limits": []}, "limits"),
        ({"max_tokens": 5}, "max_tokens"),
    ],
)
def test_refuses_what_is_no_limit(resume, spent, body, field):
    refused = resume(spent, body)

    assert (refused.status_code, refused.json()["error"]["details"][0]["field"]) == (422, field)
