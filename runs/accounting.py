"""What runs have made of the ledger: their totals follow its corrections, and can be compared with it.

Importing this module registers both, which `RunsConfig` does when Django starts.
"""

from __future__ import annotations

from billing import repricing
from billing.reconciliation import Compared, Scope, Select, road
from runs import lifecycle
from runs.models import TERMINAL

COLUMNS = ("input_tokens", "output_tokens", "cost", "unpriced_calls")
_OF_RUN = ", ".join(f"run.{name}" for name in COLUMNS)
_SUMS_OF_RUNS = ", ".join(f"sum(run.{name}) AS {name}" for name in COLUMNS)
_SUMS_OF_LEDGER = """
    sum(entry.input_tokens) AS input_tokens, sum(entry.output_tokens) AS output_tokens, sum(entry.cost) AS cost,
    sum(entry.requests) FILTER (WHERE entry.cost IS NULL) AS unpriced_calls
"""
_ENTRIES = """
    billing_usagerecord entry JOIN runs_run run ON run.id = entry.run_id AND run.workspace_id = entry.workspace_id
    WHERE entry.workspace_id = %s AND entry.entry = 'settled'
"""

repricing.follow(lifecycle.recounting)


@road("runs", keys=["run_id"], columns=COLUMNS)
def runs(scope: Scope) -> Compared:
    """Each run's own totals, of runs that began in the period. Runs that were deleted have none any more."""
    condition, parameters = scope.within("run.created_at")
    values = [scope.workspace_id, *parameters]
    expected = (
        f"SELECT entry.run_id::text AS run_id, {_SUMS_OF_LEDGER} FROM {_ENTRIES} AND {condition} GROUP BY 1"  # noqa: S608
    )
    found = f"SELECT run.id::text AS run_id, {_OF_RUN} FROM runs_run run WHERE run.workspace_id = %s AND {condition}"  # noqa: S608
    return Compared(Select(expected, values), Select(found, values))


@road("sessions", keys=["session_id"], columns=COLUMNS)
def sessions(scope: Scope) -> Compared:
    """What the runs of each session add up to, of runs that began in the period."""
    condition, parameters = scope.within("run.created_at")
    values = [scope.workspace_id, *parameters]
    narrowed = f"run.session_id IS NOT NULL AND {condition} GROUP BY 1"
    expected = (
        f"SELECT COALESCE(entry.session_id::text, '') AS session_id, {_SUMS_OF_LEDGER} "  # noqa: S608
        f"FROM {_ENTRIES} AND {narrowed}"
    )
    found = (
        f"SELECT run.session_id::text AS session_id, {_SUMS_OF_RUNS} FROM runs_run run "  # noqa: S608
        f"WHERE run.workspace_id = %s AND {narrowed}"
    )
    return Compared(Select(expected, values), Select(found, values))


CHILD_COLUMNS = tuple(f"child_{name}" for name in COLUMNS)
# Families of which no member has moved for a moment: totals go up from child to parent a little later.
_FAMILIES = """
    WITH RECURSIVE below(root, id) AS (
        SELECT run.id, child.id FROM runs_run run JOIN runs_run child ON child.parent_id = run.id
        WHERE run.workspace_id = %s AND child.relation = 'child' AND {condition}
        UNION
        SELECT below.root, run.id FROM runs_run run JOIN below ON run.parent_id = below.id WHERE run.relation = 'child'
    ), ended AS (
        SELECT below.root, {sums} FROM below JOIN runs_run run ON run.id = below.id GROUP BY 1
        HAVING bool_and(run.status = ANY(%s)) AND max(run.updated_at) < now() - interval '1 minute'
    )
    SELECT run.id::text AS run_id, {wanted} FROM ended JOIN runs_run run ON run.id = ended.root
    WHERE run.status = ANY(%s) AND {condition}
"""


@road("families", keys=["run_id"], columns=CHILD_COLUMNS)
def families(scope: Scope) -> Compared:
    """What runs have from those that their tools have started, once all of them have ended."""
    condition, parameters = scope.within("run.created_at")
    ended = [str(status) for status in TERMINAL]
    values = [scope.workspace_id, *parameters, ended, ended, *parameters]
    sums = ", ".join(f"sum(run.{name}) AS child_{name}" for name in COLUMNS)
    below, above = (
        ", ".join(f"{source}.{name} AS {name}" for name in CHILD_COLUMNS) for source in ("ended", "run")
    )
    return Compared(
        Select(_FAMILIES.format(sums=sums, wanted=below, condition=condition), values),
        Select(_FAMILIES.format(sums=sums, wanted=above, condition=condition), values),
    )
