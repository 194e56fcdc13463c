"""Runs in the admin: a fast list, a page of facts, and the verbs on them."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.utils import timezone
from django.utils.html import escape

from accounts.models import Workspace
from accounts.roles import Role
from agentplatform.lib.ids import first_uuid7_at
from runs.models import Checkpoint, Run, Status
from tests.factories import (
    AgentFactory,
    ApprovalFactory,
    MembershipFactory,
    RunEventFactory,
    RunFactory,
    RunStepFactory,
    SessionFactory,
    ToolCallFactory,
    UserFactory,
)
from tests.runs.admin_support import path_of, queries_of, said, signed_in

LIST = "/admin/runs/run/"


@pytest.fixture
def waiting(workspace, olivia):
    """A run of olivia's that was made and not started."""
    agent = AgentFactory(workspace=workspace)
    return RunFactory(
        workspace=workspace, user=olivia, agent=agent, status=Status.CREATED, response_content=""
    )


def listed(client, query: str = "") -> set:
    return {run.pk for run in client.get(f"{LIST}{query}").context["cl"].result_list}


def act(client, action: str, *runs, confirmed="yes"):
    """Acts on a selection, and says yes where that is asked first."""
    chosen = {"action": action, "_selected_action": [str(run.pk) for run in runs]}
    return client.post(LIST, {**chosen, "confirmed": confirmed})


def press(client, run, button: str):
    """Submits the dialog that a button of the run's page opens."""
    return client.post(f"{LIST}{run.pk}/{button}/", {"_form_submitted": "true"})


# --- the list ---


@pytest.mark.parametrize("who", ["olivia", "root"])
def test_lists_any_number_of_runs_in_as_many_queries(
    request, workspace, olivia, who, django_assert_num_queries
):
    user = olivia if who == "olivia" else UserFactory(is_superuser=True)
    client, agent = signed_in(user), AgentFactory(workspace=workspace)
    RunFactory.create_batch(5, workspace=workspace, agent=agent, user=olivia)
    queries_of(client, LIST)
    few = queries_of(client, LIST)
    RunFactory.create_batch(20, workspace=workspace, agent=agent, user=olivia)
    with django_assert_num_queries(few):
        assert len(client.get(LIST).context["cl"].result_list) == 25


def test_reads_no_long_texts_for_its_list(workspace, olivia):
    RunFactory(workspace=workspace)
    (run,) = signed_in(olivia).get(LIST).context["cl"].result_list
    assert {"input", "input_query", "response_content"} <= run.get_deferred_fields()


def test_never_counts_all_rows(workspace, olivia, monkeypatch):
    monkeypatch.setattr("agentplatform.lib.admin_lists.MOST_ROWS", 2)
    RunFactory.create_batch(4, workspace=workspace)
    response = signed_in(olivia).get(LIST)
    assert response.context["cl"].result_count == 2
    assert "more than 2 runs" in response.content.decode()


def test_shows_the_newest_first(workspace, olivia):
    first, second = RunFactory.create_batch(2, workspace=workspace)
    runs = list(signed_in(olivia).get(LIST).context["cl"].result_list)
    assert [run.pk for run in runs] == [second.pk, first.pk]


def test_filters_by_status(workspace, olivia):
    RunFactory(workspace=workspace)
    failed = RunFactory(workspace=workspace, status=Status.FAILED)
    assert listed(signed_in(olivia), "?status=failed") == {failed.pk}


def test_filters_by_agent(workspace, olivia):
    RunFactory(workspace=workspace)
    run = RunFactory(workspace=workspace)
    assert listed(signed_in(olivia), f"?agent={run.agent_id}") == {run.pk}


def test_finds_nothing_by_an_agent_that_is_none(workspace, olivia):
    RunFactory(workspace=workspace)
    assert listed(signed_in(olivia), "?agent=none") == set()


def test_filters_by_age(workspace, olivia):
    yesterday = timezone.now() - timedelta(days=2)
    RunFactory(workspace=workspace, id=UUID(int=first_uuid7_at(yesterday).int + 1), created_at=yesterday)
    run = RunFactory(workspace=workspace)
    assert listed(signed_in(olivia), "?since=day") == {run.pk}


def test_filters_by_workspace_for_who_has_several(workspace, other_workspace, olivia):
    MembershipFactory(workspace=other_workspace, user=olivia, role=Role.VIEWER)
    RunFactory(workspace=workspace)
    run = RunFactory(workspace=other_workspace)
    assert listed(signed_in(olivia), f"?workspace={other_workspace.pk}") == {run.pk}


def test_offers_no_workspaces_to_who_has_one(workspace, olivia):
    Workspace.objects.create(slug="another", name="Another")
    filters = signed_in(olivia).get(LIST).context["cl"].filter_specs
    assert "workspace" not in [one.title for one in filters]


def test_finds_a_run_by_the_beginning_of_its_id(workspace, olivia):
    run = RunFactory(workspace=workspace, id=UUID("01900000-0000-7000-8000-00000000abcd"))
    RunFactory(workspace=workspace)
    assert listed(signed_in(olivia), "?q=01900000-0000-7") == {run.pk}


def test_finds_runs_by_their_end_user(workspace, olivia):
    run = RunFactory(workspace=workspace, end_user="customer-17")
    RunFactory(workspace=workspace, end_user="customer-18")
    assert listed(signed_in(olivia), "?q=customer-17") == {run.pk}


@pytest.mark.parametrize("request_id", ["01900000-0000-7000-8000-000000000001", "a proxy's own, №7"])
def test_finds_what_a_request_has_started_and_shows_the_request(workspace, olivia, request_id):
    client, run = signed_in(olivia), RunFactory(workspace=workspace, request_id=request_id)
    RunFactory(workspace=workspace)
    assert listed(client, f"?{urlencode({'q': request_id})}") == {run.pk}
    assert escape(request_id) in client.get(f"{LIST}{run.pk}/change/").content.decode()


def test_finds_runs_by_an_end_user_that_looks_like_an_id(workspace, olivia):
    run = RunFactory(workspace=workspace, end_user="4915112345678")
    assert listed(signed_in(olivia), "?q=4915112345678") == {run.pk}


def test_shows_a_user_only_runs_of_its_own(workspace, bob, alice):
    own = RunFactory(workspace=workspace, user=bob)
    RunFactory(workspace=workspace, user=alice)
    assert listed(signed_in(bob)) == {own.pk}


# --- a run's page ---


@pytest.fixture
def page(workspace, olivia):
    """The page of a run, as olivia sees it."""
    return lambda run: signed_in(olivia).get(path_of("runs.run", "change", run.pk))


def section(response, title: str):
    return next(one for one in response.context["sections"] if one.title == title)


def test_shows_a_run_with_all_its_fields_read_only(page, workspace):
    response = page(RunFactory(workspace=workspace))
    assert response.status_code == 200
    assert response.context["adminform"].form.fields == {}


def test_shows_the_last_200_events_and_where_the_others_are(page, workspace):
    run = RunFactory(workspace=workspace)
    for _ in range(203):
        RunEventFactory(run=run)
    events = section(page(run), "Events")
    assert [events.rows[0][0], events.rows[-1][0], events.link] == [4, 203, f"{LIST}{run.pk}/events/"]


def test_pages_through_all_events(workspace, olivia):
    run = RunFactory(workspace=workspace)
    for _ in range(203):
        RunEventFactory(run=run)
    client = signed_in(olivia)
    first = client.get(f"{LIST}{run.pk}/events/")
    second = client.get(f"{LIST}{run.pk}/events/?after={first.context['following']}")
    assert [first.context["following"], len(second.context["sections"][0].rows)] == [200, 3]


def test_pages_through_no_strangers_events(workspace, charlie):
    run = RunEventFactory(run=RunFactory(workspace=workspace)).run
    assert signed_in(charlie).get(f"{LIST}{run.pk}/events/").status_code == 404


def test_shows_steps_and_checkpoints(page, workspace):
    run = RunStepFactory(run=RunFactory(workspace=workspace)).run
    Checkpoint.objects.create(
        thread_id=run.pk, checkpoint_id="1", run=run, checkpoint={}, created_at=timezone.now()
    )
    response = page(run)
    assert section(response, "Steps").rows[0][-1] == "17 * 23 is 391."
    assert section(response, "Checkpoints").rows[0][2] == "1"


def test_shows_approvals_tool_calls_and_what_was_made_from_it(page, workspace, olivia):
    run = RunFactory(workspace=workspace, has_children=True)
    child = RunFactory(workspace=workspace, parent=run, relation="child")
    approval = ApprovalFactory(run=run)
    ToolCallFactory(run=run, child_run_id=child.pk)
    response = page(run)
    assert path_of("runs.approval", "change", approval.pk) in section(response, "Approvals").rows[0][1]
    assert path_of("runs.run", "change", child.pk) in section(response, "Tool calls").rows[0][-1]
    assert section(response, "Runs made from it").rows[0][1] == "Child"


def test_shows_no_runs_made_from_it_that_one_may_not_see(workspace, bob, alice):
    run = RunFactory(workspace=workspace, user=bob)
    RunFactory(workspace=workspace, user=alice, parent=run, relation="retry")
    response = signed_in(bob).get(path_of("runs.run", "change", run.pk))
    assert "Runs made from it" not in [one.title for one in response.context["sections"]]


def test_counts_what_the_runs_below_it_have_cost(page, workspace):
    run = RunFactory(workspace=workspace, cost="0.5", child_cost="0.25")
    assert "0.75 USD" in page(run).content.decode()


# --- a run whose budget is spent ---


@pytest.fixture
def spent(workspace, olivia):
    run = RunFactory(
        workspace=workspace, user=olivia, status=Status.PAUSED, limits={"max_tokens": 100}, input_tokens=110
    )
    why = {"reason": "budget_exceeded", "limit": "max_tokens", "value": 100, "used": 110}
    RunEventFactory(run=run, type="run_paused", data={"run_id": str(run.pk), **why})
    return run


def test_offers_to_resume_it_with_more(page, spent):
    titles = {button["title"] for button in page(spent).context["actions_detail"]}
    assert titles == {"Watch live", "Checkpoints", "Resume with more", "Cancel"}


def test_says_what_is_used_up(spent, olivia):
    dialog = signed_in(olivia).get(f"{LIST}{spent.pk}/resume-with-more/").content.decode()
    assert "Used up: 110 of 100." in dialog


def test_resumes_it_with_more(spent, olivia):
    more = {"_form_submitted": "true", "max_tokens": "500", "max_cost": "0.50"}
    signed_in(olivia).post(f"{LIST}{spent.pk}/resume-with-more/", more)
    run = Run.objects.get(pk=spent.pk)
    assert (run.status, run.limits) == (Status.QUEUED, {"max_tokens": 500, "max_cost": "0.5"})


def test_says_that_it_needs_more(spent, olivia):
    same = {"_form_submitted": "true", "max_tokens": "100"}
    messages = said(signed_in(olivia).post(f"{LIST}{spent.pk}/resume-with-more/", same))
    assert "has used 110 of its max_tokens 100" in messages[0]


def test_offers_to_resume_a_run_below_that_rests(page, workspace):
    run = RunFactory(workspace=workspace, status=Status.WAITING)
    RunFactory(workspace=workspace, parent=run, relation="child", status=Status.PAUSED)
    titles = {button["title"] for button in page(run).context["actions_detail"]}
    assert titles == {"Watch live", "Checkpoints", "Pause", "Resume", "Cancel"}


# --- what is long, and what is hostile ---


def test_cuts_what_is_long(page, workspace):
    run = RunEventFactory(run=RunFactory(workspace=workspace), data={"content": "x" * 20_000}).run
    assert page(run).content.count(b"x") < 10_000


def test_shows_markup_as_text(page, workspace):
    hostile = "<script>alert(1)</script>"
    run = RunFactory(workspace=workspace, input_query=hostile, response_content=hostile * 10)
    RunEventFactory(run=run, data={"content": hostile * 10})
    assert hostile not in page(run).content.decode()


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        (Status.CREATED, {"Watch live", "Checkpoints", "Start", "Cancel"}),
        (Status.RUNNING, {"Watch live", "Checkpoints", "Pause", "Cancel"}),
        (Status.PAUSING, {"Watch live", "Checkpoints", "Resume", "Cancel"}),
        (Status.PAUSED, {"Watch live", "Checkpoints", "Resume", "Cancel"}),
        (Status.WAITING, {"Watch live", "Checkpoints", "Pause", "Cancel"}),
        (Status.COMPLETED, {"Watch live", "Checkpoints", "Retry"}),
    ],
)
def test_offers_the_buttons_that_make_sense(page, workspace, status, buttons):
    response = page(RunFactory(workspace=workspace, status=status))
    assert {button["title"] for button in response.context["actions_detail"]} == buttons


def test_offers_a_viewer_only_to_watch(workspace, vera):
    run = RunFactory(workspace=workspace, status=Status.RUNNING)
    response = signed_in(vera).get(path_of("runs.run", "change", run.pk))
    assert [button["title"] for button in response.context["actions_detail"]] == ["Watch live", "Checkpoints"]


def test_leads_to_the_live_page(workspace, olivia):
    run = RunFactory(workspace=workspace)
    assert signed_in(olivia).get(f"{LIST}{run.pk}/watch/").headers["Location"] == f"/runs/{run.pk}/"


# --- verbs ---


def test_cancels_a_run_from_its_page(waiting, olivia):
    press(signed_in(olivia), waiting, "cancel")
    assert Run.objects.get(pk=waiting.pk).status == Status.CANCELLED


def test_asks_before_it_acts(waiting, olivia):
    response = signed_in(olivia).get(f"{LIST}{waiting.pk}/cancel/")
    assert b"Cancel this run?" in response.content
    assert Run.objects.get(pk=waiting.pk).status == Status.CREATED


def test_starts_a_run_that_was_only_made(waiting, olivia):
    press(signed_in(olivia), waiting, "start")
    assert Run.objects.get(pk=waiting.pk).status == Status.QUEUED


def test_leads_to_the_new_run_after_a_retry(workspace, olivia):
    run = RunFactory(workspace=workspace, user=olivia)
    response = press(signed_in(olivia), run, "retry")
    assert response.headers["Location"] == path_of("runs.run", "change", Run.objects.get(parent=run).pk)


def test_answers_a_dialog_with_where_to_go(waiting, olivia):
    path = f"{LIST}{waiting.pk}/cancel/"
    response = signed_in(olivia).post(path, {"_form_submitted": "true"}, headers={"HX-Request": "true"})
    assert response.headers["HX-Redirect"] == path_of("runs.run", "change", waiting.pk)


def test_tells_the_outcome_for_each_run(waiting, workspace, olivia):
    done = RunFactory(workspace=workspace, user=olivia)
    messages = said(act(signed_in(olivia), "cancel_selected", waiting, done))
    assert sorted(messages) == sorted(
        [
            f"Run {waiting.pk} is cancelled.",
            f"Run {done.pk}: A run that is 'completed' can't be cancelled.",
        ]
    )


def test_starts_and_retries_selected_runs(waiting, workspace, olivia):
    done, client = RunFactory(workspace=workspace, user=olivia), signed_in(olivia)
    act(client, "start_selected", waiting)
    act(client, "retry_selected", done)
    assert Run.objects.get(pk=waiting.pk).status == Status.QUEUED
    assert Run.objects.filter(parent=done).exists()


def test_pauses_and_resumes_selected_runs(workspace, olivia):
    runs = [RunFactory(workspace=workspace, user=olivia, status=status) for status in ("queued", "running")]
    paused = said(act(signed_in(olivia), "pause_selected", *runs))
    resumed = said(act(signed_in(olivia), "resume_selected", *runs))
    assert sorted(paused) == sorted(
        [f"Run {runs[0].pk} is paused.", f"Run {runs[1].pk} pauses as soon as what it is doing has ended."]
    )
    assert sorted(resumed) == sorted(f"Run {run.pk} goes on." for run in runs)


def test_acts_as_the_signed_in_user(workspace, olivia, alice):
    run = RunFactory(workspace=workspace, user=alice)
    act(signed_in(olivia), "retry_selected", run)
    assert Run.objects.get(parent=run).username == "olivia"


def test_takes_no_more_than_a_page_at_once(workspace, olivia, monkeypatch):
    monkeypatch.setattr("runs.admin.acts.MOST_AT_ONCE", 1)
    runs = RunFactory.create_batch(2, workspace=workspace, user=olivia, status=Status.CREATED)
    messages = said(act(signed_in(olivia), "cancel_selected", *runs))
    assert "Only the first 1 runs were taken" in messages[-1]
    assert Run.objects.filter(status=Status.CANCELLED).count() == 1


@pytest.mark.parametrize("action", ["cancel_selected", "retry_selected"])
def test_asks_first_and_names_what_was_chosen(workspace, olivia, action):
    run = RunFactory(workspace=workspace, user=olivia, status=Status.PAUSED, input_query="Which one?")
    page = act(signed_in(olivia), action, run, confirmed="").content.decode()
    assert "Which one?" in page
    assert f'name="_selected_action" value="{run.pk}"' in page
    assert [one.status for one in Run.objects.all()] == [Status.PAUSED]


@pytest.mark.parametrize(
    "action", ["pause_selected", "resume_selected", "cancel_selected", "retry_selected", "start_selected"]
)
def test_lets_a_viewer_run_no_action(waiting, vera, action):
    act(signed_in(vera), action, waiting)
    assert list(Run.objects.values_list("status", flat=True)) == [Status.CREATED]


@pytest.mark.parametrize("button", ["pause", "resume", "cancel", "retry", "start"])
@pytest.mark.parametrize("who", ["vera", "charlie", "audrey"])
def test_lets_nobody_without_the_permission_press_a_button(request, waiting, who, button):
    response = press(signed_in(request.getfixturevalue(who)), waiting, button)
    assert response.status_code in (403, 404)
    assert list(Run.objects.values_list("status", flat=True)) == [Status.CREATED]


def test_lets_a_stranger_act_on_nothing(waiting, charlie):
    act(signed_in(charlie), "cancel_selected", waiting)
    assert Run.objects.get(pk=waiting.pk).status == Status.CREATED


def test_lets_a_user_cancel_its_own_run_only(workspace, waiting, bob):
    own = RunFactory(workspace=workspace, user=bob, status=Status.CREATED)
    act(signed_in(bob), "cancel_selected", own, waiting)
    assert list(Run.objects.filter(status=Status.CANCELLED).values_list("pk", flat=True)) == [own.pk]


def test_lets_a_superuser_cancel_anywhere(waiting):
    press(signed_in(UserFactory(is_superuser=True)), waiting, "cancel")
    assert Run.objects.get(pk=waiting.pk).status == Status.CANCELLED


def test_needs_the_token_against_forgery(waiting, olivia):
    client = signed_in(olivia)
    client.handler.enforce_csrf_checks = True
    assert press(client, waiting, "cancel").status_code == 403


# --- other models ---


def test_shows_only_visible_runs_of_a_session(workspace, bob, olivia):
    session = SessionFactory(workspace=workspace, user=bob)
    own = RunFactory(workspace=workspace, user=bob, session=session)
    RunFactory(workspace=workspace, user=olivia, session=session)
    response = signed_in(bob).get(path_of("runs.session", "change", session.pk))
    runs = section(response, "Latest runs").rows
    assert [str(own.pk) in str(row[-1]) for row in runs] == [True]
