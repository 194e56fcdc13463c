"""GET /metrics of a web process: who may read it, and what Prometheus finds there."""

from __future__ import annotations

import ipaddress
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from accounts.tokens import AccessToken
from agentplatform.health import checks
from agentplatform.health.checks import Check, Unhealthy
from agentplatform.lib.telemetry.metrics import OTHER, Names
from agentplatform.observability import database_figures, views
from agentplatform.observability.database_figures import DatabaseFigures, counted, look, not_ended
from runs.models import Run, Status
from runs.queueing import figures as queue_figures
from tests.factories import ApiKeyFactory, RunFactory, UserFactory

TOKEN = "a-token-of-prometheus"


@pytest.fixture
def figures(monkeypatch) -> DatabaseFigures:
    """Nothing that another test has looked at."""
    fresh = DatabaseFigures()
    monkeypatch.setattr(views, "database_figures", fresh)
    return fresh


@pytest.fixture
def prometheus(settings, figures, one_thread) -> Client:
    settings.METRICS_TOKEN = TOKEN
    return Client(headers={"Authorization": f"Bearer {TOKEN}"})


def families(client: Client, **headers: str) -> dict[str, Any]:
    """What Prometheus' own parser makes of the answer: samples by name."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = {}
    for family in text_string_to_metric_families(answer.content.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def value(found: dict[str, Any], name: str, **labels: str) -> float | None:
    return found.get(f"agentplatform_{name}", {}).get(tuple(sorted(labels.items())))


# who may read


def test_is_closed_to_everybody_by_default(client, one_thread):
    answer = client.get("/metrics")

    assert (answer.status_code, "METRICS_TOKEN" in answer.content.decode()) == (401, True)


@pytest.mark.parametrize("sent", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_is_closed_to_whoever_has_not_the_token(client, settings, one_thread, sent):
    settings.METRICS_TOKEN = TOKEN

    assert client.get("/metrics", headers={"Authorization": sent}).status_code == 401


def test_is_closed_to_an_empty_token_where_none_is_set(client, one_thread):
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_is_open_to_whoever_has_the_token(prometheus):
    assert prometheus.get("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("address", "status"), [("10.1.2.3", 200), ("10.2.0.1", 401), ("not an address", 401)]
)
def test_is_open_to_allowed_addresses(client, settings, figures, one_thread, address, status):
    settings.METRICS_ALLOWED_ADDRESSES = [ipaddress.ip_network("10.1.0.0/16")]

    assert client.get("/metrics", REMOTE_ADDR=address).status_code == status


def test_believes_no_header_about_the_address(client, settings, one_thread):
    settings.METRICS_ALLOWED_ADDRESSES = [ipaddress.ip_network("10.1.0.0/16")]
    answer = client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}, REMOTE_ADDR="192.0.2.1")

    assert answer.status_code == 401


def test_is_closed_to_admins_of_a_workspace(client, alice, one_thread):
    token = f"Bearer {AccessToken.for_user(alice)}"

    assert client.get("/metrics", headers={"Authorization": token}).status_code == 401


def test_is_open_to_superusers(client, figures, one_thread, db):
    client.force_login(UserFactory(is_superuser=True))

    assert client.get("/metrics").status_code == 200


def test_is_closed_to_a_superusers_api_key(client, workspace, one_thread):
    key = ApiKeyFactory(workspace=workspace, user=UserFactory(is_superuser=True))

    assert client.get("/metrics", headers={"X-API-Key": key.text}).status_code == 401


def test_answers_whatever_name_the_process_is_called_by(prometheus):
    assert prometheus.get("/metrics", headers={"Host": "10.244.0.17:8000"}).status_code == 200


def test_is_not_sent_on_to_https(prometheus, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert (
        Client(headers=prometheus.defaults)
        .get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        .status_code
        == 200
    )


def test_is_only_read(prometheus):
    assert prometheus.post("/metrics").status_code == 405


# what it says


def test_speaks_openmetrics_to_whoever_asks_for_it(prometheus):
    answer = prometheus.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    names = {family.name for family in read_openmetrics(answer.content.decode())}

    assert {"agentplatform_http_request_seconds", "agentplatform_events"} <= names


def test_counts_requests_by_route_method_and_class_of_status(prometheus, api, alice):
    labels = {"method": "GET", "route": "/api/v1/agents/{pk}", "status": "4xx"}
    before = value(families(prometheus), "http_request_seconds_count", **labels) or 0
    api(alice).get("/agents/nobody-knows-it")

    assert value(families(prometheus), "http_request_seconds_count", **labels) == before + 1


def test_names_no_path_that_is_not_in_the_url_map(prometheus, client):
    client.get("/alice@example.com")
    client.generic("BREW", "/alice@example.com")

    assert "alice" not in prometheus.get("/metrics").content.decode()


@pytest.mark.django_db(transaction=True)
def test_counts_runs_that_have_not_ended(prometheus, workspace):
    RunFactory(workspace=workspace, status=Status.PAUSED)
    RunFactory(workspace=workspace, status=Status.COMPLETED)
    found = families(prometheus)

    assert (value(found, "runs", status="paused"), value(found, "runs", status="running")) == (1, 0)


@pytest.mark.django_db(transaction=True)
def test_tells_depth_and_wait_of_the_queue(prometheus, workspace):
    RunFactory(
        workspace=workspace, status=Status.QUEUED, queued_at=timezone.now() - timedelta(minutes=5), job_id=1
    )
    found = families(prometheus)

    assert value(found, "queue_depth") == 1
    assert value(found, "queue_oldest_wait_seconds") >= 300


@pytest.mark.django_db(transaction=True)
def test_names_no_tenant(prometheus, workspace):
    RunFactory(workspace=workspace, status=Status.PAUSED)

    assert workspace.slug not in prometheus.get("/metrics").content.decode()


def test_asks_the_database_once_in_a_while(prometheus, monkeypatch, figures):
    looks = []
    monkeypatch.setattr(database_figures, "FRESH_SECONDS", 600)
    monkeypatch.setattr(figures, "_check", Check("metrics", lambda: looks.append(1) or look()))
    for _ in range(3):
        families(prometheus)

    assert len(looks) == 1


def test_asks_the_database_for_little(db, django_assert_num_queries):
    # With the transaction and its time limit.
    with django_assert_num_queries(7):
        look()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (lambda: counted(not_ended(), "status"), "run_of_model"),
        (lambda: queue_figures._lines(Run.objects.all()), "run_active"),
    ],
    ids=["runs", "queue"],
)
def test_reads_only_runs_that_have_not_ended(db, query, index):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")

    assert index in query().explain()


def test_answers_without_the_database(prometheus, monkeypatch, figures):
    def broken() -> dict[str, Any]:
        raise Unhealthy("It is away.")

    monkeypatch.setattr(figures, "_check", Check("metrics", broken))
    found = families(prometheus)

    assert (value(found, "database_up"), "agentplatform_runs" in found) == (0, False)
    assert "agentplatform_events_total" in found or "agentplatform_journal_retries_total" in found


def test_does_not_wait_for_a_database_that_hangs(prometheus, monkeypatch, figures):
    released = threading.Event()

    def hang() -> dict[str, Any]:
        released.wait(30)
        return {}

    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.05)
    monkeypatch.setattr(figures, "_check", Check("metrics", hang))
    try:
        assert value(families(prometheus), "database_up") == 0
    finally:
        released.set()


def test_gives_up_queries_that_take_too_long(db):
    with connection.cursor() as cursor:
        look()
        cursor.execute("SHOW statement_timeout")

        assert cursor.fetchone() == ("1200ms",)


# names of models


def test_bounds_how_many_models_have_a_name():
    names = Names(2)

    assert [names.bounded(name) for name in ("a", "b", "c", "a")] == ["a", "b", OTHER, "a"]


def test_leaves_out_what_owners_call_their_fine_tuned_models():
    assert Names(2).bounded("ft:gpt-4o-mini:acme:secret-plan:8xyz") == "ft:gpt-4o-mini"
