"""Notes what has ended in an outbox, from which figures are folded, and counts what had ended before.

Triggers note it, so that no way in is forgotten, and a process of the version before counts too. What had ended before is
read in the snapshot of the moment in which the triggers came into being, so that nothing is counted twice or not at all,
and nobody waits while it is read. Where that breaks off it can be run again.
"""

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connections, migrations, models, transaction

# An entry of a histogram covers durations whose logarithm lies in one step; the step makes each estimate right to 1 %.
FUNCTIONS = """
CREATE OR REPLACE FUNCTION runs_bucket(duration bigint) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN duration <= 1 THEN 0 ELSE least(32767, ceil(ln(duration::float8) / 0.02000066670666943)) END::smallint
$$;
CREATE OR REPLACE FUNCTION runs_microseconds(since timestamptz, until timestamptz) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(0, extract(epoch FROM until - since) * 1000000)::bigint
$$;
CREATE OR REPLACE FUNCTION runs_compact_histogram(entries bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT COALESCE(string_agg(int4send(bucket) || int4send(sum), '' ORDER BY bucket), '') FROM (
        SELECT bucket, sum(count)::int AS sum FROM (
            SELECT (get_byte(entries, at + 2) << 8) | get_byte(entries, at + 3) AS bucket,
                (get_byte(entries, at + 4) << 24) | (get_byte(entries, at + 5) << 16)
                | (get_byte(entries, at + 6) << 8) | get_byte(entries, at + 7) AS count
            FROM generate_series(0, octet_length(entries) - 1, 8) AS at
        ) AS single GROUP BY bucket
    ) AS merged WHERE sum <> 0
$$;
CREATE OR REPLACE FUNCTION runs_note_run() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_counted boolean := false;
    duration bigint := runs_microseconds(NEW.started_at, NEW.finished_at);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        is_counted := OLD.status IN ('completed', 'failed', 'cancelled');
    END IF;
    IF is_counted THEN
        -- Money that came after its end.
        INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
            count, microseconds, input_tokens, output_tokens)
        VALUES (NEW.workspace_id, NEW.user_id, 'run', COALESCE(NEW.finished_at, NEW.updated_at),
            COALESCE(NEW.agent_id, NEW.workflow_id), '', NEW.status, COALESCE(left(NEW.error ->> 'class', 32), ''),
            0, 0, NEW.input_tokens - OLD.input_tokens, NEW.output_tokens - OLD.output_tokens);
    ELSE
        INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
            count, microseconds, bucket, input_tokens, output_tokens)
        VALUES (NEW.workspace_id, NEW.user_id, 'run', COALESCE(NEW.finished_at, NEW.updated_at),
            COALESCE(NEW.agent_id, NEW.workflow_id), '', NEW.status, COALESCE(left(NEW.error ->> 'class', 32), ''),
            1, COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END,
            NEW.input_tokens, NEW.output_tokens);
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION runs_note_step() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    run record;
    duration bigint := runs_microseconds(NEW.started_at, NEW.finished_at);
BEGIN
    SELECT workspace_id, user_id, COALESCE(agent_id, workflow_id) AS executed_id INTO run
    FROM runs_run WHERE id = NEW.run_id AND attempt > 0;
    IF NOT FOUND THEN
        -- A copy that a fork begins with.
        RETURN NULL;
    END IF;
    INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
        count, microseconds, bucket, input_tokens, output_tokens)
    VALUES (run.workspace_id, run.user_id, 'step', NEW.finished_at, run.executed_id, NEW.type, 'ok', '',
        1, duration, runs_bucket(duration), 0, 0);
    IF TG_OP = 'UPDATE' THEN
        -- It has taken the place of what was counted.
        duration := runs_microseconds(OLD.started_at, OLD.finished_at);
        INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
            count, microseconds, bucket, input_tokens, output_tokens)
        VALUES (run.workspace_id, run.user_id, 'step', OLD.finished_at, run.executed_id, OLD.type, 'ok', '',
            -1, -duration, runs_bucket(duration), 0, 0);
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION runs_note_tool_call() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    duration bigint := runs_microseconds(NEW.claimed_at, NEW.finished_at);
BEGIN
    INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
        count, microseconds, bucket, input_tokens, output_tokens)
    SELECT workspace_id, user_id, 'tool_call', COALESCE(NEW.finished_at, NEW.claimed_at), COALESCE(agent_id, workflow_id),
        NEW.tool, CASE WHEN NEW.message ->> 'status' = 'error' THEN 'failed' ELSE 'ok' END, '',
        1, COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END, 0, 0
    FROM runs_run WHERE id = NEW.run_id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION runs_note_model_call() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    opened_at timestamptz;
    duration bigint;
    workflow uuid := NEW.workflow_id;
BEGIN
    IF NEW.status IN ('ok', 'failed', 'cancelled') AND NEW.correction_of IS NULL THEN
        -- Says what the unique index says, because only then the index finds it.
        SELECT timestamp INTO opened_at FROM billing_usagerecord
        WHERE call_id = NEW.call_id AND entry = 'opened' AND correction_of IS NULL;
        duration := runs_microseconds(opened_at, NEW.timestamp);
    END IF;
    IF NEW.agent_id IS NULL AND workflow IS NULL AND NEW.run_id IS NOT NULL THEN
        -- Written by a process of the version before.
        SELECT workflow_id INTO workflow FROM runs_run WHERE id = NEW.run_id;
    END IF;
    INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
        count, microseconds, bucket, input_tokens, output_tokens)
    VALUES (NEW.workspace_id, NEW.user_id, 'model_call', NEW.timestamp, COALESCE(NEW.agent_id, workflow),
        NEW.provider || '/' || NEW.model, NEW.status, '', CASE WHEN NEW.correction_of IS NULL THEN 1 ELSE 0 END,
        COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END,
        NEW.input_tokens, NEW.output_tokens);
    RETURN NULL;
END
$$;
"""
# An update that ends nothing calls no function: the database compares, and that is all.
TRIGGERS = """
CREATE OR REPLACE TRIGGER run_that_began_ended_is_noted AFTER INSERT ON runs_run FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed', 'cancelled')) EXECUTE FUNCTION runs_note_run();
CREATE OR REPLACE TRIGGER run_that_ended_is_noted AFTER UPDATE ON runs_run FOR EACH ROW
    WHEN (NEW.status IN ('completed', 'failed', 'cancelled')
        AND (OLD.status NOT IN ('completed', 'failed', 'cancelled')
            OR OLD.input_tokens <> NEW.input_tokens OR OLD.output_tokens <> NEW.output_tokens))
    EXECUTE FUNCTION runs_note_run();
CREATE OR REPLACE TRIGGER step_is_noted AFTER INSERT ON runs_runstep FOR EACH ROW EXECUTE FUNCTION runs_note_step();
CREATE OR REPLACE TRIGGER step_done_again_is_noted AFTER UPDATE ON runs_runstep FOR EACH ROW
    WHEN ((OLD.type, OLD.started_at, OLD.finished_at) IS DISTINCT FROM (NEW.type, NEW.started_at, NEW.finished_at))
    EXECUTE FUNCTION runs_note_step();
CREATE OR REPLACE TRIGGER tool_call_made_at_once_is_noted AFTER INSERT ON runs_toolcall FOR EACH ROW
    WHEN (NEW.status = 'done') EXECUTE FUNCTION runs_note_tool_call();
CREATE OR REPLACE TRIGGER tool_call_is_noted AFTER UPDATE ON runs_toolcall FOR EACH ROW
    WHEN (NEW.status = 'done' AND OLD.status <> 'done') EXECUTE FUNCTION runs_note_tool_call();
CREATE OR REPLACE TRIGGER model_call_is_noted AFTER INSERT ON billing_usagerecord FOR EACH ROW
    WHEN (NEW.entry = 'settled') EXECUTE FUNCTION runs_note_model_call();
"""
REMOVE = """
DROP TRIGGER run_that_began_ended_is_noted ON runs_run;
DROP TRIGGER run_that_ended_is_noted ON runs_run;
DROP TRIGGER step_is_noted ON runs_runstep;
DROP TRIGGER step_done_again_is_noted ON runs_runstep;
DROP TRIGGER tool_call_made_at_once_is_noted ON runs_toolcall;
DROP TRIGGER tool_call_is_noted ON runs_toolcall;
DROP TRIGGER model_call_is_noted ON billing_usagerecord;
DROP FUNCTION runs_note_run();
DROP FUNCTION runs_note_step();
DROP FUNCTION runs_note_tool_call();
DROP FUNCTION runs_note_model_call();
DROP FUNCTION runs_compact_histogram(bytea);
DROP FUNCTION runs_microseconds(timestamptz, timestamptz);
DROP FUNCTION runs_bucket(bigint)
"""
# What the triggers would have noted.
BEFORE = """
INSERT INTO runs_measurement (workspace_id, user_id, kind, ended_at, executed_id, subject, outcome, error_class,
    count, microseconds, bucket, input_tokens, output_tokens)
SELECT workspace_id, user_id, 'run', COALESCE(finished_at, updated_at), COALESCE(agent_id, workflow_id), '', status,
    COALESCE(left(error ->> 'class', 32), ''), 1, COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END,
    input_tokens, output_tokens
FROM runs_run, runs_microseconds(started_at, finished_at) AS duration WHERE status IN ('completed', 'failed', 'cancelled')
UNION ALL
SELECT workspace_id, user_id, 'step', step.finished_at, COALESCE(agent_id, workflow_id), step.type, 'ok',
    '', 1, duration, runs_bucket(duration), 0, 0
FROM runs_runstep step JOIN runs_run run ON run.id = step.run_id AND step.started_at >= run.created_at, runs_microseconds(step.started_at, step.finished_at) AS duration
UNION ALL
SELECT workspace_id, user_id, 'tool_call', COALESCE(call.finished_at, call.claimed_at), COALESCE(agent_id, workflow_id), call.tool,
    CASE WHEN call.message ->> 'status' = 'error' THEN 'failed' ELSE 'ok' END,
    '', 1, COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END, 0, 0
FROM runs_toolcall call JOIN runs_run run ON run.id = call.run_id, runs_microseconds(call.claimed_at, call.finished_at) AS duration
WHERE call.status = 'done'
UNION ALL
SELECT call.workspace_id, call.user_id, 'model_call', call.timestamp, COALESCE(call.agent_id, call.workflow_id, run.workflow_id),
    call.provider || '/' || call.model, call.status, '', CASE WHEN call.correction_of IS NULL THEN 1 ELSE 0 END,
    COALESCE(duration, 0), CASE WHEN duration IS NOT NULL THEN runs_bucket(duration) END, call.input_tokens, call.output_tokens
FROM billing_usagerecord call
LEFT JOIN billing_usagerecord opened ON opened.call_id = call.call_id AND opened.entry = 'opened' AND opened.correction_of IS NULL
LEFT JOIN runs_run run ON run.id = call.run_id AND call.agent_id IS NULL,
runs_microseconds(
    CASE WHEN call.correction_of IS NULL AND call.status IN ('ok', 'failed', 'cancelled') THEN opened.timestamp END, call.timestamp
) AS duration
WHERE call.entry = 'settled'
"""


def note(apps: Any, schema_editor: Any) -> None:
    alias = schema_editor.connection.alias
    witness = connections[alias].copy()
    try:
        with (
            transaction.atomic(using=alias),
            schema_editor.connection.cursor() as cursor,
            witness.cursor() as other,
        ):
            # Waits for all writers, and holds them up until both have begun.
            cursor.execute(
                "LOCK TABLE runs_run, runs_runstep, runs_toolcall, billing_usagerecord IN SHARE ROW EXCLUSIVE MODE"
            )
            cursor.execute("DELETE FROM runs_measurement; DELETE FROM runs_figures")
            cursor.execute(FUNCTIONS + TRIGGERS)
            other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        with witness.cursor() as other:
            other.execute(BEFORE)
            other.execute("COMMIT")
    finally:
        witness.close()


def forget(apps: Any, schema_editor: Any) -> None:
    schema_editor.execute(REMOVE)


class Migration(migrations.Migration):
    # What ended before is read while others write.
    atomic = False

    dependencies = [("runs", "0010_run_figures"), ("billing", "0005_seals")]

    operations = [
        migrations.RunPython(note, forget),
        # One that was broken off is there, and of no use.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS run_with_events",
            migrations.RunSQL.noop,
        ),
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(
                condition=models.Q(("events_removed_at__isnull", True), ("finished_at__isnull", False)),
                fields=["finished_at"],
                name="run_with_events",
            ),
        ),
    ]
