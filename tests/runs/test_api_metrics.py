"""GET /metrics/…: how an agent's runs have gone, how the workspace stands, and both compared and drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest
from django.utils import timezone

from runs.analytics import folding
from runs.models import Status
from tests.factories import AgentFactory, RunFactory

pytestmark = pytest.mark.django_db

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)
DAY = {"start_time": "2026-03-10T00:00:00Z", "end_time": "2026-03-11T00:00:00Z"}


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="assistant")


@pytest.fixture
def ended(workspace, agent, bob):
    """`ended(minutes, seconds, …)`: a run that ended so long after midnight, and had taken so long."""

    def make(minutes: float = 60, seconds: float = 2, **fields):
        at = MIDNIGHT + timedelta(minutes=minutes)
        started = at - timedelta(seconds=seconds)
        values = {"workspace": workspace, "agent": agent, "user": bob, "input_tokens": 10, **fields}
        return RunFactory(created_at=started, started_at=started, finished_at=at, **values)

    return make


@pytest.fixture
def metrics(api, olivia):
    """`metrics(…)`: what olivia is answered about the agent, by default of the tenth of March."""

    def ask(caller=olivia, agent="assistant", **query):
        return api(caller).get(f"/metrics/agents/{agent}", {**DAY, **query})

    return ask


def test_has_the_contracts_fields(metrics, ended, agent):
    ended()
    answer = metrics().json()
    assert answer["agent_id"] == str(agent.pk)
    assert answer["period"] == {"start": "2026-03-10T00:00:00Z", "end": "2026-03-11T00:00:00Z"}
    assert {"total_runs", "success_rate", "avg_duration", "total_tokens", "avg_tokens_per_run"} <= answer[
        "metrics"
    ].keys()
    assert {"timestamp", "runs", "tokens"} <= answer["timeseries"][0].keys()


@pytest.mark.parametrize("fold", [False, True])
def test_counts_what_has_ended(metrics, ended, fold):
    ended(seconds=2)
    ended(seconds=4)
    ended(seconds=6, status=Status.FAILED, error={"class": "timeout", "message": "late"})
    ended(seconds=8, status=Status.CANCELLED)
    ended(status=Status.RUNNING)
    if fold:
        folding.fold_all()
    found = metrics().json()["metrics"]
    assert (found["total_runs"], found["avg_duration"], found["total_tokens"]) == (4, 5.0, 40)
    assert found["success_rate"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["avg_tokens_per_run"] == 10


def test_tells_percentiles_right_to_one_percent(metrics, ended):
    for seconds in range(1, 101):
        ended(seconds=seconds)
    found = metrics().json()["metrics"]
    assert [found[name] for name in ("p50", "p95", "p99")] == pytest.approx([50, 95, 99], rel=0.01)


def test_of_nothing_has_no_rates(metrics, agent):
    found = metrics().json()["metrics"]
    assert (found["total_runs"], found["success_rate"], found["avg_duration"], found["p95"]) == (
        0,
        None,
        None,
        None,
    )


def test_has_every_hour_in_its_series(metrics, ended):
    ended(minutes=61)
    series = metrics(granularity="hour").json()["timeseries"]
    assert [bucket["runs"] for bucket in series] == [0, 1, *[0] * 22]


def test_days_begin_at_midnight_of_the_time_zone(metrics, ended):
    ended(minutes=18 * 60 + 20)
    ended(minutes=18 * 60 + 40)
    folding.fold_all()
    series = metrics(tz="Asia/Kolkata").json()["timeseries"]
    assert [(bucket["timestamp"], bucket["runs"]) for bucket in series] == [
        ("2026-03-09T18:30:00Z", 1),
        ("2026-03-10T18:30:00Z", 1),
    ]


def test_a_day_in_which_clocks_are_put_forward_has_23_hours(metrics, agent):
    query = {"start_time": "2026-03-28T23:00:00Z", "end_time": "2026-03-29T22:00:00Z", "tz": "Europe/Berlin"}
    days = metrics(**query).json()["timeseries"]
    hours = metrics(**query, granularity="hour").json()["timeseries"]
    assert (len(days), len(hours)) == (1, 23)


def test_a_day_in_which_clocks_are_put_back_has_25_hours(metrics, agent):
    query = {"start_time": "2026-10-24T22:00:00Z", "end_time": "2026-10-25T23:00:00Z", "tz": "Europe/Berlin"}
    days = metrics(**query).json()["timeseries"]
    hours = metrics(**query, granularity="hour").json()["timeseries"]
    assert (len(days), len(hours)) == (1, 25)


def test_the_sum_over_the_series_is_the_total(metrics, ended):
    for minutes in (0, 1, 700, 1439):
        ended(minutes=minutes)
    for zone in ("UTC", "Asia/Kathmandu", "America/St_Johns"):
        for granularity in ("hour", "day", "week"):
            answer = metrics(tz=zone, granularity=granularity).json()
            assert (
                sum(bucket["runs"] for bucket in answer["timeseries"]) == answer["metrics"]["total_runs"] == 4
            )


def test_says_which_whole_quarters_of_an_hour_it_has_read(metrics, ended):
    ended(minutes=61)
    answer = metrics(start_time="2026-03-10T01:01:30Z", end_time="2026-03-10T01:02:00Z").json()
    assert answer["period"] == {"start": "2026-03-10T01:00:00Z", "end": "2026-03-10T01:15:00Z"}
    assert answer["metrics"]["total_runs"] == 1


def test_compares_with_the_time_right_before(metrics, ended):
    for minutes in (-60, 60, 90, 120):
        ended(minutes=minutes, seconds=3 if minutes < 0 else 6)
    comparison = metrics(compare_to="previous").json()["comparison"]
    assert comparison["period"] == {"start": "2026-03-09T00:00:00Z", "end": "2026-03-10T00:00:00Z"}
    assert comparison["metrics"]["total_runs"] == 1
    assert comparison["change"]["total_runs"] == {"absolute": 2, "relative": 2.0}
    assert comparison["change"]["avg_duration"] == {"absolute": 3.0, "relative": 1.0}


def test_compares_with_any_period(metrics, ended):
    ended(minutes=-7 * 24 * 60)
    query = {"compare_start": "2026-03-03T00:00:00Z", "compare_end": "2026-03-04T00:00:00Z"}
    change = metrics(**query).json()["comparison"]["change"]
    assert change["total_runs"] == {"absolute": -1, "relative": -1.0}
    assert change["success_rate"] == {"absolute": None, "relative": None}


@pytest.mark.parametrize("plot", ["runs", "tokens", "latency", "success"])
def test_draws_itself(metrics, ended, plot):
    ended()
    response = metrics(format="svg", plot=plot, granularity="hour")
    assert response["Content-Type"].startswith("image/svg+xml")
    ElementTree.fromstring(response.content)


def test_a_plot_escapes_the_agents_name(api, olivia, workspace):
    AgentFactory(workspace=workspace, name="<script>")
    response = api(olivia).get("/metrics/agents/%3Cscript%3E", {"format": "svg"})
    assert b"<script>" not in response.content


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"granularity": "year"}, "granularity"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": "2026-03-12T00:00:00Z"}, "start_time"),
        ({"start_time": "1000-01-01T00:00:00Z"}, "start_time"),
        ({"start_time": "2026-01-01T00:00:00Z", "granularity": "hour"}, "granularity"),
        ({"compare_to": "next"}, "compare_to"),
        ({"compare_start": "2026-03-03T00:00:00Z"}, "compare_end"),
        ({"compare_to": "previous", "compare_end": "2026-03-03T00:00:00Z"}, "compare_to"),
        ({"format": "pdf"}, "format"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_input_names_the_field(metrics, agent, query, field):
    response = metrics(**query)
    assert response.status_code == 422
    assert field in [entry["field"] for entry in response.json()["error"]["details"]]


def test_everybody_else_sees_their_own(metrics, ended, bob, alice):
    ended(user=bob)
    ended(user=alice)
    folding.fold_all()
    ended(user=alice)
    assert metrics(bob).json()["metrics"]["total_runs"] == 1


@pytest.mark.parametrize("name", ["alice", "olivia", "vera", "audrey"])
def test_whoever_may_see_figures_of_all_sees_all(metrics, ended, name, request):
    ended()
    assert metrics(request.getfixturevalue(name)).json()["metrics"]["total_runs"] == 1


def test_an_agent_of_another_workspace_does_not_exist(metrics, agent, charlie):
    assert metrics(charlie, agent=str(agent.pk)).status_code == 404


def test_another_workspaces_runs_do_not_count(metrics, ended, charlie, other_workspace):
    ended()
    AgentFactory(workspace=other_workspace, name="assistant")
    assert metrics(charlie).json()["metrics"]["total_runs"] == 0


def test_needs_few_queries_however_much_there_is(metrics, ended, django_assert_max_num_queries):
    for minutes in range(0, 1400, 100):
        ended(minutes=minutes)
    folding.fold_all()
    with django_assert_max_num_queries(6):
        metrics(granularity="hour", compare_to="previous")


# --- system ---


def test_the_system_has_the_contracts_fields(api, olivia, workspace, agent):
    RunFactory(workspace=workspace, agent=agent, status=Status.RUNNING)
    now = timezone.now()
    RunFactory(
        workspace=workspace,
        agent=agent,
        created_at=now,
        started_at=now - timedelta(seconds=4),
        finished_at=now,
        output_tokens=7,
    )
    answer = api(olivia).get("/metrics/system").json()
    assert answer.pop("today")["total_runs"] == 1
    assert answer == {
        "total_agents": 1,
        "total_runs": 2,
        "active_runs": 1,
        "total_tokens_today": 7,
        "avg_response_time": 4.0,
    }


def test_the_system_is_ones_own_for_users(api, bob, workspace, agent):
    RunFactory(workspace=workspace, agent=agent)
    RunFactory(workspace=workspace, agent=agent, status=Status.QUEUED)
    answer = api(bob).get("/metrics/system").json()
    assert (answer["total_runs"], answer["active_runs"]) == (0, 0)


def test_the_system_is_the_workspaces_own(api, charlie, other_workspace, agent, workspace):
    RunFactory(workspace=workspace, agent=agent)
    assert api(charlie).get("/metrics/system").json()["total_runs"] == 0


def test_the_system_remembers_runs_that_were_deleted(api, olivia, workspace, agent):
    run = RunFactory(workspace=workspace, agent=agent)
    folding.fold_all()
    run.delete()
    assert api(olivia).get("/metrics/system").json()["total_runs"] == 1
