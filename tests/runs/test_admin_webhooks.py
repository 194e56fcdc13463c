"""Webhooks in the admin: what they are told of, what became of it, and testing and switching them."""

from __future__ import annotations

import pytest

from runs.models import Webhook, WebhookDelivery
from tests.factories import WebhookDeliveryFactory, WebhookFactory
from tests.runs.admin_support import queries_of, said, signed_in

pytestmark = pytest.mark.django_db

LIST = "/admin/runs/webhook/"


@pytest.fixture
def webhook(workspace) -> Webhook:
    return WebhookFactory(workspace=workspace, name="backend")


def page_of(webhook: Webhook) -> str:
    return f"{LIST}{webhook.pk}/change/"


def press(client, webhook: Webhook, button: str):
    return client.post(f"{LIST}{webhook.pk}/{button}/", {"_form_submitted": "true"})


def buttons(client, webhook: Webhook) -> set[str]:
    text = client.get(page_of(webhook)).content.decode()
    return {name for name in ("test", "enable", "disable") if f"{LIST}{webhook.pk}/{name}/" in text}


def test_shows_its_deliveries(webhook, olivia):
    WebhookDeliveryFactory(webhook=webhook, status="failed", response_status=503, error="It is out of order.")
    page = signed_in(olivia).get(page_of(webhook)).content.decode()

    assert all(text in page for text in ("run_completed", "Failed", "503", "It is out of order."))


def test_shows_why_it_is_disabled(workspace, olivia):
    webhook = WebhookFactory(workspace=workspace, enabled=False, disabled_reason="Nothing has got through.")

    assert "Nothing has got through." in signed_in(olivia).get(page_of(webhook)).content.decode()


def test_shows_its_secret_nowhere(webhook, olivia):
    client = signed_in(olivia)
    pages = [client.get(path).content.decode() for path in (LIST, page_of(webhook))]

    assert not any(webhook.secret in page for page in pages)


def test_shows_none_of_another_workspace(webhook, charlie):
    assert signed_in(charlie).get(page_of(webhook)).status_code == 302


def test_is_for_those_who_operate(webhook, bob, vera):
    assert [signed_in(user).get(LIST).status_code for user in (bob, vera)] == [403, 403]


def test_is_read_only(webhook, olivia):
    client = signed_in(olivia)

    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(page_of(webhook), {"name": "other"}).status_code == 403


@pytest.mark.parametrize(("enabled", "offered"), [(True, {"test", "disable"}), (False, {"enable"})])
def test_offers_the_buttons_that_make_sense(workspace, olivia, enabled, offered):
    assert buttons(signed_in(olivia), WebhookFactory(workspace=workspace, enabled=enabled)) == offered


def test_sends_a_test_message(webhook, olivia):
    messages = said(press(signed_in(olivia), webhook, "test"))

    assert WebhookDelivery.objects.get().type == "webhook_test"
    assert messages == ["A test message is on its way."]


def test_is_disabled(webhook, olivia):
    messages = said(press(signed_in(olivia), webhook, "disable"))

    assert (Webhook.objects.get().enabled, messages) == (False, ["backend is disabled."])


def test_is_enabled_and_forgets_why_it_was_not(webhook, olivia):
    Webhook.objects.update(enabled=False, disabled_reason="Gone.")
    press(signed_in(olivia), webhook, "enable")

    assert Webhook.objects.values_list("enabled", "disabled_reason").get() == (True, "")


def test_is_deleted_with_its_deliveries(webhook, olivia):
    WebhookDeliveryFactory(webhook=webhook)
    signed_in(olivia).post(f"{LIST}{webhook.pk}/delete/", {"post": "yes"})

    assert (Webhook.objects.exists(), WebhookDelivery.objects.exists()) == (False, False)


def test_asks_as_often_for_many_as_for_one(workspace, olivia):
    client = signed_in(olivia)
    WebhookFactory(workspace=workspace)
    for_one = queries_of(client, LIST)
    for _ in range(5):
        WebhookFactory(workspace=workspace)

    assert queries_of(client, LIST) == for_one
