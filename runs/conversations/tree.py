"""A conversation's tree of turns, and the one branch of it that is shown.

A turn is a run of the session that has taken its place; it knows the turn that it follows (`Run.previous`). Shown is
the branch that ends with `Session.head`: its messages are `active`, and the agent's state is the one at its end.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from django.db import connection
from django.utils import timezone

from runs.history import threads
from runs.models import Checkpoint, CheckpointQuerySet, Run, Session, Status

Path = Sequence[uuid.UUID]


class StateLost(Exception):
    """The agent's state at a turn is not kept any more."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The turns of a session and what each follows, in the order in which they came."""

    session_id: uuid.UUID
    previous: dict[uuid.UUID, uuid.UUID | None]

    @classmethod
    def of(cls, session_id: uuid.UUID) -> Self:
        runs = Run.objects.filter(session_id=session_id).exclude(status=Status.CREATED)
        found = runs.order_by("created_at", "pk").values_list("pk", "previous_id")
        return cls(session_id, dict(found))

    def path_to(self, turn: uuid.UUID | None) -> list[uuid.UUID]:
        """The branch that ends with a turn, its first turn first; none for None."""
        path = []
        while turn in self.previous:
            assert turn is not None
            path.append(turn)
            turn = self.previous[turn]
        return path[::-1]

    def newest_leaf(self, turn: uuid.UUID) -> uuid.UUID:
        """The newest turn that has come after a turn, at once or later; itself without any."""
        below = {turn}
        for one, previous in self.previous.items():
            if previous in below:
                below.add(one)
        return [one for one in self.previous if one in below][-1]


def show(tree: Tree, head: uuid.UUID | None) -> None:
    """Makes the branch that ends with a turn the one that is shown, and from which the agent goes on; None: no turn.

    The caller holds the session's lock, and none of its runs is under way.
    """
    session = Session.objects.filter(pk=tree.session_id)
    shown = set(tree.path_to(session.values_list("head_id", flat=True).get()))
    wanted = tree.path_to(head)
    _change_messages(tree.session_id, on=set(wanted) - shown, off=shown - set(wanted))
    session.update(head_id=head, updated_at=timezone.now())
    _go_on_from(tree.session_id, wanted)


def _change_messages(session_id: uuid.UUID, on: set[uuid.UUID], off: set[uuid.UUID]) -> None:
    """One update of the rows that differ."""
    if on or off:
        with connection.cursor() as cursor:
            cursor.execute(_CHANGE, {"session": session_id, "on": list(on), "turns": [*on, *off]})


_CHANGE = """
UPDATE runs_message SET active = run_id = ANY(%(on)s::uuid[])
WHERE session_id = %(session)s AND run_id = ANY(%(turns)s::uuid[])
"""


def _go_on_from(session_id: uuid.UUID, path: Path) -> None:
    """Where the branch has no state of the agent's, its next run finds that its thread's head is another branch's, and
    begins with the texts of its own (`runs.engine.ends`).
    """
    try:
        state = state_after(session_id, path)
    except StateLost:
        return
    head = _saved(session_id).values_list("pk", flat=True).first()
    if state is not None and state.pk != head:
        threads.copy_within(state, timezone.now())
        # The run has one more than it was pruned to.
        Run.objects.filter(checkpoints=state, pruned_to__isnull=False).update(pruned_to=None)


def state_after(session_id: uuid.UUID, path: Path) -> Checkpoint | None:
    """Where the agent stands at the end of a path of turns: the last of LangGraph's checkpoints on it.

    None before the first turn of an agent's, unless the conversation began with another one's state. Raises StateLost.
    """
    saved = _saved(session_id)
    if path and (found := saved.filter(run_id=path[-1]).first()):
        return found
    having = set(saved.order_by().values_list("run_id", flat=True).distinct())
    nearest = next((place for place in reversed(range(len(path))) if path[place] in having), -1)
    _require_nothing_lost(path[nearest + 1 :])
    return (saved.filter(run_id=path[nearest]) if nearest >= 0 else saved.filter(run__isnull=True)).first()


def _require_nothing_lost(turns: Path) -> None:
    """Workflows leave no state in the thread, and what was cancelled before it began has none."""
    answered = Run.objects.filter(pk__in=turns, status=Status.COMPLETED, workflow_version__isnull=True)
    if answered.exists():
        raise StateLost


def _saved(session_id: uuid.UUID) -> CheckpointQuerySet:
    saved = Checkpoint.objects.automatic().filter(thread_id=str(session_id), namespace="")
    return saved.order_by("-checkpoint_id")
