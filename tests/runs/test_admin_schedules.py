"""Schedules in the admin: what is due when, and pausing, resuming and triggering them."""

from __future__ import annotations

import pytest

from runs.models import Run, Schedule
from tests.factories import AgentFactory, RunFactory, ScheduleFactory, UserFactory
from tests.runs.admin_support import queries_of, said, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/runs/schedule/"


@pytest.fixture
def make(workspace, bob):
    agent = AgentFactory(workspace=workspace)
    return lambda **values: ScheduleFactory(**{"workspace": workspace, "agent": agent, "user": bob} | values)


@pytest.fixture
def schedule(make) -> Schedule:
    return make(name="report")


def page_of(schedule: Schedule) -> str:
    return f"{LIST}{schedule.pk}/change/"


def press(client, schedule: Schedule, button: str):
    return client.post(f"{LIST}{schedule.pk}/{button}/", {"_form_submitted": "true"})


def choose(client, action: str, *schedules: Schedule):
    chosen = {"action": action, "_selected_action": [str(schedule.pk) for schedule in schedules]}
    return client.post(LIST, chosen)


def buttons(client, schedule: Schedule) -> set[str]:
    text = client.get(page_of(schedule)).content.decode()
    return {name for name in ("pause", "resume", "trigger") if f"{LIST}{schedule.pk}/{name}/" in text}


def listed(client) -> set[str]:
    return {row.name for row in client.get(LIST).context["cl"].result_list}


def test_lists_ones_own_and_for_operators_all(make, bob, alice, olivia):
    make(name="of-bob")
    make(name="of-alice", user=alice)

    assert (listed(signed_in(bob)), listed(signed_in(olivia))) == ({"of-bob"}, {"of-bob", "of-alice"})


def test_shows_none_of_another_workspace(schedule, charlie):
    assert signed_in(charlie).get(page_of(schedule)).status_code == 302


def test_shows_why_it_is_paused_and_its_last_run(make, olivia, workspace):
    run = RunFactory(workspace=workspace)
    schedule = make(enabled=False, pause_reason="The agent is disabled.", last_run_id=run.pk)
    page = signed_in(olivia).get(page_of(schedule)).content.decode()

    assert ("The agent is disabled." in page, f"/admin/runs/run/{run.pk}/change/" in page) == (True, True)


def test_is_read_only(schedule, olivia):
    client = signed_in(olivia)

    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(page_of(schedule), {"name": "other"}).status_code == 403


@pytest.mark.parametrize(
    ("enabled", "offered"), [(True, {"pause", "trigger"}), (False, {"resume", "trigger"})]
)
def test_offers_the_buttons_that_make_sense(make, olivia, enabled, offered):
    assert buttons(signed_in(olivia), make(enabled=enabled)) == offered


def test_offers_viewers_nothing(schedule, vera):
    assert signed_in(vera).get(page_of(schedule)).status_code == 403


def test_pauses_it(schedule, olivia):
    messages = said(press(signed_in(olivia), schedule, "pause"))

    assert (Schedule.objects.get().enabled, messages) == (False, ["report is paused."])


def test_resumes_it(make, olivia):
    press(signed_in(olivia), make(enabled=False, next_run_at=None), "resume")

    assert Schedule.objects.get().next_run_at is not None


def test_triggers_it(schedule, olivia):
    messages = said(press(signed_in(olivia), schedule, "trigger"))

    assert messages == [f"Run {Run.objects.get().pk} is queued."]


def test_says_why_it_cannot_be_triggered(make, olivia):
    schedule = make(user=UserFactory())
    messages = said(press(signed_in(olivia), schedule, "trigger"))

    assert messages[0].startswith(f"Schedule {schedule.pk}: Its owner is no active member")


def test_pauses_and_resumes_a_selection(make, olivia):
    client, chosen = signed_in(olivia), [make(), make()]
    choose(client, "pause_selected", *chosen)
    paused = Schedule.objects.filter(enabled=True).count()
    choose(client, "resume_selected", *chosen)

    assert (paused, Schedule.objects.filter(enabled=True).count()) == (0, 2)


def test_asks_as_often_for_many_as_for_one(make, olivia):
    client = signed_in(olivia)
    make()
    for_one = queries_of(client, LIST)
    for _ in range(5):
        make()

    assert queries_of(client, LIST) == for_one
