"""A service that does not answer: one waits to find out, the others are told at once."""

from __future__ import annotations

import pytest

from agentplatform.lib import outage as module
from agentplatform.lib.outage import REFUSAL_SECONDS, Outage


class Silence(Exception):
    pass


@pytest.fixture
def outage() -> Outage:
    return Outage(Silence, "It did not answer a moment ago.")


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def shift(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


def fail(outage: Outage) -> None:
    with pytest.raises(Silence, match="after a wait"), outage.noticed():
        raise Silence("after a wait")


def is_refused(outage: Outage) -> bool:
    try:
        with outage.noticed():
            return False
    except Silence:
        return True


def test_lets_everybody_through_while_it_answers(outage):
    assert not is_refused(outage)


def test_refuses_at_once_after_it_did_not_answer(outage, clock):
    fail(outage)
    assert is_refused(outage)


def test_lets_one_try_again_after_a_while(outage, clock):
    fail(outage)
    clock.shift(REFUSAL_SECONDS)
    with outage.noticed():
        assert is_refused(outage)


def test_lets_all_through_once_it_has_answered(outage, clock):
    fail(outage)
    clock.shift(REFUSAL_SECONDS)
    assert not is_refused(outage)
    assert not is_refused(outage)


def test_is_not_deceived_by_other_errors(outage):
    with pytest.raises(ZeroDivisionError), outage.noticed():
        raise ZeroDivisionError
    assert not is_refused(outage)
