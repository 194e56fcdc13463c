"""The journal: what commits together, what is fenced, and what happens when the database misbehaves."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import pytest_asyncio
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from agentplatform.lib import bulk
from agentplatform.lib.concurrency import in_thread
from agentplatform.lib.ids import uuid7
from billing import ledger
from billing.models import Budget, BudgetReservation, Outcome, UsageRecord
from runs import event_log, lifecycle
from runs.engine import journal as journal_module
from runs.engine.entries import Attempt, Result
from runs.engine.entries import Outcome as Flushed
from runs.engine.journal import Fenced, Journal, Paused
from runs.events import Event, EventType, StoredEvent
from runs.models import ErrorClass, Run, RunStep
from tests.engine.support import start
from tests.factories import AgentFactory, BudgetFactory

pytestmark = pytest.mark.django_db(transaction=True)

WORKER = uuid7()


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace)


@pytest.fixture
def published() -> list[StoredEvent]:
    return []


@pytest_asyncio.fixture
async def journal(published, close_connections) -> AsyncIterator[Journal]:
    journal = Journal(publish=lambda run_id, events: published.extend(events))
    yield journal
    await journal.stop()


@pytest_asyncio.fixture
async def begun(journal, alice, agent) -> tuple[Run, Attempt]:
    """A run in its first attempt."""
    run = await start(alice, agent)
    return await journal.begin(run.pk, WORKER)


@pytest_asyncio.fixture
async def run_of_another(journal, other_workspace, charlie) -> tuple[Run, Attempt]:
    """A run of another workspace, in the hands of the same worker."""
    agent = await in_thread(AgentFactory, workspace=other_workspace)
    run = await start(charlie, agent)
    return await journal.begin(run.pk, WORKER)


def delta(text: str) -> Event:
    return Event(EventType.CONTENT_DELTA, {"content": text}, timezone.now(), 1, "model")


async def stored(run: Run) -> list[StoredEvent]:
    return await in_thread(event_log.read, run.pk, 0)


async def test_numbers_events_as_they_commit(journal, begun):
    run, attempt = begun
    await journal.write(attempt, events=[delta("a")])
    await journal.write(attempt, events=[delta("b")])

    assert [event.seq for event in await stored(run)] == [1, 2, 3, 4]


async def test_publishes_only_what_is_committed(journal, begun, published):
    run, attempt = begun
    await journal.write(attempt, events=[delta("a")])

    assert [event.seq for event in published] == [event.seq for event in (await stored(run))[1:]]


async def test_joins_deltas_that_wait_for_the_same_flush(journal, begun):
    run, attempt = begun
    for text in ("a", "b", "c"):
        pending = journal.append(attempt, events=[delta(text)])
    await journal.write(attempt)

    assert pending.item.events[-1].data["content"].endswith("c")
    assert len(await stored(run)) < 5


async def test_begins_a_run_only_once(journal, begun):
    run, _ = begun

    with pytest.raises(Fenced):
        await journal.begin(run.pk, uuid7())


async def test_refuses_an_attempt_that_was_superseded(journal, begun):
    run, attempt = begun
    await in_thread(lifecycle.requeue_lost, [run.pk])
    await journal.begin(run.pk, uuid7())

    with pytest.raises(Fenced):
        await journal.write(attempt, events=[delta("late")])


async def test_writes_nothing_for_a_cancelled_run(journal, begun):
    run, attempt = begun
    await in_thread(lifecycle.cancel, run.pk)

    with pytest.raises(Fenced):
        await journal.write(attempt, events=[delta("late")], transition=lifecycle.finish("late"))
    assert (await stored(run))[-1].type == EventType.RUN_CANCELLED


async def test_keeps_the_money_of_a_cancelled_run(journal, begun):
    run, attempt = begun
    await in_thread(lifecycle.cancel, run.pk)

    with pytest.raises(Fenced):
        await journal.write(attempt, usage=[usage(run, 7)])

    assert (await Run.objects.aget(pk=run.pk)).output_tokens == 7


async def test_counts_a_call_once_however_often_it_is_settled(journal, begun):
    run, attempt = begun
    record = usage(run, 7)
    await in_thread(ledger.append, [record])
    await journal.write(attempt, usage=[record])

    assert await UsageRecord.objects.filter(run_id=run.pk).acount() == 1


async def test_commits_once_when_the_answer_of_a_commit_is_lost(journal, begun, monkeypatch):
    run, attempt = begun
    commit, calls = journal_module.commit, []

    def commit_and_lose_the_answer(items):
        calls.append(items)
        results = commit(items)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return results

    monkeypatch.setattr(journal_module, "commit", commit_and_lose_the_answer)
    events = await journal.write(attempt, events=[delta("once")])

    assert [event.type for event in await stored(run)].count("content_delta") == 1
    assert [event.data for event in events] == ['{"content": "once"}']


@pytest.fixture
def lost_answer(monkeypatch) -> None:
    """The first commit from now on succeeds, and its answer is lost."""
    commit, calls = journal_module.commit, []

    def commit_and_lose_the_answer(items):
        calls.append(items)
        results = commit(items)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return results

    monkeypatch.setattr(journal_module, "commit", commit_and_lose_the_answer)


@pytest.mark.parametrize("at_safe_point", [True, False])
async def test_says_again_that_a_budget_has_no_room_when_the_answer_is_lost(
    journal, begun, workspace, lost_answer, at_safe_point
):
    run, attempt = begun
    await in_thread(BudgetFactory, workspace=workspace, limit_tokens=10, limit_amount=None)
    call = opening(run)
    result = await journal.committed(attempt, usage=[call], at_safe_point=at_safe_point)

    assert list(result.refused) == [call.call_id]
    assert not await UsageRecord.objects.filter(run_id=run.pk).aexists()


async def test_opens_a_call_once_when_the_answer_is_lost(journal, begun, workspace, lost_answer):
    run, attempt = begun
    await in_thread(BudgetFactory, workspace=workspace, limit_tokens=150, limit_amount=None)
    result = await journal.committed(attempt, usage=[opening(run)])

    assert result.refused == {}
    assert await BudgetReservation.objects.acount() == 1


async def test_loses_nothing_that_follows_a_repeat_which_finds_its_run_in_other_hands(
    journal, begun, monkeypatch
):
    run, attempt = begun
    really_commit, calls = journal_module.commit, []
    ending: list[asyncio.Future] = []
    loop = asyncio.get_running_loop()

    def commit(items):
        calls.append(items)
        if len(calls) == 1:
            really_commit(items)
            end = loop.create_future()
            ending.append(end)
            loop.call_soon_threadsafe(
                lambda: journal.submit(attempt, transition=lifecycle.finish("done")).add_done_callback(
                    lambda _: end.set_result(None)
                )
            )
            raise OperationalError("the answer is lost")
        return [Result(Flushed.BLOCKED)] if len(calls) < 4 else really_commit(items)

    monkeypatch.setattr(journal_module, "commit", commit)
    await journal.write(attempt, events=[delta("a")])
    await ending[0]

    assert (await Run.objects.aget(pk=run.pk)).status == "completed"
    assert [event.type for event in await stored(run)][2:] == ["content_delta", "run_completed"]


@pytest.mark.parametrize("since", [lifecycle.resume, lifecycle.cancel])
async def test_begins_nothing_when_a_repeat_finds_that_the_run_has_rested(journal, begun, monkeypatch, since):
    run, attempt = begun
    really_commit, calls = journal_module.commit, []

    def commit(items):
        calls.append(items)
        results = really_commit(items)
        if len(calls) == 1:
            since(run.pk)
            raise OperationalError("the answer is lost")
        return results

    await in_thread(lifecycle.pause, run.pk)
    monkeypatch.setattr(journal_module, "commit", commit)
    with pytest.raises(Paused):
        await journal.write(attempt, events=[delta("a")], at_safe_point=True)


async def test_begins_once_when_the_answer_of_the_commit_is_lost(journal, alice, agent, monkeypatch):
    run = await start(alice, agent)
    commit, calls = journal_module.commit, []

    def commit_and_lose_the_answer(items):
        calls.append(items)
        results = commit(items)
        if len(calls) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return results

    monkeypatch.setattr(journal_module, "commit", commit_and_lose_the_answer)
    _, attempt = await journal.begin(run.pk, WORKER)

    assert attempt.number == 1


async def test_waits_for_a_database_that_is_away(journal, begun, monkeypatch):
    run, attempt = begun
    commit, calls = journal_module.commit, []

    def fail_twice(items):
        calls.append(items)
        if len(calls) < 3:
            raise OperationalError("connection refused")
        return commit(items)

    monkeypatch.setattr(journal_module, "commit", fail_twice)
    await journal.write(attempt, events=[delta("patient")])

    assert (await stored(run))[-1].type == EventType.CONTENT_DELTA


async def test_does_not_let_bad_rows_of_one_run_fail_another(journal, begun, alice, agent):
    _, attempt = begun
    other = await start(alice, agent)
    _, other_attempt = await journal.begin(other.pk, WORKER)

    bad = journal.write(attempt, rows=[bulk.row(RunStep, run_id=uuid.uuid4(), step_num=1)])
    good = journal.write(other_attempt, events=[delta("fine")])
    outcomes = await asyncio.gather(bad, good, return_exceptions=True)

    assert isinstance(outcomes[0], Exception)
    assert (await stored(other))[-1].type == EventType.CONTENT_DELTA


async def test_lets_nothing_follow_a_lost_entry_but_the_end(journal, begun):
    run, attempt = begun
    lost = journal.append(attempt, rows=[bulk.row(RunStep, run_id=uuid.uuid4(), step_num=1)])
    with pytest.raises(Exception, match=r"null value|violates"):
        await journal.write(attempt)

    journal.append(attempt, events=[delta("after the hole")])
    await journal.write(attempt, transition=lifecycle.fail(ErrorClass.INTERNAL, "lost"), ends_badly=True)

    assert lost.item.attempt is attempt
    assert [event.type for event in await stored(run)] == ["run_queued", "run_started", "run_failed"]


async def test_opens_no_call_after_a_lost_entry(journal, begun):
    run, attempt = begun
    journal.append(attempt, rows=[bulk.row(RunStep, run_id=uuid.uuid4(), step_num=1)])
    for _ in range(2):
        with pytest.raises(Exception, match=r"null value|violates"):
            await journal.write(attempt, usage=[opening(run)])

    assert not await UsageRecord.objects.filter(run_id=run.pk).aexists()


async def test_leaves_a_run_in_other_hands_for_the_next_flush(journal, begun, alice, agent):
    run, attempt = begun
    other = await start(alice, agent)
    _, other_attempt = await journal.begin(other.pk, WORKER)
    held, release = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold() -> None:
        with transaction.atomic():
            lifecycle.lock([run.pk])
            loop.call_soon_threadsafe(held.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(timeout=10)

    holder = asyncio.create_task(in_thread(hold))
    await held.wait()
    blocked = asyncio.create_task(journal.write(attempt, events=[delta("blocked")]))
    await journal.write(other_attempt, events=[delta("free")])
    assert not blocked.done()
    release.set()
    await holder
    await blocked

    assert (await stored(run))[-1].type == EventType.CONTENT_DELTA


@contextmanager
def locked(budget: Budget) -> Iterator[None]:
    """Somebody else holds the budget's row, for as long as it takes."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT 1 FROM billing_budget WHERE id = %s FOR UPDATE", [budget.pk])
        yield


async def test_goes_on_with_other_runs_while_a_budget_is_locked(journal, begun, run_of_another, workspace):
    run, attempt = begun
    _, other_attempt = run_of_another
    budget = await in_thread(BudgetFactory, workspace=workspace)
    with locked(budget):
        held_up = asyncio.create_task(journal.committed(attempt, usage=[opening(run)]))
        for text in ("a", "b", "c"):
            await asyncio.wait_for(journal.write(other_attempt, events=[delta(text)]), 4)
        is_done_early = held_up.done()
    result = await held_up

    assert (is_done_early, result.refused) == (False, {})
    assert await UsageRecord.objects.filter(run_id=run.pk).acount() == 1


async def test_holds_others_up_once_for_a_budget_that_is_locked(journal, begun, run_of_another, workspace):
    run, attempt = begun
    _, other_attempt = run_of_another
    budget = await in_thread(BudgetFactory, workspace=workspace)
    with locked(budget):
        held_up = asyncio.create_task(journal.committed(attempt, usage=[opening(run)]))
        await asyncio.sleep(1.5)
        began = time.monotonic()
        for text in ("a", "b", "c"):
            await journal.write(other_attempt, events=[delta(text)])
        took = time.monotonic() - began
    await held_up

    assert took < 1


async def test_stores_a_large_payload_apart(journal, begun):
    run, attempt = begun
    event = Event(EventType.TOOL_CALL_COMPLETED, {"result": "x" * 100_000}, timezone.now())
    await journal.write(attempt, events=[event])

    assert len((await stored(run))[-1].data) < 2000


async def test_cleans_what_postgresql_refuses(journal, begun):
    run, attempt = begun
    await journal.write(attempt, events=[delta("a\x00b\ud800")])

    assert (await stored(run))[-1].type == EventType.CONTENT_DELTA


def usage(run: Run, output_tokens: int) -> UsageRecord:
    return ledger.settled(
        context_of(run), uuid7(), ledger.Tokens(output=output_tokens), Outcome.OK, timezone.now()
    )


def opening(run: Run) -> UsageRecord:
    """Of a call that may take 100 tokens."""
    return ledger.opened(context_of(run), uuid7(), ledger.Tokens(), timezone.now(), 100)


def context_of(run: Run) -> ledger.CallContext:
    return ledger.CallContext(
        workspace_id=run.workspace_id,
        currency="USD",
        run_id=run.pk,
        attempt=1,
        step=1,
        session_id=None,
        agent_id=run.agent_id,
        agent=run.agent_name,
        workflow="",
        user_id=run.user_id,
        user=run.username,
        end_user="",
        api_key_id=None,
        api_key="",
        provider="openai",
        model="gpt-4o-mini",
    )


async def test_lets_no_run_wait_for_what_was_lost(journal, begun):
    """The approval that it would wait for was in the entry that the database has refused."""
    run, attempt = begun
    journal.append(attempt, rows=[bulk.row(RunStep, run_id=uuid.uuid4(), step_num=1)])
    waits = lifecycle.Waits(("tool_call:1:call_1",))

    with pytest.raises(Exception, match=r"null value|violates"):
        await journal.write(attempt, transition=lifecycle.park(waits))
    assert (await Run.objects.aget(pk=run.pk)).status == "running"


@pytest.fixture
async def taken_again(begun):
    """Two attempts of one run in one process: the old one has not unwound yet."""
    run, old = begun
    await Run.objects.filter(pk=run.pk).aupdate(attempt=2, journal_position=0)
    return run, old, Attempt(run.pk, 2, last_seq=run.last_seq)


async def test_keeps_the_words_of_an_old_attempt_apart_from_those_of_the_new(journal, taken_again):
    run, old, new = taken_again
    with journal._arrived:
        journal.append(old, events=[delta("void")], is_last=True)
        written = journal.submit(new, events=[delta("holds")])
    await written

    assert [event.type for event in await stored(run)] == ["run_queued", "run_started", "content_delta"]


async def test_lets_no_old_attempt_hand_the_new_one_back(journal, taken_again):
    run, old, new = taken_again
    with journal._arrived:
        written = journal.submit(new, events=[delta("holds")])
        journal.append(old, transition=lifecycle.hand_back("worker_stopped"), is_last=True)
    await written

    assert (await Run.objects.aget(pk=run.pk)).status == "running"
