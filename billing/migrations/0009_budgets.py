"""Budgets, and the trigger that counts the ledger's entries for them as they are written."""

import agentplatform.lib.ids
import billing.models.budgets
import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The one truth about when a period begins. PostgreSQL tells apart the two hours of one name when clocks go back; a day
# that would begin twice, because they do so at midnight, begins with the first.
PERIOD_START = """
CREATE FUNCTION billing_period_start(period text, moment timestamptz, zone text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    midnight timestamp;
    began timestamptz;
BEGIN
    IF period = 'total' THEN
        RETURN timestamptz '1970-01-01 00:00:00+00';
    END IF;
    IF period = 'hour' THEN
        RETURN date_trunc('hour', moment, zone);
    END IF;
    midnight := date_trunc(period, moment AT TIME ZONE zone);
    began := midnight AT TIME ZONE zone;
    IF (began - interval '1 hour') AT TIME ZONE zone = midnight THEN
        RETURN began - interval '1 hour';
    END IF;
    RETURN began;
END
$$
"""
NO_PERIOD_START = "DROP FUNCTION billing_period_start(text, timestamptz, text)"
# Where the next one begins: a moment that surely lies in it says so, however clocks are changed. Null: never.
PERIOD_END = """
CREATE FUNCTION billing_period_end(period text, start timestamptz, zone text) RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE period
        WHEN 'hour' THEN start + interval '1 hour'
        WHEN 'day' THEN billing_period_start(period, start + interval '26 hours', zone)
        WHEN 'week' THEN billing_period_start(period, start + interval '170 hours', zone)
        WHEN 'month' THEN billing_period_start(period, start + interval '770 hours', zone)
    END
$$
"""
NO_PERIOD_END = "DROP FUNCTION billing_period_end(text, timestamptz, text)"
IS_OF = """
    entry.workspace_id = budget.workspace_id
    AND (budget.agent_id IS NULL OR budget.agent_id = entry.agent_id)
    AND (budget.user_id IS NULL OR budget.user_id = entry.user_id)
    AND (budget.api_key_id IS NULL OR budget.api_key_id = entry.api_key_id)
    AND (budget.provider = '' OR budget.provider = entry.provider)
    AND (budget.model = '' OR budget.model = entry.model)
"""
# Whoever writes to the ledger, and however often: what it has taken in is counted, once, in the same transaction.
# Budgets are locked in order of id, before their counters. An entry counts in each counter in whose period it lies: after
# a change of the time zone those may be two. Only a call begins a counter: one that a correction had begun, of a period
# before the budget was made, would know nothing of the period's calls.
COUNT = """
CREATE FUNCTION billing_count_for_budgets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_budget WHERE workspace_id IN (SELECT workspace_id FROM written)) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM billing_budget WHERE id IN (
        SELECT budget.id FROM billing_budget budget JOIN written entry ON <is of> WHERE entry.entry = 'settled'
        UNION
        SELECT reservation.budget_id FROM billing_budgetreservation reservation
        JOIN written entry ON entry.call_id = reservation.call_id
        WHERE entry.entry = 'settled' AND entry.correction_of IS NULL
    ) ORDER BY id FOR NO KEY UPDATE;

    WITH released AS (
        DELETE FROM billing_budgetreservation reservation USING written entry
        WHERE entry.call_id = reservation.call_id AND entry.entry = 'settled' AND entry.correction_of IS NULL
        RETURNING reservation.budget_id, reservation.period_start, reservation.amount, reservation.tokens
    )
    UPDATE billing_budgetperiod counter
    SET reserved_amount = counter.reserved_amount - free.amount, reserved_tokens = counter.reserved_tokens - free.tokens
    FROM (
        SELECT budget_id, period_start, sum(amount) AS amount, sum(tokens) AS tokens
        FROM released GROUP BY budget_id, period_start
    ) free
    WHERE counter.budget_id = free.budget_id AND counter.period_start = free.period_start;

    INSERT INTO billing_budgetperiod (budget_id, period_start, period_end)
    SELECT id, start, billing_period_end(period, start, time_zone) FROM (
        SELECT DISTINCT budget.id, budget.period, budget.time_zone,
            billing_period_start(budget.period, entry.timestamp, budget.time_zone) AS start
        FROM written entry JOIN billing_budget budget ON <is of>
        WHERE entry.entry = 'settled' AND entry.correction_of IS NULL
    ) begun ORDER BY id, start
    ON CONFLICT DO NOTHING;

    WITH spent AS (
        SELECT budget.id, counter.period_start,
            COALESCE(sum(entry.cost) FILTER (WHERE entry.currency = budget.currency), 0) AS amount,
            sum(entry.input_tokens + entry.output_tokens) AS tokens,
            bool_or(entry.correction_of IS NULL AND counter.period_start
                = billing_period_start(budget.period, entry.timestamp, budget.time_zone)) AS by_call,
            (array_agg(entry.run_id ORDER BY entry.id DESC))[1] AS run_id
        FROM written entry JOIN billing_budget budget ON <is of>
        JOIN billing_budgetperiod counter ON counter.budget_id = budget.id AND counter.period_start <= entry.timestamp
            AND (counter.period_end IS NULL OR counter.period_end > entry.timestamp)
            -- Those that began long before have ended, and are not read.
            AND (budget.period = 'total' OR counter.period_start
                > entry.timestamp - ('1 ' || budget.period)::interval - interval '1 day')
        WHERE entry.entry = 'settled'
        GROUP BY 1, 2
    ), counted AS (
        UPDATE billing_budgetperiod counter
        SET spent_amount = counter.spent_amount + spent.amount, spent_tokens = counter.spent_tokens + spent.tokens
        FROM spent WHERE counter.budget_id = spent.id AND counter.period_start = spent.period_start
        RETURNING counter.budget_id, counter.period_start, counter.spent_amount, counter.spent_tokens
    )
    INSERT INTO billing_budgetnotice
        (budget_id, period_start, level, run_id, spent_amount, spent_tokens, created_at)
    SELECT counted.budget_id, counted.period_start, level, spent.run_id, counted.spent_amount, counted.spent_tokens,
        clock_timestamp()
    FROM counted JOIN spent ON spent.id = counted.budget_id AND spent.period_start = counted.period_start
    JOIN billing_budget budget ON budget.id = counted.budget_id
    CROSS JOIN unnest(budget.warning_levels) AS level
    WHERE budget.enabled AND spent.by_call
        AND (counted.spent_amount * 100 >= budget.limit_amount * level
            OR counted.spent_tokens * 100 >= budget.limit_tokens * level)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER usage_counts_for_budgets AFTER INSERT ON billing_usagerecord
    REFERENCING NEW TABLE AS written FOR EACH STATEMENT EXECUTE FUNCTION billing_count_for_budgets()
""".replace("<is of>", IS_OF)
NO_COUNT = """
DROP TRIGGER usage_counts_for_budgets ON billing_usagerecord;
DROP FUNCTION billing_count_for_budgets()
"""
# Counters change with every call: room for the new row beside the old one.
ROOM = "ALTER TABLE billing_budgetperiod SET (fillfactor = 70)"
NO_ROOM = "ALTER TABLE billing_budgetperiod RESET (fillfactor)"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0003_time_zone"),
        ("billing", "0008_rollup_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Budget",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=agentplatform.lib.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "agent_id",
                    models.UUIDField(blank=True, db_comment="Null: any", null=True, verbose_name="agent"),
                ),
                (
                    "user_id",
                    models.UUIDField(blank=True, db_comment="Null: any", null=True, verbose_name="user"),
                ),
                (
                    "api_key_id",
                    models.UUIDField(blank=True, db_comment="Null: any", null=True, verbose_name="API key"),
                ),
                (
                    "provider",
                    models.CharField(
                        blank=True, db_comment="Empty: any", max_length=32, verbose_name="provider"
                    ),
                ),
                (
                    "model",
                    models.CharField(
                        blank=True,
                        db_comment="The provider's id of the model; empty: any",
                        max_length=200,
                        verbose_name="model",
                    ),
                ),
                (
                    "period",
                    models.CharField(
                        choices=[
                            ("hour", "Hour"),
                            ("day", "Day"),
                            ("week", "Week"),
                            ("month", "Month"),
                            ("total", "Total"),
                        ],
                        max_length=5,
                        verbose_name="period",
                    ),
                ),
                (
                    "limit_amount",
                    models.DecimalField(
                        blank=True, decimal_places=12, max_digits=24, null=True, verbose_name="limit (money)"
                    ),
                ),
                (
                    "limit_tokens",
                    models.BigIntegerField(blank=True, null=True, verbose_name="limit (tokens)"),
                ),
                (
                    "currency",
                    models.CharField(
                        db_comment="The workspace's when it was made",
                        editable=False,
                        max_length=3,
                        verbose_name="currency",
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        db_comment="In which its periods begin: the workspace's, which it follows within seconds",
                        editable=False,
                        max_length=64,
                    ),
                ),
                (
                    "warning_levels",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        db_comment="Percents of the limit",
                        default=billing.models.budgets.default_levels,
                        size=None,
                        verbose_name="warning levels",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[("alert", "Alert"), ("block", "Block"), ("pause", "Pause")],
                        default="alert",
                        max_length=5,
                        verbose_name="action",
                    ),
                ),
                (
                    "recipients",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.EmailField(max_length=254),
                        blank=True,
                        db_comment="Of warnings",
                        default=list,
                        size=None,
                        verbose_name="recipients",
                    ),
                ),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "uncounted_until",
                    models.BigIntegerField(
                        db_comment="Null: what was spent before it was made is counted; else the transaction before which all have to end first, 0: it is not known yet",
                        editable=False,
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="created at")),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="updated at")),
                (
                    "created_by",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="created by",
                    ),
                ),
                (
                    "workspace",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="budgets",
                        to="accounts.workspace",
                        verbose_name="workspace",
                    ),
                ),
            ],
            options={
                "verbose_name": "budget",
                "verbose_name_plural": "budgets",
                "db_table_comment": "What a workspace, or a part of what it does, may spend in a period",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="BudgetHold",
            fields=[
                ("run_id", models.UUIDField(primary_key=True, serialize=False)),
                (
                    "needs_amount",
                    models.DecimalField(
                        db_comment="What its next call may cost", decimal_places=12, max_digits=24
                    ),
                ),
                ("needs_tokens", models.BigIntegerField()),
                ("since", models.DateTimeField()),
                (
                    "budget",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="holds", to="billing.budget"
                    ),
                ),
            ],
            options={
                "db_table_comment": "Runs that rest until a budget has room again",
            },
        ),
        migrations.CreateModel(
            name="BudgetNotice",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "budget_id",
                        "period_start",
                        "level",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("period_start", models.DateTimeField()),
                ("level", models.PositiveSmallIntegerField(db_comment="Percent; from 100 on it is exceeded")),
                ("run_id", models.UUIDField(db_comment="The run whose call has reached it", null=True)),
                ("spent_amount", models.DecimalField(decimal_places=12, max_digits=24)),
                ("spent_tokens", models.BigIntegerField()),
                ("created_at", models.DateTimeField()),
                (
                    "in_run",
                    models.BooleanField(
                        db_comment="Its run has an event of it", db_default=False, default=False
                    ),
                ),
                ("told_at", models.DateTimeField(db_comment="When webhooks were told", null=True)),
                (
                    "mail_at",
                    models.DateTimeField(
                        db_comment="When a mail is due, or its job is taken for lost", null=True
                    ),
                ),
                (
                    "budget",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="billing.budget",
                    ),
                ),
            ],
            options={
                "db_table_comment": "Levels of budgets that were reached; each is told once in a period",
            },
        ),
        migrations.CreateModel(
            name="BudgetPeriod",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "budget_id",
                        "period_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("period_start", models.DateTimeField(db_comment="1970 where the period is the whole time")),
                (
                    "period_end",
                    models.DateTimeField(
                        db_comment="By the clock of the place at that time; null: never", null=True
                    ),
                ),
                (
                    "spent_amount",
                    models.DecimalField(db_default=0, decimal_places=12, default=0, max_digits=24),
                ),
                ("spent_tokens", models.BigIntegerField(db_default=0, default=0)),
                (
                    "reserved_amount",
                    models.DecimalField(
                        db_comment="Sum of its reservations",
                        db_default=0,
                        decimal_places=12,
                        default=0,
                        max_digits=24,
                    ),
                ),
                ("reserved_tokens", models.BigIntegerField(db_default=0, default=0)),
                (
                    "budget",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="periods",
                        to="billing.budget",
                    ),
                ),
            ],
            options={
                "db_table_comment": "What was spent of a budget in a period, and what calls under way have set aside",
                "ordering": ["-period_start"],
            },
        ),
        migrations.CreateModel(
            name="BudgetReservation",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "call_id", "budget_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("call_id", models.UUIDField(db_comment="As in the ledger")),
                ("period_start", models.DateTimeField()),
                ("amount", models.DecimalField(decimal_places=12, max_digits=24)),
                ("tokens", models.BigIntegerField()),
                (
                    "budget",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="reservations",
                        to="billing.budget",
                    ),
                ),
            ],
            options={
                "db_table_comment": "What calls under way have set aside in budgets; a trigger removes it as they are settled",
            },
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.UniqueConstraint(fields=("workspace", "name"), name="budget_name_once"),
        ),
        migrations.AddConstraint(
            model_name="budget",
            constraint=models.CheckConstraint(
                condition=models.Q(("limit_amount__gt", 0), ("limit_tokens__gt", 0), _connector="OR"),
                name="budget_has_limit",
            ),
        ),
        migrations.AddIndex(
            model_name="budget",
            index=models.Index(
                condition=models.Q(("uncounted_until__isnull", False)), fields=["id"], name="budget_uncounted"
            ),
        ),
        migrations.AddIndex(
            model_name="budgetnotice",
            index=models.Index(
                condition=models.Q(("told_at", None)), fields=["created_at"], name="budget_notice_untold"
            ),
        ),
        migrations.AddIndex(
            model_name="budgetnotice",
            index=models.Index(
                condition=models.Q(("in_run", False)), fields=["run_id"], name="budget_notice_of_run"
            ),
        ),
        migrations.AddIndex(
            model_name="budgetnotice",
            index=models.Index(
                condition=models.Q(("mail_at__isnull", False)), fields=["mail_at"], name="budget_notice_mail"
            ),
        ),
        migrations.AddIndex(
            model_name="budgetreservation",
            index=models.Index(fields=["budget", "period_start"], name="budget_reservation"),
        ),
        migrations.RunSQL(PERIOD_START, NO_PERIOD_START),
        migrations.RunSQL(PERIOD_END, NO_PERIOD_END),
        migrations.RunSQL(COUNT, NO_COUNT),
        migrations.RunSQL(ROOM, NO_ROOM),
    ]
