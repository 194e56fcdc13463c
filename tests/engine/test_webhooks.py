"""A webhook is told of runs over a real socket, at least once, signed, and of nothing that did not happen."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest
import standardwebhooks
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agentplatform.lib.concurrency import in_thread
from runs import lifecycle
from runs.engine.sweep import sweep
from runs.models import Run, Webhook, WebhookDelivery
from runs.webhooks import editing, outbox, sending
from tests.agents.http_endpoint import Answer, HttpEndpoint
from tests.engine.support import PATIENCE_SECONDS, at_rest, finished, start, start_now
from tests.factories import AgentFactory, ToolFactory, WebhookDeliveryFactory, WebhookFactory

pytestmark = pytest.mark.django_db(transaction=True)

Status = WebhookDelivery.Status


@pytest.fixture(autouse=True)
def _forget_webhooks(monkeypatch):
    """New webhooks are told at once."""
    monkeypatch.setattr(outbox, "KEPT_SECONDS", 0.0)
    outbox.forget()


@pytest.fixture
def receiver(settings):
    """What the webhook's owner runs."""
    settings.OUTBOUND_ALLOWED_HOSTS = ["127.0.0.1"]
    with HttpEndpoint() as receiver:
        yield receiver


@pytest.fixture
def webhook(workspace, receiver) -> Webhook:
    return WebhookFactory(workspace=workspace, url=receiver.url)


@pytest.fixture
def agent(workspace):
    return AgentFactory(workspace=workspace)


async def delivered(count: int = 1, **states) -> list[WebhookDelivery]:
    """So many messages, as soon as they have come to their end."""
    wanted = states or {"status": Status.DELIVERED}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await WebhookDelivery.objects.filter(**wanted).acount() < count:
            await asyncio.sleep(0.01)
    return [delivery async for delivery in WebhookDelivery.objects.select_related("webhook").order_by("pk")]


def verified(secret: str, asked) -> dict:
    """The message, by the official library. Raises where the signature does not fit."""
    return standardwebhooks.Webhook(secret).verify(asked.body, dict(asked.headers))


# what is told


async def test_is_told_of_the_end_of_a_run(worker, webhook, receiver, agent, alice):
    run = await finished(await start(alice, agent, end_user="customer-81"))
    await delivered()

    message = verified(webhook.secret, receiver.asked[0])
    assert message["type"] == "run_completed"
    assert (
        message["data"].items()
        >= {
            "run_id": str(run.pk),
            "status": "completed",
            "agent": agent.name,
            "workflow": "",
            "session_id": None,
            "user_id": "customer-81",
            "parent_id": None,
            "response": run.response_content,
        }.items()
    )


@pytest.fixture
def careful_agent(workspace, agent_on):
    """Its calculator asks a person."""
    return agent_on(
        "text-5", tools=[ToolFactory(workspace=workspace, name="calculator", requires_approval=True)]
    )


async def test_is_told_of_an_approval_while_the_run_waits(worker, webhook, receiver, careful_agent, alice):
    await Webhook.objects.aupdate(events=["approval_required", "run_waiting"])

    await at_rest(await start(alice, careful_agent, 'call calculator {"expression": "6 * 7"}'))
    await delivered(2)

    messages = [verified(webhook.secret, asked) for asked in receiver.asked]
    told = {message["type"]: message["data"] for message in messages}
    assert (told["approval_required"]["tool"], told["run_waiting"]["status"]) == ("calculator", "waiting")


def messages_about(user, agent) -> list[str]:
    """The types of the messages about a run that is started and cancelled."""
    run = start_now(user, agent)
    lifecycle.cancel(run.pk)
    return list(WebhookDelivery.objects.filter(run_id=run.pk).values_list("type", flat=True))


@pytest.mark.parametrize(
    "values", [{"enabled": False}, {"events": ["run_failed"]}], ids=["disabled", "other events"]
)
def test_is_not_told_of_what_it_does_not_want(webhook, agent, alice, values):
    Webhook.objects.update(**values)

    assert messages_about(alice, agent) == []


def test_is_told_of_its_agents_runs_only(webhook, agent, alice, workspace):
    Webhook.objects.update(agent=agent)
    another = AgentFactory(workspace=workspace)

    assert (messages_about(alice, agent), messages_about(alice, another)) == (["run_cancelled"], [])


def test_is_told_nothing_of_another_workspace(webhook, charlie, other_workspace):
    assert messages_about(charlie, AgentFactory(workspace=other_workspace)) == []


def test_is_told_of_nothing_that_is_rolled_back(webhook, agent, alice):
    run = start_now(alice, agent)
    with transaction.atomic():
        lifecycle.cancel(run.pk)
        transaction.set_rollback(True)

    assert not WebhookDelivery.objects.exists()


def test_is_told_of_large_data_by_reference(webhook, agent, alice):
    run = start_now(alice, agent)
    lifecycle.cancel(run.pk, "x" * 70_000)

    data = WebhookDelivery.objects.get().payload["data"]
    assert (data["run_id"], data["size"] > 70_000, len(data["preview"])) == (str(run.pk), True, 1000)
    assert data["payload_id"]


def test_costs_runs_no_query_where_there_is_none(agent, alice, monkeypatch):
    monkeypatch.setattr(outbox, "KEPT_SECONDS", 60.0)
    runs = [start_now(alice, agent) for _ in range(2)]
    lifecycle.cancel(runs[0].pk)

    with CaptureQueriesContext(connection) as captured:
        lifecycle.cancel(runs[1].pk)

    assert [query["sql"] for query in captured if "webhook" in query["sql"]] == []


# how it gets there


async def attempts(delivery: WebhookDelivery, receiver: HttpEndpoint) -> tuple[str, int, int]:
    """Status and attempts, and how often the receiver was asked."""
    await delivery.arefresh_from_db()
    return delivery.status, delivery.attempts, len(receiver.asked)


async def test_gets_one_message_however_often_the_worker_is_woken(worker, webhook, receiver):
    delivery = await in_thread(WebhookDeliveryFactory, webhook=webhook)
    for _ in range(3):
        await in_thread(outbox.wake, delivery.pk, webhook.pk, 0)
    await delivered()
    await in_thread(outbox.wake, delivery.pk, webhook.pk, 0)
    await delivered()

    assert await attempts(delivery, receiver) == ("delivered", 1, 1)


async def test_gets_a_message_whose_job_was_lost(worker, webhook, receiver):
    delivery = await in_thread(WebhookDeliveryFactory, webhook=webhook)
    await in_thread(sweep)
    await delivered()

    assert await attempts(delivery, receiver) == ("delivered", 1, 1)


async def test_gets_a_message_again_whose_worker_was_lost(worker, webhook, receiver):
    """Counted as attempted, and never ended: nobody knows whether it has arrived, so it comes again, with its id."""
    delivery = await in_thread(WebhookDeliveryFactory, webhook=webhook, attempts=1)
    await in_thread(sweep)
    await delivered()

    assert await attempts(delivery, receiver) == ("delivered", 2, 1)
    assert receiver.asked[0].headers["webhook-id"] == str(delivery.pk)


async def test_gets_a_message_again_after_a_fault(worker, webhook, receiver):
    receiver.answer = Answer(status=500, body=b"out of order")
    delivery = await in_thread(editing.send_test, webhook)
    await delivered(response_status=500)
    receiver.answer = Answer(status=204, body=b"")
    await WebhookDelivery.objects.aupdate(next_attempt_at=timezone.now())
    await in_thread(sweep)
    await delivered()

    assert await attempts(delivery, receiver) == ("delivered", 2, 2)
    assert len({asked.headers["webhook-id"] for asked in receiver.asked}) == 1


async def test_waits_longer_and_longer_between_attempts(worker, webhook, receiver):
    receiver.answer = Answer(status=503)
    await in_thread(editing.send_test, webhook)
    waits = []
    for count in range(1, 8):
        (delivery,) = await delivered(attempts=count, response_status=503, retries=count)
        waits.append((delivery.next_attempt_at - timezone.now()).total_seconds())
        await WebhookDelivery.objects.aupdate(next_attempt_at=timezone.now())
        await in_thread(sweep)
    (delivery,) = await delivered(status=Status.FAILED)

    expected = [5, 30, 120, 600, 3600, 21_600, 86_400]
    assert all(0.7 * want < wait < 1.3 * want for wait, want in zip(waits, expected, strict=True))
    assert (delivery.attempts, delivery.next_attempt_at) == (8, None)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=404, body=b"no such hook"), "The endpoint answered HTTP 404."),
        (
            Answer(status=302, headers={"Location": "http://127.0.0.1:9/"}),
            "The endpoint answered HTTP 302. Redirects are not followed.",
        ),
    ],
)
async def test_says_what_the_endpoint_has_answered(worker, webhook, receiver, answer, error):
    receiver.answer = answer
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered(attempts=1, response_status=answer.status)

    assert (delivery.error, delivery.response) == (error, answer.body.decode())
    assert len(receiver.asked) == 1


async def test_keeps_the_beginning_of_a_long_answer(worker, webhook, receiver):
    receiver.answer = Answer(body=b"a\0b" + b"x" * 1_000_000)
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered()

    assert delivery.response == "a\ufffdb" + "x" * 997


async def test_says_when_nobody_answers(worker, webhook, receiver):
    await Webhook.objects.aupdate(url="http://127.0.0.1:9/")
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered(attempts=1, retries=1)

    assert (delivery.response_status, delivery.error) == (
        None,
        "The endpoint cannot be reached, or broke off its answer.",
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/", "http://10.0.0.7/hook", "http://localhost/"])
async def test_is_refused_at_a_private_address(worker, webhook, receiver, settings, url):
    settings.OUTBOUND_ALLOWED_HOSTS = []
    await Webhook.objects.aupdate(url=url)
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered(attempts=1, retries=1)

    assert "refused" in delivery.error


async def test_takes_no_more_than_its_share_of_a_worker(worker, webhook, receiver):
    receiver.answer = Answer(hang=True)
    for _ in range(12):
        await in_thread(editing.send_test, webhook)
    await delivered(7, attempts=0, next_attempt_at__lt=timezone.now() + sending.BUSY * 2)

    assert len(receiver.asked) == 5
    receiver.released.set()


# signatures


async def test_signs_with_both_secrets_for_a_day(worker, webhook, receiver):
    old = webhook.secret
    new = (await in_thread(editing.rotate_secret, webhook)).secret
    await in_thread(editing.send_test, webhook)
    await delivered()

    assert old != new
    assert verified(old, receiver.asked[0]) == verified(new, receiver.asked[0])


async def test_signs_with_the_new_secret_only_after_that(worker, webhook, receiver):
    old = webhook.secret
    await in_thread(editing.rotate_secret, webhook)
    await Webhook.objects.aupdate(previous_until=timezone.now())
    await in_thread(editing.send_test, webhook)
    await delivered()

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(old, receiver.asked[0])


async def test_signs_what_it_sends(worker, webhook, receiver):
    await in_thread(editing.send_test, webhook)
    await delivered()
    asked = receiver.asked[0]
    asked.body = asked.body.replace(b"test", b"rest")

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        verified(webhook.secret, asked)


async def test_sends_json(worker, webhook, receiver):
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered()

    assert receiver.asked[0].headers["content-type"] == "application/json"
    assert json.loads(receiver.asked[0].body) == delivery.payload


# an end to it


async def given_up(webhook: Webhook, failing_for: timedelta) -> Webhook:
    """The webhook after the last attempt at a message, nothing having got through for so long."""
    await Webhook.objects.aupdate(failing_since=timezone.now() - failing_for)
    await in_thread(WebhookDeliveryFactory, webhook=webhook, retries=7, attempts=7)
    await in_thread(sweep)
    await delivered(status=Status.FAILED)
    return await Webhook.objects.aget()


async def test_is_disabled_when_nothing_gets_through_for_long(worker, webhook, receiver):
    receiver.answer = Answer(status=500)

    found = await given_up(webhook, timedelta(days=2))

    assert (found.enabled, found.disabled_reason.startswith("Nothing has got through since 20")) == (
        False,
        True,
    )
    assert found.disabled_reason.endswith("At last: The endpoint answered HTTP 500.")


async def test_stays_enabled_when_something_got_through_lately(worker, webhook, receiver):
    receiver.answer = Answer(status=500)

    assert (await given_up(webhook, timedelta(hours=2))).enabled


async def test_is_disabled_when_its_endpoint_says_that_it_is_gone(worker, webhook, receiver):
    receiver.answer = Answer(status=410)
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered(status=Status.FAILED)

    assert (delivery.attempts, delivery.webhook.enabled) == (1, False)
    assert delivery.webhook.disabled_reason == "Its endpoint answered HTTP 410: it is gone."


async def test_forgets_earlier_failures_when_something_gets_through(worker, webhook, receiver):
    await Webhook.objects.aupdate(failing_since=timezone.now())
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered()

    assert delivery.webhook.failing_since is None


async def test_is_sent_nothing_while_it_is_disabled(worker, webhook, receiver):
    delivery = await in_thread(WebhookDeliveryFactory, webhook=webhook)
    await Webhook.objects.aupdate(enabled=False)
    await in_thread(outbox.wake, delivery.pk, webhook.pk, 0)
    await in_thread(sweep)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await in_thread(jobs):
            await asyncio.sleep(0.01)

    assert await attempts(delivery, receiver) == ("pending", 0, 0)


def jobs() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM procrastinate_jobs")
        return cursor.fetchone()[0]


async def test_is_sent_a_message_again(worker, webhook, receiver):
    await in_thread(editing.send_test, webhook)
    (delivery,) = await delivered()
    await in_thread(editing.replay, delivery)
    await delivered(attempts=2, status=Status.DELIVERED)

    assert await attempts(delivery, receiver) == ("delivered", 2, 2)
    assert {asked.headers["webhook-id"] for asked in receiver.asked} == {str(delivery.pk)}


def test_takes_its_messages_along_when_it_is_deleted(webhook):
    WebhookDeliveryFactory(webhook=webhook)
    editing.delete(webhook)

    assert not WebhookDelivery.objects.exists()


def test_makes_no_run_fail_by_being_deleted_meanwhile(webhook, agent, alice, monkeypatch):
    """A process that has not yet heard of it goes on."""
    monkeypatch.setattr(outbox, "KEPT_SECONDS", 60.0)
    run = start_now(alice, agent)
    Webhook.objects.all().delete()
    lifecycle.cancel(run.pk)

    assert Run.objects.get().status == "cancelled"
