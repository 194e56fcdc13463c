"""`manage.py doctor`: each check sees what it is for, and no dead component keeps it."""

from __future__ import annotations

import json
import os
import socketserver
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.db import connection, connections
from django.utils import timezone

from agentplatform.doctor import configuration, database, host, services, work
from agentplatform.doctor.examination import Check, Status, examine, ok, problem
from agentplatform.lib.hash_chain import seal_next
from agents.models import Secret
from billing.sealing import LEDGER
from runs.models import Run, Worker
from tests.deployment.silent import silent_server
from tests.factories import ChatModelFactory, RunFactory, UsageRecordFactory


def told(findings) -> dict[str, str]:
    """What is not right, by its message, and what is to be done."""
    return {finding.message: finding.remedy for finding in findings if finding.status != Status.OK}


# How checks are made


def test_waits_for_no_check_that_hangs():
    release = threading.Event()
    report = examine(
        [Check("hangs", lambda: release.wait(60), remedy="Wake it."), Check("is well", fine)], limit=0.5
    )
    release.set()

    assert [(result.check, result.status) for result in report.results] == [
        ("hangs", "problem"),
        ("is well", "ok"),
    ]
    assert report.results[0].findings[0].remedy == "Wake it."


def fine() -> Iterator:
    yield ok("It is well.")


def test_makes_no_check_in_vain():
    asked = []
    broken = Check("database", lambda: iter([problem("gone", "start it")]))
    report = examine([Check("tables", lambda: asked.append(1), needs="database"), broken], limit=1)

    assert (asked, report.left_out, report.status) == ([], ["tables"], "problem")


def test_takes_what_a_check_raises_for_a_problem():
    def breaks() -> Iterator:
        raise ConnectionError("refused")
        yield

    (result,) = examine([Check("one", breaks, remedy="Mend it.")]).results

    assert (result.findings[0].message, result.findings[0].remedy) == ("ConnectionError: refused", "Mend it.")


# Settings


@pytest.mark.parametrize(
    ("look", "changes", "said"),
    [
        (configuration.look_at_debug, {"DEBUG": True}, "DEBUG is on"),
        (configuration.look_at_keys, {"SECRET_KEY": "short"}, "SECRET_KEY can be guessed"),
        (configuration.look_at_keys, {"JWT_SECRET_KEYS": ["short"]}, "JWT_SECRET_KEY has a key"),
        (
            configuration.look_at_keys,
            {"FIELD_ENCRYPTION_KEYS": ["no Fernet key"]},
            "must be comma-separated Fernet keys",
        ),
        (configuration.look_at_hosts, {"ALLOWED_HOSTS": ["*"]}, "lets every name in"),
        (configuration.look_at_hosts, {"ALLOWED_HOSTS": ["localhost"]}, "this machine only"),
        (configuration.look_at_https, {"HTTPS": False}, "HTTPS is off"),
        (configuration.look_at_https, {"HTTPS": True, "TRUSTED_PROXIES": 0}, "redirected for ever"),
    ],
)
def test_sees_unsafe_settings(settings, look, changes, said):
    for name, value in changes.items():
        setattr(settings, name, value)
    (message,) = [message for message in told(look()) if said in message]

    assert told(look())[message]


def test_sees_that_a_key_is_being_rotated(settings):
    settings.FIELD_ENCRYPTION_KEYS = [
        *settings.FIELD_ENCRYPTION_KEYS,
        "b3RoZXItb25seS1mb3ItdGVzdHMtb25seS1mb3ItdDE=",
    ]

    assert ["rotate_secrets" in remedy for remedy in told(configuration.look_at_keys()).values()] == [True]


def test_sees_keys_that_others_can_read(settings, tmp_path):
    settings.DATA_DIR = tmp_path
    (tmp_path / "secrets.json").write_text("{}")
    (tmp_path / "secrets.json").chmod(0o644)

    assert ["can be read by others" in message for message in told(configuration.look_at_secrets_file())] == [
        True
    ]


# The database


def test_sees_a_database_that_accepts_and_never_answers(monkeypatch):
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    with silent_server() as port:
        parameters = {"host": "127.0.0.1", "port": port, "dbname": "any"}
        monkeypatch.setattr(type(connections["default"]), "get_connection_params", lambda _: parameters)
        started = time.monotonic()
        (result, *_) = examine(database.checks(2)[:2], limit=10).results

    assert (result.status, time.monotonic() - started < 9) == ("problem", True)
    assert "check DATABASE_URL" in result.findings[0].remedy.replace("Check", "check")


@pytest.mark.django_db
def test_is_content_with_the_database_of_the_tests():
    report = examine(database.checks(2), limit=30)

    assert [result.check for result in report.results if result.status == Status.PROBLEM] == []


def test_sees_an_old_server(monkeypatch, db):
    monkeypatch.setattr(database, "OLDEST_MAJOR", 99)

    assert [
        remedy for message, remedy in told(database.look_at_reach()).items() if "The server is" in message
    ] == ["Use PostgreSQL 99 or newer."]


def test_sees_missing_migrations(monkeypatch):
    monkeypatch.setattr(database, "missing_migrations", lambda: ["runs.0099_more"])

    assert told(database.look_at_migrations()) == {
        "1 migrations are not applied: runs.0099_more.": "Run manage.py init_db."
    }


@pytest.mark.django_db
def test_sees_a_role_that_could_change_the_ledger():
    assert len(told(database.look_at_rights())) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("granted", [True, False])
def test_is_content_with_a_role_that_only_has_its_rights(granted):
    """As docs/ledger.md makes it; without the grants nothing works."""
    role = f"serves_{uuid.uuid4().hex[:8]}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE ROLE {role}")
        if granted:
            cursor.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
            cursor.execute(
                f"REVOKE UPDATE, DELETE, TRUNCATE ON billing_usagerecord, billing_ledgerseal FROM {role}"
            )
        cursor.execute(f"SET LOCAL ROLE {role}")
        findings = told(database.look_at_rights())
        cursor.execute("RESET ROLE")

    assert ["may not read and write" in message for message in findings] == ([] if granted else [True])


@pytest.mark.django_db
def test_counts_the_connections_that_processes_may_open():
    assert told(database.look_at_room(1)) == {}
    assert [message for message in told(database.look_at_room(1000)) if "1000 web processes" in message]


@pytest.mark.django_db
@pytest.mark.parametrize(("apart", "status"), [(5, "warning"), (100, "problem")])
def test_sees_clocks_that_differ(monkeypatch, apart, status):
    now = time.time
    monkeypatch.setattr(database.time, "time", lambda: now() + apart)

    assert [finding.status for finding in database.look_at_clock()] == [status]


# Redis


def test_sees_a_redis_that_accepts_and_never_answers(settings, monkeypatch):
    monkeypatch.setattr(services, "SECONDS", 0.5)
    with silent_server() as port:
        settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"
        (result,) = examine([services.CHECKS[0]], limit=20).results

    assert (result.status, "TimeoutError" in result.findings[0].message) == ("problem", True)


def test_asks_for_a_redis_where_there_are_several_processes(settings):
    settings.REDIS_URL = ""

    assert ["REDIS_URL" in remedy for remedy in told(services.look_at_redis()).values()] == [True]


@pytest.mark.parametrize(
    ("memory", "count"),
    [
        ({"maxmemory": 0, "maxmemory_policy": "noeviction", "used_memory": 5}, 0),
        ({"maxmemory": 100, "maxmemory_policy": "noeviction", "used_memory": 5}, 1),
        ({"maxmemory": 100, "maxmemory_policy": "allkeys-lru", "used_memory": 95}, 1),
    ],
)
def test_sees_a_redis_that_will_be_full(memory, count):
    assert len(told(services.judge_memory(memory))) == count


@pytest.mark.external
def test_is_content_with_a_redis_that_answers(settings, monkeypatch):
    if not os.environ.get("REDIS_URL"):
        pytest.skip("REDIS_URL is not set: .ci/run runs this against a real Redis")
    monkeypatch.setattr(services, "SLOW_MILLISECONDS", 10_000)
    settings.REDIS_URL = os.environ["REDIS_URL"]

    assert told(services.look_at_redis()) == {}


# Files and mail


def test_writes_reads_and_deletes_in_the_storage(monkeypatch):
    assert told(services.look_at_storage()) == {}
    monkeypatch.setattr(services.default_storage, "delete", lambda name: None)
    assert ["does not delete" in message for message in told(services.look_at_storage())] == [True]


def test_sees_a_storage_that_cannot_be_written(monkeypatch):
    def refuse(*_) -> str:
        raise PermissionError("read-only")

    monkeypatch.setattr(services.default_storage, "save", refuse)
    (result,) = examine([services.CHECKS[1]]).results

    assert (result.status, "STORAGE_URL" in result.findings[0].remedy) == ("problem", True)


class Greeting(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 mail.example.com\r\n")
        while line := self.rfile.readline():
            self.wfile.write(b"221 bye\r\n" if line.startswith(b"QUIT") else b"250 fine\r\n")


def test_signs_in_at_the_mail_server(settings):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.server_address[1]
        findings = list(services.look_at_mail())
        server.shutdown()

    assert findings == [ok("127.0.0.1 takes mail.")]


def test_sees_a_mail_server_that_accepts_and_never_answers(settings, monkeypatch):
    monkeypatch.setattr(services, "SECONDS", 0.5)
    with silent_server() as port:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        (result,) = examine([services.CHECKS[2]], limit=20).results

    assert (result.status, "EMAIL_HOST" in result.findings[0].remedy) == ("problem", True)


# Work


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("beats", "said"),
    [([], "No worker is alive"), ([0], "There is one worker"), ([0, 0, 60], "without signing off")],
)
def test_sees_what_is_wrong_with_workers(beats, said):
    for number, seconds in enumerate(beats):
        beat = timezone.now() - timedelta(seconds=seconds)
        Worker.objects.create(host="one", pid=number + 1, concurrency=5, beat_at=beat)

    assert [message for message in told(work.look_at_workers()) if said in message]


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "status"), [(1, "ok"), (100, "warning"), (1000, "problem")])
def test_sees_runs_that_wait_too_long(workspace, seconds, status):
    run = RunFactory(workspace=workspace, status="queued")
    Run.objects.filter(pk=run.pk).update(
        queued_at=timezone.now() - timedelta(seconds=seconds), job_id=1, session=None
    )

    assert [finding.status for finding in work.look_at_queue()] == [status]


@pytest.mark.django_db
def test_sees_that_nobody_seals_the_ledger(workspace, monkeypatch):
    UsageRecordFactory(workspace=workspace)
    assert not [message for message in told(work.look_at_seals()) if "ledger" in message]
    monkeypatch.setattr(work, "UNSEALED_FOR", timedelta(0))
    assert [message for message in told(work.look_at_seals()) if "ledger" in message]


@pytest.mark.django_db
def test_sees_that_the_ledger_was_signed_with_another_key(workspace, settings):
    UsageRecordFactory(workspace=workspace)
    seal_next(LEDGER)
    assert told(work.look_at_signatures()) == {}
    settings.SECRET_KEY = "another one " * 5
    assert ["unsigned" in message for message in told(work.look_at_signatures())] == [True]


@pytest.mark.django_db
def test_sees_secrets_that_no_key_opens(workspace, settings):
    Secret.objects.create(workspace=workspace, value="an API key")
    assert told(work.look_at_secrets()) == {}
    settings.FIELD_ENCRYPTION_KEYS = ["b3RoZXItb25seS1mb3ItdGVzdHMtb25seS1mb3ItdDE="]
    assert ["opens 1 of" in message for message in told(work.look_at_secrets())] == [True]


# This machine


@pytest.mark.parametrize(
    ("little", "enough", "status"), [(1, 0, "ok"), (1 << 60, 0, "warning"), (1 << 60, 1 << 60, "problem")]
)
def test_sees_full_disks(monkeypatch, little, enough, status):
    monkeypatch.setattr(host, "LITTLE", little)
    monkeypatch.setattr(host, "TOO_LITTLE", enough)

    assert {finding.status for finding in host.look_at_disks()} == {status}


@pytest.mark.django_db
def test_sees_hosts_that_cannot_be_resolved(workspace, monkeypatch):
    ChatModelFactory(workspace=workspace, provider="openai", base_url="http://models.invalid:8080/v1")
    assert ["models.invalid" in message for message in told(host.look_at_names())] == [True]
    monkeypatch.setattr(host.socket, "getaddrinfo", lambda *_, **__: [])
    assert told(host.look_at_names()) == {}


def test_sees_missing_static_files(monkeypatch):
    assert told(host.look_at_static_files()) == {}
    monkeypatch.setattr(host, "STATIC_SAMPLES", ("runs/none.js",))
    assert ["runs/none.js" in message for message in told(host.look_at_static_files())] == [True]


# The command


@pytest.mark.django_db
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_ends_with_status_1_where_there_is_a_problem(arguments, settings):
    settings.DEBUG = True
    output = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", *arguments, "--seconds", "30", stdout=output)
    text = output.getvalue()

    assert ended.value.code == 1
    if arguments:
        document = json.loads(text)
        assert (document["status"], document["checks"][0]["check"]) == ("problem", "settings.debug")
    else:
        assert "PROBLEM settings.debug: DEBUG is on" in text
    assert configured.SECRET_KEY not in text
