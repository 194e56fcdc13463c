"""The only writer of a run's status.

Each verb locks the run, decides from what it finds, and writes the row, the event and the queue's job in
one transaction. Verbs of people and clients (`people`) open their own; those of the engine (`attempts`) are
`Transition`s that the journal applies in its flush, so that the last event, the last checkpoint and the status
commit together; what nobody asked for, because a worker was lost or a child has ended, is in `recovery`.

    created → queued → running → completed | failed
                 ↑________|  (hand_back, requeue: a new attempt follows)
    running → pausing → paused → queued (resume: a new attempt follows)
    running → paused (its budget is spent)
    running → waiting (park: for a person, or for a child that rests) → queued (proceed)
    queued and waiting → paused, and pausing → running where it is resumed before it has paused
    paused and waiting → paused (rewind: set back to a checkpoint)
    every state that is not terminal → cancelled

Pause, resume and cancel reach down to the runs that a run's tools have started.
"""

from runs.lifecycle.attempts import (
    Waits,
    begin,
    come_to_rest,
    fail,
    finish,
    hand_back,
    hold_back,
    park,
    time_is_up,
)
from runs.lifecycle.families import active_below, all_below
from runs.lifecycle.limits import Excess, exceeded, exceeded_above, nearly_exceeded
from runs.lifecycle.people import cancel, cancel_all, enqueue, pause, proceed, resume, start, start_child
from runs.lifecycle.recovery import (
    MAX_LOSSES,
    neglected,
    recounting,
    requeue_lost,
    roll_up,
    settle_forgotten,
    tend,
)
from runs.lifecycle.rewinding import rewind
from runs.lifecycle.state import (
    Change,
    RunState,
    Transition,
    changing,
    count_usage,
    lock,
    tell_parents,
    write,
)

__all__ = [
    "MAX_LOSSES",
    "Change",
    "Excess",
    "RunState",
    "Transition",
    "Waits",
    "active_below",
    "all_below",
    "begin",
    "cancel",
    "cancel_all",
    "changing",
    "come_to_rest",
    "count_usage",
    "enqueue",
    "exceeded",
    "exceeded_above",
    "fail",
    "finish",
    "hand_back",
    "hold_back",
    "lock",
    "nearly_exceeded",
    "neglected",
    "park",
    "pause",
    "proceed",
    "recounting",
    "requeue_lost",
    "resume",
    "rewind",
    "roll_up",
    "settle_forgotten",
    "start",
    "start_child",
    "tell_parents",
    "tend",
    "time_is_up",
    "write",
]
