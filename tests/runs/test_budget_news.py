"""Levels of budgets that were reached: told to webhooks and by mail, once."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from smtplib import SMTPException

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import connection
from django.utils import timezone

from billing.models import BudgetNotice
from runs import budget_news
from runs.models import WebhookDelivery
from tests.billing.budgets import Calls
from tests.factories import BudgetFactory, PriceFactory, WebhookFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def reached(workspace):
    """A budget of 0.01 of which half is spent, and its one notice."""
    PriceFactory(workspace=workspace)
    budget = BudgetFactory(
        workspace=workspace, name="daily", limit_amount=Decimal("0.02"), recipients=["finance@example.com"]
    )
    Calls.of(workspace).make()
    return budget.notices.get()


@pytest.fixture
def mail_server(settings):
    settings.EMAIL_HOST = "mail.example.com"


def send(notice: BudgetNotice, lease: datetime | None = None) -> None:
    """As its job does, by default the last."""
    notice.refresh_from_db(fields=["mail_at"])
    if lease := lease or notice.mail_at:
        budget_news.mail(notice.budget_id, notice.period_start, notice.level, lease)


def test_tells_webhooks_of_it_once(workspace, other_workspace, reached):
    WebhookFactory(workspace=workspace, events=["budget.warning"])
    WebhookFactory(workspace=workspace, events=["budget.exceeded"])
    WebhookFactory(workspace=other_workspace, events=["budget.warning"])
    budget_news.tell()
    budget_news.tell()

    (delivery,) = WebhookDelivery.objects.filter(type="budget.warning")
    assert delivery.payload["data"]["budget"] == "daily"
    assert (delivery.payload["data"]["level"], delivery.payload["data"]["used"]) == (50, "0.01")


def test_tells_that_it_is_exceeded_under_another_name(workspace, reached):
    WebhookFactory(workspace=workspace, events=["budget.warning", "budget.exceeded"])
    Calls.of(workspace).make()
    budget_news.tell()

    types = WebhookDelivery.objects.order_by("pk").values_list("type", flat=True)
    assert sorted(types) == ["budget.exceeded", "budget.warning", "budget.warning"]


def test_mails_those_who_are_named(reached, mail_server):
    budget_news.tell()
    send(reached)

    (sent,) = mail.outbox
    assert sent.recipients() == ["finance@example.com"]
    assert sent.subject == "agentplatform: the budget daily has reached 50 %"
    assert "Spent: 0.01 of 0.02 USD" in sent.body


def test_mails_once_however_often_its_job_comes(reached, mail_server):
    budget_news.tell()
    reached.refresh_from_db()
    lease = reached.mail_at
    send(reached, lease)
    send(reached, lease)

    assert len(mail.outbox) == 1


def test_is_mailed_by_one_of_two_jobs_at_a_time(reached, mail_server, monkeypatch):
    """The second comes while the mail server has not answered the first yet."""
    budget_news.tell()
    reached.refresh_from_db()
    lease, really_send, coming = reached.mail_at, EmailMessage.send, [1]

    def slowly(message):
        if coming:
            coming.pop()
            send(reached, lease)
        return really_send(message)

    monkeypatch.setattr(EmailMessage, "send", slowly)
    send(reached, lease)

    assert len(mail.outbox) == 1


@pytest.mark.django_db(transaction=True)
def test_locks_nothing_while_the_mail_server_takes_its_time(reached, mail_server, monkeypatch):
    in_transaction = []
    monkeypatch.setattr(
        EmailMessage, "send", lambda message: in_transaction.append(connection.in_atomic_block)
    )
    budget_news.tell()
    send(reached)

    assert in_transaction == [False]


def test_is_mailed_again_where_the_mail_server_refuses(reached, mail_server, monkeypatch):
    def refuse(message):
        raise SMTPException("busy")

    monkeypatch.setattr(EmailMessage, "send", refuse)
    budget_news.tell()
    with pytest.raises(SMTPException):
        send(reached)

    assert BudgetNotice.objects.get(level=50).mail_at > timezone.now()


def test_is_mailed_again_after_a_lost_job(reached, mail_server):
    budget_news.tell()
    budget_news.send_due()
    leased = BudgetNotice.objects.get(level=50).mail_at
    BudgetNotice.objects.update(mail_at=timezone.now() - timedelta(seconds=1))
    budget_news.send_due()

    assert leased > timezone.now()
    assert BudgetNotice.objects.get(level=50).mail_at > timezone.now()


def test_mails_nobody_without_a_mail_server(reached, settings):
    settings.EMAIL_HOST = ""
    budget_news.tell()
    budget_news.send_due()
    send(reached)

    assert mail.outbox == []


def test_puts_no_line_of_a_name_into_a_header(reached, mail_server):
    reached.budget.name = "daily\nBcc: eve@example.com"
    reached.budget.save()
    budget_news.tell()
    send(reached)

    assert "\n" not in mail.outbox[0].subject
