"""/schedules: made, changed, paused, resumed and triggered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Membership
from accounts.roles import Role
from runs.models import Run, Schedule
from tests.factories import AgentFactory, ApiKeyFactory, ScheduleFactory, SessionFactory

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _noon():
    with time_machine.travel(NOON, tick=False):
        yield


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace, name="reporter")


@pytest.fixture
def body(agent):
    return {
        "name": "report",
        "agent_id": "reporter",
        "message": "Which orders came in?",
        "cron": "30 7 * * *",
        "timezone": "Europe/Berlin",
    }


@pytest.fixture
def make(workspace, agent, bob):
    """A schedule of bob's."""
    return lambda **values: ScheduleFactory(**{"workspace": workspace, "agent": agent, "user": bob} | values)


def faults(response) -> list[str]:
    return [entry["field"] for entry in response.json()["error"]["details"]]


# made and changed


def test_answers_what_was_made(api, bob, agent, body):
    made = api(bob).post("/schedules", body)

    schedule = Schedule.objects.get()
    assert made.status_code == 201
    assert made.json() == {
        "id": str(schedule.pk),
        "name": "report",
        "agent_id": str(agent.pk),
        "agent": "reporter",
        "input": {"messages": [{"role": "user", "content": "Which orders came in?"}]},
        "session_id": None,
        "user_id": "",
        "config": {},
        "limits": {},
        "metadata": {},
        "tags": [],
        "priority": 0,
        "cron": "30 7 * * *",
        "timezone": "Europe/Berlin",
        "catch_up": "skip",
        "enabled": True,
        "paused": False,
        "pause_reason": "",
        "next_run_at": "2026-07-02T05:30:00Z",
        "last_run_at": None,
        "last_run_id": None,
        "owner": "bob",
        "created_at": "2026-07-01T12:00:00Z",
        "updated_at": "2026-07-01T12:00:00Z",
    }


def test_takes_back_what_it_has_answered(api, bob, body):
    made = api(bob).post("/schedules", body).json()

    assert api(bob).put(f"/schedules/{made['id']}", made).json() == made


def test_is_found_by_its_name(api, bob, body):
    api(bob).post("/schedules", body)

    assert api(bob).get("/schedules/report").json()["cron"] == "30 7 * * *"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cron": "every day"}, "cron"),
        ({"cron": "0 0 30 2 *"}, "cron"),
        ({"timezone": "Berlin"}, "timezone"),
        ({"agent_id": "nobody"}, "agent_id"),
        ({"catch_up": "some"}, "catch_up"),
        ({"input": "Twice"}, "input"),
        ({"name": ""}, "name"),
        ({"limits": {"max_tokens": 0}}, "limits.max_tokens"),
    ],
)
def test_names_the_field_that_is_wrong(api, bob, body, wrong, field):
    refused = api(bob).post("/schedules", body | wrong)

    assert (refused.status_code, faults(refused)) == (422, [field])


def test_needs_something_to_say(api, bob, body):
    del body["message"]

    assert faults(api(bob).post("/schedules", body)) == ["input"]


def test_refuses_a_name_that_is_taken(api, bob, make, body):
    make(name="report")

    assert api(bob).post("/schedules", body).status_code == 409


def test_knows_no_session_of_somebody_else(api, bob, alice, workspace, agent, body):
    session = SessionFactory(workspace=workspace, agent=agent, user=alice)

    assert api(bob).post("/schedules", body | {"session_id": str(session.pk)}).status_code == 404


def test_is_due_when_its_new_expression_says(api, bob, make):
    schedule = make()

    changed = api(bob).patch(f"/schedules/{schedule.pk}", {"cron": "0 18 * * *", "timezone": "UTC"}).json()

    assert changed["next_run_at"] == "2026-07-01T18:00:00Z"


def test_stays_due_when_something_else_is_changed(api, bob, make):
    schedule = make(next_run_at=NOON - timedelta(hours=1))

    changed = api(bob).patch(f"/schedules/{schedule.pk}", {"priority": 5, "cron": schedule.cron}).json()

    assert changed["next_run_at"] == "2026-07-01T11:00:00Z"


def test_stays_its_owners_whoever_changes_it(api, olivia, make):
    schedule = make()

    assert api(olivia).patch(f"/schedules/{schedule.pk}", {"priority": 5}).json()["owner"] == "bob"


def test_is_deleted(api, bob, make):
    assert api(bob).delete(f"/schedules/{make().pk}").status_code == 204
    assert not Schedule.objects.exists()


def test_keeps_its_agent(api, olivia, make, agent):
    make()

    assert api(olivia).delete(f"/agents/{agent.pk}").status_code == 409


# paused and resumed


def test_is_paused(api, bob, make):
    paused = api(bob).post(f"/schedules/{make().pk}/pause").json()

    assert (paused["paused"], paused["enabled"], paused["next_run_at"]) == (True, False, None)


def test_goes_on_with_the_next_moment_when_it_is_resumed(api, bob, make):
    schedule = make(enabled=False, next_run_at=None, pause_reason="Its agent is disabled.")

    resumed = api(bob).post(f"/schedules/{schedule.pk}/resume").json()

    assert (resumed["paused"], resumed["pause_reason"]) == (False, "")
    assert resumed["next_run_at"] == "2026-07-02T05:30:00Z"


def test_makes_up_for_nothing_when_it_was_not_paused(api, bob, make):
    schedule = make(next_run_at=NOON - timedelta(hours=1))

    assert api(bob).post(f"/schedules/{schedule.pk}/resume").json()["next_run_at"] == "2026-07-01T11:00:00Z"


# triggered


def test_starts_a_run_at_once_when_it_is_triggered(api, olivia, bob, make):
    schedule = make()

    answer = api(olivia).post(f"/schedules/{schedule.pk}/trigger")

    run = Run.objects.get()
    assert (answer.status_code, answer.json()["run_id"], run.user) == (202, str(run.pk), bob)
    assert run.metadata["schedule_id"] == str(schedule.pk)


def test_shows_the_run_and_stays_due_when_it_is_triggered(api, bob, make):
    schedule = make()
    run = api(bob).post(f"/schedules/{schedule.pk}/trigger").json()["run_id"]

    shown = api(bob).get(f"/schedules/{schedule.pk}").json()

    assert (shown["last_run_id"], shown["last_run_at"]) == (run, "2026-07-01T12:00:00Z")
    assert shown["next_run_at"] == "2026-07-02T12:00:00Z"


def test_is_not_triggered_for_an_owner_who_is_gone(api, olivia, bob, make):
    schedule = make()
    Membership.objects.filter(user=bob).delete()

    assert api(olivia).post(f"/schedules/{schedule.pk}/trigger").status_code == 409


def test_is_not_triggered_for_an_owner_who_may_not(api, olivia, bob, make):
    schedule = make()
    Membership.objects.filter(user=bob).update(role=Role.VIEWER)

    assert api(olivia).post(f"/schedules/{schedule.pk}/trigger").status_code == 403


@pytest.mark.parametrize("verb", ["pause", "resume", "trigger"])
def test_needs_a_key_that_may_run_agents(api, workspace, bob, make, verb):
    key = ApiKeyFactory(workspace=workspace, user=bob, scopes=["read:schedule", "write:schedule"])

    assert api(key).post(f"/schedules/{make().pk}/{verb}").status_code == 403


# whose they are


def listed(client, **query) -> list[str]:
    return [item["name"] for item in client.get("/schedules", query).json()["items"]]


def test_shows_users_their_own(api, bob, alice, olivia, make):
    make(name="of-bob")
    make(name="of-alice", user=alice)

    assert (listed(api(bob)), listed(api(olivia))) == (["of-bob"], ["of-alice", "of-bob"])


def test_hides_somebody_elses(api, bob, alice, make):
    assert api(bob).post(f"/schedules/{make(user=alice).pk}/trigger").status_code == 404


def test_hides_what_is_of_another_workspace(api, charlie, make):
    assert api(charlie).get(f"/schedules/{make().pk}").status_code == 404


def test_lists_by_agent_and_state(api, bob, make, workspace):
    make(name="active")
    make(name="paused", enabled=False)
    make(name="of-another", agent=AgentFactory(workspace=workspace, name="other"))

    assert listed(api(bob), agent_id="reporter", enabled="true") == ["active"]


def test_asks_as_often_for_many_as_for_one(api, bob, make):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            listed(api(bob))
        return len(captured)

    make()
    for_one = queries()
    for _ in range(5):
        make()

    assert queries() == for_one
