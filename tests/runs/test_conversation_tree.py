"""The tree of a conversation's turns: filled in by the migration, switched at any size."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from runs.conversations.tree import Tree, show
from runs.models import Message, Run, Session, Status
from tests.factories import MessageFactory, RunFactory, SessionFactory

migration = import_module("runs.migrations.0007_conversation_tree")
TURNS = 2_500


@pytest.fixture
def session(workspace, alice):
    return SessionFactory(workspace=workspace, user=alice)


def turn(session, minutes, **fields):
    """A turn with question and answer, so many minutes from now."""
    moment = timezone.now() + timedelta(minutes=minutes)
    run = RunFactory(
        workspace=session.workspace,
        user=session.user,
        agent=session.agent,
        session=session,
        created_at=moment,
        **fields,
    )
    for source in ("user", run.agent_name):
        MessageFactory(session=session, run=run, source=source, created_at=moment)
    return run


def fill():
    migration.fill(None, SimpleNamespace(connection=connection))


def test_the_migration_chains_the_turns_of_sessions_that_are_there(session, workspace, alice):
    other = SessionFactory(workspace=workspace, user=alice)
    second, first = turn(session, 2), turn(session, 1)
    alone = turn(other, 3)
    fill()
    previous = dict(Run.objects.values_list("pk", "previous_id"))

    assert previous == {first.pk: None, second.pk: first.pk, alone.pk: None}
    assert dict(Session.objects.values_list("pk", "head_id")) == {session.pk: second.pk, other.pk: alone.pk}


def test_the_migration_leaves_out_what_has_no_place(session):
    first, created, rolled_back = turn(session, 1), turn(session, 2, status=Status.CREATED), turn(session, 3)
    Message.objects.filter(run=rolled_back).delete()
    last = turn(session, 4)
    fill()

    assert dict(Run.objects.filter(pk__in=[created.pk, rolled_back.pk]).values_list("pk", "previous_id")) == {
        created.pk: None,
        rolled_back.pk: None,
    }
    assert Run.objects.get(pk=last.pk).previous_id == first.pk


def test_the_migration_can_be_run_again(session):
    first, second = turn(session, 1), turn(session, 2)
    fill()
    fill()

    assert Run.objects.get(pk=second.pk).previous_id == first.pk


def test_switches_a_long_conversation_by_one_update_of_its_messages(session):
    first = turn(session, 0)
    runs = [
        Run(
            workspace=session.workspace,
            session=session,
            agent=session.agent,
            status=Status.COMPLETED,
            created_at=timezone.now() + timedelta(seconds=number),
            updated_at=timezone.now(),
            workflow_version=session.agent.version,
        )
        for number in range(1, TURNS)
    ]
    before = first.pk
    for run in runs:
        run.previous_id, before = before, run.pk
    Run.objects.bulk_create(runs)
    Message.objects.bulk_create(
        Message(session=session, run=run, source=source, content="word", created_at=run.created_at)
        for run in runs
        for source in ("user", "assistant")
    )
    Session.objects.filter(pk=session.pk).update(head=runs[-1])
    other = turn(session, 100_000, previous=first)
    Message.objects.filter(run=other).update(active=False)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        show(Tree.of(session.pk), other.pk)

    assert len([query for query in queries if query["sql"].lstrip().startswith("UPDATE runs_message")]) == 1
    assert len(queries) < 12
    assert Message.objects.filter(session=session, active=True).count() == 4
    assert Message.objects.filter(session=session, active=False).count() == 2 * (TURNS - 1)
