"""Sessions in the admin: made, named, looked at and deleted as the API does it."""

from __future__ import annotations

import pytest

from runs.models import Message, Session, Status
from tests.factories import AgentFactory, MessageFactory, RunFactory, SessionFactory
from tests.runs.admin_support import path_of, queries_of, signed_in

LIST = "/admin/runs/session/"


@pytest.fixture
def session(workspace, olivia):
    return SessionFactory(workspace=workspace, user=olivia)


def save(client, session, **values):
    entered = {
        "title": session.title,
        "agent": session.agent_id or "",
        "end_user": session.end_user,
        **values,
    }
    return client.post(path_of("runs.session", "change", session.pk), entered)


def test_lists_any_number_of_sessions_in_as_many_queries(workspace, olivia, django_assert_num_queries):
    client, agent = signed_in(olivia), AgentFactory(workspace=workspace)
    SessionFactory.create_batch(5, workspace=workspace, user=olivia, agent=agent)
    queries_of(client, LIST)
    few = queries_of(client, LIST)
    SessionFactory.create_batch(20, workspace=workspace, user=olivia, agent=agent)
    with django_assert_num_queries(few):
        client.get(LIST)


def test_makes_a_session_of_the_signed_in_user(workspace, olivia):
    default = AgentFactory(workspace=workspace, is_default=True)
    values = {"workspace": workspace.pk, "title": "Orders", "agent": "", "end_user": ""}
    signed_in(olivia).post(path_of("runs.session", "add"), values)
    made = Session.objects.get()
    assert (made.user, made.agent, made.title, made.named_by_person) == (olivia, default, "Orders", True)


def test_names_a_session_for_good(session, olivia):
    save(signed_in(olivia), session, title="Orders")
    session.refresh_from_db()
    assert (session.title, session.named_by_person) == ("Orders", True)


def test_leaves_the_name_automatic_where_nobody_changes_it(session, olivia):
    save(signed_in(olivia), session, end_user="customer-17")
    session.refresh_from_db()
    assert (session.end_user, session.named_by_person) == ("customer-17", False)


def test_refuses_an_agent_of_another_workspace(session, olivia, other_workspace):
    response = save(signed_in(olivia), session, agent=AgentFactory(workspace=other_workspace).pk)
    assert "agent" in response.context["adminform"].form.errors


def test_shows_its_messages_in_order(session, olivia):
    MessageFactory.create_batch(2, session=session)
    response = signed_in(olivia).get(path_of("runs.session", "change", session.pk))
    contents = [row[-1] for row in response.context["sections"][0].rows]
    assert contents == list(Message.objects.order_by("created_at").values_list("content", flat=True))


def test_finds_a_session_by_a_part_of_its_name(workspace, olivia):
    found = SessionFactory(workspace=workspace, title="Orders of May")
    SessionFactory(workspace=workspace, title="Something else")
    rows = signed_in(olivia).get(f"{LIST}?q=orders").context["cl"].result_list
    assert [row.pk for row in rows] == [found.pk]


def test_deletes_a_session(session, olivia):
    signed_in(olivia).post(path_of("runs.session", "delete", session.pk), {"post": "yes"})
    assert not Session.objects.exists()


def test_does_not_delete_a_session_with_a_run_that_goes_on(session, olivia):
    RunFactory(workspace=session.workspace, session=session, status=Status.RUNNING)
    signed_in(olivia).post(path_of("runs.session", "delete", session.pk), {"post": "yes"})
    assert Session.objects.exists()


def test_lets_a_viewer_change_nothing(session, vera):
    assert save(signed_in(vera), session, title="Mine").status_code == 403


def test_lets_a_user_change_nothing_of_others(session, bob):
    save(signed_in(bob), session, title="Mine")
    session.refresh_from_db()
    assert session.title != "Mine"
