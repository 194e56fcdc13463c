"""GET /runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from runs.models import Run, Status
from tests.factories import AgentFactory, RunFactory, SessionFactory


@pytest.fixture
def listed(api, alice):
    """`listed(status="failed")`: the ids that alice's list answers, in its order."""

    def get(caller=alice, **query):
        answer = api(caller).get("/runs", query)
        assert answer.status_code == 200, answer.json()
        return [item["id"] for item in answer.json()["items"]]

    return get


@pytest.fixture
def run(workspace, alice):
    """`run(…)`: a run of alice's."""

    def make(**values):
        return RunFactory(**{"workspace": workspace, "user": alice} | values)

    return make


def ids(*runs):
    return [str(run.pk) for run in runs]


def test_shows_the_newest_first(listed, run):
    older, newer = run(), run()

    assert listed() == ids(newer, older)


def test_shows_the_oldest_first_on_request(listed, run):
    older, newer = run(), run()

    assert listed(ordering="id") == ids(older, newer)


def test_filters_by_what_the_runs_are_to_which_run(listed, run):
    parent = run()
    retry, child = run(parent=parent, relation="retry"), run(parent=parent, relation="child")
    run(relation="child", parent=run())

    assert listed(parent_id=str(parent.pk)) == ids(child, retry)
    assert listed(parent_id=str(parent.pk), relation="child") == ids(child)


def test_shows_what_a_list_needs(api, alice, run):
    run(tags=["eu"], end_user="customer-81", input_tokens=3, output_tokens=4)
    item = api(alice).get("/runs").json()["items"][0]

    assert item.keys() == {
        *(
            "id",
            "agent_id",
            "agent",
            "workflow_id",
            "workflow",
            "user_id",
            "session_id",
            "parent_id",
            "status",
            "attempt",
            "error",
        ),
        *("metrics", "tags", "priority", "started_by", "api_key", "input_query"),
        *("relation", "source_checkpoint_id", "description"),
        *("created_at", "queued_at", "started_at", "finished_at", "updated_at"),
    }


def test_cuts_long_questions(api, alice, run):
    run(input_query="x" * 1000)

    assert api(alice).get("/runs").json()["items"][0]["input_query"] == "x" * 200


def test_reads_no_heavy_columns(api, alice, run):
    run()
    with CaptureQueriesContext(connection) as queries:
        api(alice).get("/runs")
    statement = next(query["sql"] for query in queries if 'FROM "runs_run"' in query["sql"])

    assert not any(
        f'"runs_run"."{column}"' in statement for column in ("input", "response_content", "metadata")
    )


def test_asks_as_often_for_many_as_for_one(api, alice, run, django_assert_num_queries):
    run()
    client = api(alice)
    with CaptureQueriesContext(connection) as of_one:
        client.get("/runs")
    for _ in range(5):
        run()

    with django_assert_num_queries(len(of_one)):
        client.get("/runs")


def test_asks_at_most_three_times(api, alice, run, django_assert_max_num_queries):
    run()

    with django_assert_max_num_queries(3):
        api(alice).get("/runs", {"agent_id": "assistant", "status": "completed", "limit": 1})


@pytest.mark.parametrize("field", ["pk", "name"])
def test_finds_the_runs_of_an_agent_by(listed, run, field):
    mine, _ = run(), run()

    assert listed(agent_id=str(getattr(mine.agent, field))) == ids(mine)


def test_finds_nothing_of_an_unknown_agent(listed, run):
    run()

    assert listed(agent_id="nobody") == []


def test_does_not_look_names_up_in_other_workspaces(listed, run, other_workspace):
    AgentFactory(workspace=other_workspace, name="foreign")
    run()

    assert listed(agent_id="foreign") == []


def test_finds_the_runs_of_an_end_user(listed, run):
    mine, _ = run(end_user="customer-81"), run(end_user="customer-82")

    assert listed(user_id="customer-81") == ids(mine)


def test_finds_the_runs_of_a_session(listed, run, workspace):
    session = SessionFactory(workspace=workspace)
    mine, _ = run(session=session), run()

    assert listed(session_id=str(session.pk)) == ids(mine)


def test_finds_several_statuses(listed, run):
    failed, cancelled, _ = run(status=Status.FAILED), run(status=Status.CANCELLED), run()

    assert listed(status=["failed", "cancelled"]) == ids(cancelled, failed)


def test_finds_a_tag(listed, run):
    mine, _ = run(tags=["eu", "checkout"]), run(tags=["us"])

    assert listed(tag="eu") == ids(mine)


def test_finds_what_a_request_has_started(listed, run):
    started = run(request_id="request-of-alice")
    run(request_id="another")

    assert listed(request_id="request-of-alice") == ids(started)


def test_finds_words_of_the_question(listed, run):
    mine, _ = run(input_query="Where is my parcel?"), run()

    assert listed(search="PARCEL") == ids(mine)


def test_finds_a_time_range(listed, run):
    now = timezone.now()
    for hours in (3, 1):
        run(created_at=now - timedelta(hours=hours))
    mine = run(created_at=now - timedelta(hours=2))
    around = {
        "created_after": (now - timedelta(hours=2, minutes=30)).isoformat(),
        "created_before": (now - timedelta(hours=1, minutes=30)).isoformat(),
    }

    assert listed(**around) == ids(mine)


@pytest.mark.parametrize("path", ["/runs", "/sessions"])
@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00Z", "0178-10-17T00:18:40+21:02", "9999-12-31T23:59:59Z"]
)
def test_takes_every_moment_that_can_be_written(api, alice, path, moment):
    query = {"created_after": moment, "created_before": moment}

    assert api(alice).get(path, query).status_code == 200


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_refuses_moments_before_the_first_and_behind_the_last(api, alice, moment):
    assert api(alice).get("/runs", {"created_after": moment}).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"status": "asleep"},
        {"session_id": "none"},
        {"created_after": "yesterday"},
        {"limit": "0"},
        {"offset": "-1"},
        {"cursor": "?"},
    ],
)
def test_refuses_a_filter_that_makes_no_sense(api, alice, query):
    assert api(alice).get("/runs", query).status_code == 422


def test_reads_on_from_a_cursor(api, alice, run):
    older, newer = run(), run()
    first = api(alice).get("/runs", {"limit": 1}).json()
    second = api(alice).get("/runs", {"limit": 1, "cursor": first["next_cursor"]}).json()

    assert [page["items"][0]["id"] for page in (first, second)] == ids(newer, older)


def test_pages_by_offset_too(listed, run):
    older, _ = run(), run()

    assert listed(offset=1, limit=1) == ids(older)


def test_shows_a_user_its_own_runs_only(listed, run, bob):
    run()
    own = run(user=bob)

    assert listed(bob) == ids(own)


def test_shows_a_viewer_the_runs_of_all(listed, run, vera, bob):
    runs = [run(), run(user=bob)]

    assert listed(vera) == ids(*reversed(runs))


def test_shows_a_stranger_nothing(listed, run, charlie):
    run()

    assert listed(charlie) == []


def test_refuses_an_auditor(api, audrey):
    assert api(audrey).get("/runs").status_code == 403


def test_refuses_whoever_is_not_signed_in(api, db):
    assert api().get("/runs").status_code == 401


def test_serves_the_list_without_the_runs_of_a_deleted_agents_name(listed, run):
    made = run()
    Run.objects.update(agent=None)

    assert listed() == ids(made)
