"""/webhooks: made, changed, tested, given new secrets, and what was sent to them."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agentplatform.lib.rotation import encrypted_columns
from agentplatform.lib.secrets import decrypt
from runs.models import Webhook, WebhookDelivery
from runs.tasks import remove_old_deliveries
from tests.factories import AgentFactory, WebhookDeliveryFactory, WebhookFactory, uuid7_at

pytestmark = pytest.mark.django_db


@pytest.fixture
def body():
    return {
        "name": "backend",
        "url": "https://hooks.example.com/agents",
        "events": ["run_completed", "run_failed"],
    }


@pytest.fixture
def webhook(workspace) -> Webhook:
    return WebhookFactory(workspace=workspace, name="backend")


@pytest.fixture
def delivery(webhook) -> WebhookDelivery:
    return WebhookDeliveryFactory(webhook=webhook, status="delivered", attempts=1, response_status=204)


def faults(response) -> list[str]:
    return [entry["field"] for entry in response.json()["error"]["details"]]


# made and changed


def test_answers_what_was_made_with_its_secret(api, olivia, body):
    made = api(olivia).post("/webhooks", body)

    webhook = Webhook.objects.get()
    assert made.status_code == 201
    assert (
        made.json().items()
        >= {
            **body,
            "id": str(webhook.pk),
            "agent_id": None,
            "enabled": True,
            "disabled_reason": "",
            "secret": webhook.secret,
        }.items()
    )


def test_makes_a_secret_as_the_standard_wants_it(api, olivia, body):
    secret = api(olivia).post("/webhooks", body).json()["secret"]

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32


def test_shows_its_secret_no_second_time(api, olivia, body):
    made = api(olivia).post("/webhooks", body).json()
    shown = [api(olivia).get("/webhooks"), api(olivia).get("/webhooks/backend")]
    shown += [api(olivia).put("/webhooks/backend", body), api(olivia).patch("/webhooks/backend", body)]

    assert [answer.status_code for answer in shown] == [200] * 4
    assert not any(made["secret"] in answer.content.decode() for answer in shown)


def test_is_kept_with_its_secrets_encrypted(webhook):
    assert {(Webhook, "secret"), (Webhook, "previous_secret")} <= set(encrypted_columns())
    with connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM runs_webhook")
        assert decrypt(cursor.fetchone()[0]) == webhook.secret


def test_takes_back_what_it_has_answered(api, olivia, webhook):
    shown = api(olivia).get("/webhooks/backend").json()
    shown.pop("updated_at")

    assert api(olivia).put("/webhooks/backend", shown).json().items() >= shown.items()


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "http://10.1.2.3/"}, "url"),
        ({"url": "http://localhost:8000/"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "nothing"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["content_delta"]}, "events.0"),
        ({"agent_id": "nobody"}, "agent_id"),
        ({"name": ""}, "name"),
    ],
)
def test_names_the_field_that_is_wrong(api, olivia, body, wrong, field):
    refused = api(olivia).post("/webhooks", body | wrong)

    assert (refused.status_code, faults(refused)) == (422, [field])


def test_takes_a_private_address_that_an_operator_allows(api, olivia, body, settings):
    settings.OUTBOUND_ALLOWED_HOSTS = ["10.0.0.0/8"]

    assert api(olivia).post("/webhooks", body | {"url": "http://10.1.2.3/"}).status_code == 201


def test_refuses_a_name_that_is_taken(api, olivia, webhook, body):
    assert api(olivia).post("/webhooks", body).status_code == 409


def test_is_told_of_one_agents_runs(api, olivia, workspace, body):
    agent = AgentFactory(workspace=workspace, name="reporter")

    assert api(olivia).post("/webhooks", body | {"agent_id": "reporter"}).json()["agent_id"] == str(agent.pk)


def test_forgets_why_it_was_disabled_when_it_is_enabled(api, olivia, webhook):
    Webhook.objects.update(enabled=False, disabled_reason="Gone.", failing_since=timezone.now())

    enabled = api(olivia).patch("/webhooks/backend", {"enabled": True}).json()

    assert (enabled["enabled"], enabled["disabled_reason"], enabled["failing_since"]) == (True, "", None)


def test_is_deleted_with_its_deliveries(api, olivia, delivery):
    assert api(olivia).delete("/webhooks/backend").status_code == 204
    assert not WebhookDelivery.objects.exists()


def test_can_be_disabled_and_deleted_when_its_address_is_allowed_no_more(api, olivia, webhook):
    Webhook.objects.update(url="http://10.1.2.3/")

    assert api(olivia).patch("/webhooks/backend", {"enabled": False}).status_code == 200
    assert api(olivia).delete("/webhooks/backend").status_code == 204


def test_gets_another_secret(api, olivia, webhook):
    new = api(olivia).post("/webhooks/backend/rotate-secret").json()["secret"]

    found = Webhook.objects.get()
    assert (found.secret, found.previous_secret) == (new, webhook.secret)
    assert timedelta(hours=23) < found.previous_until - timezone.now() <= timedelta(hours=24)


# deliveries


def test_is_tested(api, olivia, webhook):
    answer = api(olivia).post("/webhooks/backend/test")

    assert (answer.status_code, answer.json()["type"], answer.json()["status"]) == (
        202,
        "webhook_test",
        "pending",
    )


def test_is_not_tested_while_it_is_disabled(api, olivia, webhook):
    Webhook.objects.update(enabled=False)

    assert api(olivia).post("/webhooks/backend/test").status_code == 409


def test_shows_its_deliveries(api, olivia, delivery):
    shown = api(olivia).get("/webhooks/backend/deliveries").json()["items"]

    assert [
        item.items()
        >= {
            "id": str(delivery.pk),
            "type": "run_completed",
            "payload": delivery.payload,
            "status": "delivered",
            "attempts": 1,
            "response_status": 204,
        }.items()
        for item in shown
    ] == [True]


def test_lists_its_deliveries_by_status(api, olivia, webhook, delivery):
    failed = WebhookDeliveryFactory(webhook=webhook, status="failed")

    shown = api(olivia).get("/webhooks/backend/deliveries", {"status": "failed"}).json()["items"]

    assert [item["id"] for item in shown] == [str(failed.pk)]


def test_sends_a_message_again(api, olivia, delivery):
    again = api(olivia).post(f"/webhooks/backend/deliveries/{delivery.pk}/replay")

    assert (again.status_code, again.json()["id"], again.json()["status"]) == (
        202,
        str(delivery.pk),
        "pending",
    )


def test_sends_no_message_of_another_webhook(api, olivia, workspace, delivery):
    another = WebhookFactory(workspace=workspace)

    assert api(olivia).post(f"/webhooks/{another.pk}/deliveries/{delivery.pk}/replay").status_code == 404


def test_hides_what_is_of_another_workspace(api, charlie, delivery):
    paths = [f"/webhooks/{delivery.webhook_id}", f"/webhooks/{delivery.webhook_id}/deliveries"]

    assert [api(charlie).get(path).status_code for path in paths] == [404, 404]


@pytest.mark.parametrize("path", ["/webhooks", "/webhooks/backend/deliveries"])
def test_asks_as_often_for_many_as_for_one(api, olivia, workspace, webhook, path):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert api(olivia).get(path).status_code == 200
        return len(captured)

    WebhookDeliveryFactory(webhook=webhook)
    for_one = queries()
    for _ in range(5):
        WebhookDeliveryFactory(webhook=webhook)
        WebhookFactory(workspace=workspace)

    assert queries() == for_one


def test_forgets_deliveries_after_a_month(webhook, delivery):
    long_ago = timezone.now() - timedelta(days=31)
    WebhookDeliveryFactory(webhook=webhook, id=uuid7_at(long_ago), created_at=long_ago)

    assert remove_old_deliveries() is False
    assert list(WebhookDelivery.objects.all()) == [delivery]
