"""Metrics and analytics: what clients ask for."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agentplatform.lib.serializers import StrictSerializer
from runs.analytics.comparing import other_period
from runs.analytics.periods import GRANULARITIES, PREVIOUS, Period, require_time_zone

Json = dict[str, Any]


class ZoneQuerySerializer(StrictSerializer):
    tz = serializers.CharField(default="UTC", max_length=64, help_text="A time zone like Europe/Berlin.")

    def validate_tz(self, value: str) -> str:
        require_time_zone(value)
        return value


class PeriodQuerySerializer(StrictSerializer):
    """A period, and the one that it is compared with."""

    start_time = serializers.DateTimeField(
        required=False,
        help_text="From this moment (ISO 8601; UTC without an offset). Default: 30 days before the end. Figures are "
        "counted by quarter of an hour: the answer's `period` has the whole quarters that were read.",
    )
    end_time = serializers.DateTimeField(required=False, help_text="Before this moment. Default: now.")
    compare_to = serializers.ChoiceField(
        choices=[PREVIOUS], required=False, help_text="previous: the same time right before the period."
    )
    compare_start = serializers.DateTimeField(
        required=False, help_text="Or compare with a period of any length."
    )
    compare_end = serializers.DateTimeField(required=False)

    def periods(self) -> tuple[Period, Period | None]:
        """The period, and the other one. Raises Invalid."""
        given = self.validated_data
        period = Period.of(given.get("start_time"), given.get("end_time"))
        return period, other_period(
            period, given.get("compare_to"), given.get("compare_start"), given.get("compare_end")
        )


class OverTimeQuerySerializer(PeriodQuerySerializer, ZoneQuerySerializer):
    granularity = serializers.ChoiceField(choices=list(GRANULARITIES), default="day")
    format = serializers.ChoiceField(choices=["json", "svg"], default="json", help_text="svg: a plot.")


class AgentMetricsQuerySerializer(OverTimeQuerySerializer):
    plot = serializers.ChoiceField(
        choices=["runs", "tokens", "latency", "success"], default="runs", help_text="What an SVG shows."
    )


class PerformanceQuerySerializer(OverTimeQuerySerializer):
    """`granularity` and `tz` are for the plot."""

    agent = serializers.CharField(required=False, max_length=100, help_text="Id or name of one agent.")
    plot = serializers.ChoiceField(
        choices=["latency", "success", "runs", "tokens"], default="latency", help_text="What an SVG shows."
    )


class ErrorsQuerySerializer(PeriodQuerySerializer):
    agent = serializers.CharField(required=False, max_length=100, help_text="Id or name of one agent.")


# --- answers ---

COMPARISON = (
    "Only where one was asked for: `{period, metrics, change}`, the other period's figures and, for each of them, "
    "`{absolute, relative}`."
)


class MetricsPeriodSerializer(StrictSerializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="Not part of it.")


class DurationsSerializer(StrictSerializer):
    """Seconds. Percentiles are right to 1 %; null: nothing that has a duration."""

    avg_duration = serializers.FloatField(allow_null=True)
    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)


class OutcomesSerializer(StrictSerializer):
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    success_rate = serializers.FloatField(
        allow_null=True, help_text="0 to 1: completed of those that completed or failed; null: none has."
    )


class EndedRunsSerializer(OutcomesSerializer, DurationsSerializer):
    total_runs = serializers.IntegerField(help_text="Runs that ended in the period.")
    total_tokens = serializers.IntegerField(
        help_text="Of the runs themselves, not of those their tools started."
    )
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    avg_tokens_per_run = serializers.FloatField(allow_null=True)


class MetricsBucketSerializer(OutcomesSerializer, DurationsSerializer):
    timestamp = serializers.DateTimeField(help_text="Its beginning.")
    runs = serializers.IntegerField()
    tokens = serializers.IntegerField()


DURATIONS = {"avg_duration": 4.21, "p50": 3.6, "p95": 9.8, "p99": 14.2}
OUTCOMES = {"completed": 46, "failed": 2, "cancelled": 0, "success_rate": 0.958333}
METRICS = {
    "total_runs": 48,
    **OUTCOMES,
    **DURATIONS,
    "total_tokens": 53120,
    "input_tokens": 41000,
    "output_tokens": 12120,
    "avg_tokens_per_run": 1106.666667,
}
PERIOD = {"start": "2026-11-20T00:00:00Z", "end": "2026-11-27T00:00:00Z"}


class AgentMetricsSerializer(StrictSerializer):
    agent_id = serializers.UUIDField()
    period = MetricsPeriodSerializer()
    granularity = serializers.CharField()
    tz = serializers.CharField()
    metrics = EndedRunsSerializer()
    timeseries = MetricsBucketSerializer(many=True, help_text="In order of time, empty buckets too.")
    comparison = serializers.JSONField(help_text=COMPARISON)

    example = {
        "agent_id": "01934d6e-9b7e-7d52-8f1a-3a3f5e2b1c90",
        "period": PERIOD,
        "granularity": "day",
        "tz": "UTC",
        "metrics": METRICS,
        "timeseries": [
            {"timestamp": "2026-11-20T00:00:00Z", "runs": 48, "tokens": 53120, **OUTCOMES, **DURATIONS}
        ],
        "comparison": None,
    }


class TodaySerializer(EndedRunsSerializer):
    start = serializers.DateTimeField()


class SystemMetricsSerializer(StrictSerializer):
    """How the workspace stands; of runs, those that one may see."""

    total_agents = serializers.IntegerField()
    total_runs = serializers.IntegerField(help_text="That have ended, or are active.")
    active_runs = serializers.IntegerField(help_text="Waiting for a worker, or in one's hands.")
    total_tokens_today = serializers.IntegerField()
    avg_response_time = serializers.FloatField(
        allow_null=True, help_text="Seconds, of the runs that ended today; null: none has."
    )
    today = TodaySerializer(help_text="Since midnight in `tz`.")

    example = {
        "total_agents": 12,
        "total_runs": 10432,
        "active_runs": 3,
        "total_tokens_today": 53120,
        "avg_response_time": 4.21,
        "today": {"start": "2026-11-27T00:00:00Z", **METRICS},
    }


class StatedSerializer(DurationsSerializer):
    count = serializers.IntegerField(help_text="That ended in the period.")
    failed = serializers.IntegerField()


class NamedSerializer(StrictSerializer):
    id = serializers.UUIDField(allow_null=True, help_text="null: a test of a model, which is no agent's.")
    name = serializers.CharField(help_text="As it is called today; empty: it was deleted.")


class StatedNamedSerializer(NamedSerializer, StatedSerializer):
    pass


class StatedTypeSerializer(StatedSerializer):
    type = serializers.CharField()


class StatedModelSerializer(StatedSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()


class StatedToolSerializer(StatedSerializer):
    tool = serializers.CharField()


class RunPerformanceSerializer(StatedSerializer):
    by_agent = StatedNamedSerializer(many=True)
    by_workflow = StatedNamedSerializer(many=True)


class StepPerformanceSerializer(StatedSerializer):
    by_type = StatedTypeSerializer(many=True)


class ModelCallPerformanceSerializer(StatedSerializer):
    by_model = StatedModelSerializer(many=True)


class ToolCallPerformanceSerializer(StatedSerializer):
    by_tool = StatedToolSerializer(many=True)


STATED = {"count": 48, "failed": 2, **DURATIONS}
AGENT = {"id": "01934d6e-9b7e-7d52-8f1a-3a3f5e2b1c90", "name": "trade-assistant"}


class PerformanceSerializer(StrictSerializer):
    period = MetricsPeriodSerializer()
    error = serializers.FloatField(help_text="How far a percentile is off at most: 0.01 is 1 %.")
    runs = RunPerformanceSerializer()
    steps = StepPerformanceSerializer()
    model_calls = ModelCallPerformanceSerializer()
    tool_calls = ToolCallPerformanceSerializer()
    comparison = serializers.JSONField(help_text=COMPARISON)

    example = {
        "period": PERIOD,
        "error": 0.01,
        "runs": {**STATED, "by_agent": [{**AGENT, **STATED}], "by_workflow": []},
        "steps": {**STATED, "by_type": [{"type": "model", **STATED}]},
        "model_calls": {
            **STATED,
            "by_model": [{"provider": "openai", "model": "gpt-4o-mini", **STATED}],
        },
        "tool_calls": {
            **STATED,
            "by_tool": [{"tool": "calculator", **STATED}],
        },
        "comparison": None,
    }


class ErrorClassSerializer(StrictSerializer):
    runs = serializers.IntegerField()
    share = serializers.FloatField(help_text="Of the runs that failed.")

    def get_fields(self) -> Json:
        return {"class": serializers.CharField(), **super().get_fields()}


class FailingSerializer(StrictSerializer):
    failed = serializers.IntegerField()
    error_rate = serializers.FloatField()


class FailingExecutedSerializer(NamedSerializer, FailingSerializer):
    runs = serializers.IntegerField()
    by_class = ErrorClassSerializer(many=True)


class FailingModelSerializer(FailingSerializer):
    provider = serializers.CharField()
    model = serializers.CharField()
    calls = serializers.IntegerField()


class FailingToolSerializer(FailingSerializer):
    tool = serializers.CharField()
    calls = serializers.IntegerField()


class ErrorsSerializer(StrictSerializer):
    """What has failed: classes and counts, no messages."""

    period = MetricsPeriodSerializer()
    total_runs = serializers.IntegerField()
    failed_runs = serializers.IntegerField()
    error_rate = serializers.FloatField(allow_null=True)
    by_class = ErrorClassSerializer(many=True)
    by_agent = FailingExecutedSerializer(many=True)
    by_workflow = FailingExecutedSerializer(many=True)
    by_model = FailingModelSerializer(many=True, help_text="Model calls, each repeat counted.")
    by_tool = FailingToolSerializer(many=True, help_text="Tool calls whose answer was an error.")
    comparison = serializers.JSONField(help_text=COMPARISON)

    example = {
        "period": PERIOD,
        "total_runs": 48,
        "failed_runs": 2,
        "error_rate": 0.041667,
        "by_class": [{"class": "timeout", "runs": 2, "share": 1.0}],
        "by_agent": [
            {
                **AGENT,
                "runs": 48,
                "failed": 2,
                "error_rate": 0.041667,
                "by_class": [{"class": "timeout", "runs": 2, "share": 1.0}],
            }
        ],
        "by_workflow": [],
        "by_model": [
            {"provider": "openai", "model": "gpt-4o-mini", "calls": 60, "failed": 3, "error_rate": 0.05}
        ],
        "by_tool": [{"tool": "calculator", "calls": 20, "failed": 1, "error_rate": 0.05}],
        "comparison": None,
    }
