"""Where the tests order victims: `tests.crash.victim` in a process of its own, and what became of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from signal import SIGKILL

from tests.processes import Process, process


@dataclass(frozen=True, slots=True)
class Order:
    """What a victim is to do.

    It starts a run of `agent`, or of `workflow` where there is one. `name` is the name of its queue too, and stands in
    the run's query, `text`. `reactions` maps the type of an event to the verb that the victim calls when it sees the
    first of them. It dies at `point`, or not at all.
    """

    name: str
    agent: str
    user_id: str
    workspace_id: str
    text: str
    reactions: Mapping[str, str] = field(default_factory=dict)
    point: str = ""
    workflow: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """How a victim has ended: killed, or with 0 and the points that it has passed, having met its own nowhere."""

    name: str
    code: int
    passed: list[str]

    @property
    def was_killed(self) -> bool:
        return self.code == -SIGKILL


class Nursery:
    """See the module. Its victims work on the database of the tests."""

    def __init__(self, parent: Process) -> None:
        self._parent = parent

    def execute(self, orders: Sequence[Order]) -> dict[str, End]:
        """Has the orders executed, and answers when all their victims are dead: their ends by name.

        A victim that has failed, which its standard error tells of, is no victim.
        """
        assert self._parent.stdin
        assert self._parent.stdout
        self._parent.stdin.write(json.dumps([asdict(order) for order in orders]) + "\n")
        self._parent.stdin.flush()
        ends = [End(**json.loads(self._parent.stdout.readline())) for _ in orders]
        assert [end.name for end in ends if not end.was_killed and end.code] == []
        return {end.name: end for end in ends}


@contextmanager
def nursery() -> Iterator[Nursery]:
    with process(
        "-m", "tests.crash.victim", ready="The nursery is ready.", talks=True, LOG_LEVEL="ERROR"
    ) as (parent, _):
        yield Nursery(parent)
