"""`manage.py rotate_secrets`: what is stored goes under the first key, and older keys may go."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import TextField
from django.db.models.functions import Cast

from agentplatform.lib import rotation
from agents.models import Secret

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


@pytest.fixture
def stored(workspace, settings):
    """Three secrets written under the old key; the new one stands before it now."""
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    secrets = [Secret.objects.create(workspace=workspace, value=f"value {number}") for number in range(3)]
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    return secrets


def tokens():
    return list(Secret.objects.order_by("pk").annotate(token=Cast("value", TextField())).values_list("token"))


def test_makes_the_old_key_dispensable(stored, settings):
    call_command("rotate_secrets")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    values = Secret.objects.order_by("pk").values_list("value", flat=True)
    assert list(values) == ["value 0", "value 1", "value 2"]


def test_says_how_many(stored, capsys):
    call_command("rotate_secrets")
    assert capsys.readouterr().out.splitlines() == [
        "agents_secret.value: 3 written anew, 0 were current.",
        "runs_webhook.secret: 0 written anew, 0 were current.",
        "runs_webhook.previous_secret: 0 written anew, 0 were current.",
    ]


def test_writes_nothing_when_repeated(stored, capsys):
    call_command("rotate_secrets")
    before = tokens()
    capsys.readouterr()
    call_command("rotate_secrets")
    assert tokens() == before
    assert capsys.readouterr().out.startswith("agents_secret.value: 0 written anew, 3 were current.\n")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_works_in_bounded_batches(stored, monkeypatch, settings, size):
    monkeypatch.setattr(rotation, "BATCH", size)
    assert rotation.rotate(Secret, "value").written == 3


def test_keeps_the_hint(stored):
    Secret.objects.update(hint="1234")
    call_command("rotate_secrets")
    assert set(Secret.objects.values_list("hint", flat=True)) == {"1234"}


def test_leaves_what_no_key_opens_and_says_so(stored, workspace, settings):
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    lost = Secret.objects.create(workspace=workspace, value="lost")
    before = tokens()[-1]
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match=r"^No key of FIELD_ENCRYPTION_KEYS opens 1 of"):
        call_command("rotate_secrets")
    assert tokens()[-1] == before
    assert rotation.rotate(Secret, "value").current == 3
    assert Secret.objects.only("pk").last() == lost


def test_finds_every_encrypted_column(db):
    """A text column of the database that holds Fernet tokens is one of these fields."""
    columns = {(model._meta.db_table, name) for model, name in rotation.encrypted_columns()}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " WHERE col_description(attrelid, attnum) LIKE 'Fernet token%'"
        )
        assert set(cursor.fetchall()) == columns
