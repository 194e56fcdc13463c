"""Names that come into the audit log for the first time, from two sides at once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from accounts import audit
from accounts.audit import Action, AuditEntry
from accounts.audit.models import AuditName

pytestmark = pytest.mark.django_db(transaction=True)


def tell(user) -> None:
    audit.record(Action.UPDATED, user=user)


def tell_elsewhere(user) -> list[Exception]:
    """On another connection, which waits for nobody longer than a second."""
    faults: list[Exception] = []

    def run() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '1s'")
                tell(user)
        except Exception as error:
            faults.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return faults


def test_waits_for_nobody_who_brings_the_same_name(alice):
    with transaction.atomic():
        tell(alice)
        assert tell_elsewhere(alice) == []
    assert set(AuditEntry.objects.values_list("user_name__name", flat=True)) == {"alice"}


def test_erases_a_name_that_came_twice(alice):
    with transaction.atomic():
        tell(alice)
        tell_elsewhere(alice)
    audit.erase_names(alice.pk)
    assert not AuditName.objects.filter(name="alice").exists()


def test_takes_a_name_that_is_there(alice):
    tell(alice)
    tell(alice)
    assert AuditName.objects.filter(name="alice").count() == 1
