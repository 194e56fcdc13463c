"""Folds what has ended into the figures: takes it from the outbox and adds it, in one transaction.

Whoever reads adds what still lies in the outbox, so figures are exact at any moment, however late this comes. It may be
done by several processes at once: each takes rows that no other has, and adding is done under the row's lock.
"""

from __future__ import annotations

from django.db import connection, transaction

from runs.models import ALL_EXECUTED, DAY, EVERYBODY, QUARTER

BATCH = 5_000
"""Rows of the outbox in one transaction."""
LONGEST_HISTOGRAM = 6_400
"""Bytes. Appending is cheaper than merging, so buckets recur until then."""


def fold() -> bool:
    """Folds one batch; whether there may be more."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            _FOLD,
            {
                "batch": BATCH,
                "everybody": EVERYBODY,
                "all": ALL_EXECUTED,
                "quarter": QUARTER,
                "day": DAY,
                "longest": LONGEST_HISTOGRAM,
            },
        )
        (taken,) = cursor.fetchone()
    return bool(taken == BATCH)


def fold_all() -> None:
    """Folds until nothing is left."""
    while fold():
        pass


# In the order of the key, so that two that fold at once do not wait for each other crosswise.
_FOLD = """
WITH taken AS (
    DELETE FROM runs_measurement WHERE id IN (
        SELECT id FROM runs_measurement ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
    ) RETURNING *
), entries AS (
    SELECT workspace_id, whose.user_id, slots.minutes, kind, slots.slot,
        whose.executed_id, subject, outcome, error_class, bucket,
        sum(count) AS count, sum(count) FILTER (WHERE bucket IS NOT NULL) AS timed,
        sum(microseconds) AS microseconds, sum(input_tokens) AS input_tokens, sum(output_tokens) AS output_tokens
    FROM taken
    CROSS JOIN LATERAL (VALUES
        (%(everybody)s::uuid, COALESCE(taken.executed_id, %(everybody)s)), (%(everybody)s, %(all)s),
        (taken.user_id, COALESCE(taken.executed_id, %(everybody)s))
    ) AS whose (user_id, executed_id)
    CROSS JOIN LATERAL (VALUES
        (%(quarter)s, date_bin('15 minutes', ended_at, 'epoch')), (%(day)s, date_trunc('day', ended_at, 'UTC'))
    ) AS slots (minutes, slot)
    -- See Figures. Who has no id is nobody apart.
    WHERE whose.user_id = %(everybody)s OR (whose.user_id IS NOT NULL AND (slots.minutes = %(day)s OR kind = 'run'))
    GROUP BY workspace_id, whose.user_id, slots.minutes, kind, slots.slot, whose.executed_id, subject, outcome,
        error_class, bucket
), added AS (
    INSERT INTO runs_figures AS sums (
        workspace_id, user_id, minutes, kind, slot, executed_id, subject, outcome, error_class,
        count, timed, microseconds, input_tokens, output_tokens, histogram
    )
    SELECT workspace_id, user_id, minutes, kind, slot, executed_id, subject, outcome, error_class,
        sum(count), COALESCE(sum(timed), 0), sum(microseconds), sum(input_tokens), sum(output_tokens),
        COALESCE(
            string_agg(int4send(bucket) || int4send(count::int), '') FILTER (WHERE bucket IS NOT NULL AND count <> 0),
            ''
        )
    FROM entries
    GROUP BY workspace_id, user_id, minutes, kind, slot, executed_id, subject, outcome, error_class
    ORDER BY workspace_id, user_id, executed_id, minutes, kind, slot, subject, outcome, error_class
    ON CONFLICT (workspace_id, user_id, executed_id, minutes, kind, slot, subject, outcome, error_class) DO UPDATE SET
        count = sums.count + EXCLUDED.count, timed = sums.timed + EXCLUDED.timed,
        microseconds = sums.microseconds + EXCLUDED.microseconds,
        input_tokens = sums.input_tokens + EXCLUDED.input_tokens,
        output_tokens = sums.output_tokens + EXCLUDED.output_tokens,
        histogram = CASE
            WHEN octet_length(sums.histogram) + octet_length(EXCLUDED.histogram) > %(longest)s
            THEN runs_compact_histogram(sums.histogram || EXCLUDED.histogram)
            ELSE sums.histogram || EXCLUDED.histogram
        END
)
SELECT count(*) FROM taken
"""
