"""Metrics of a worker at a port of its own, and of several processes of a machine at one of them."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured
from prometheus_client.parser import text_string_to_metric_families

from accounts.tokens import AccessToken
from agentplatform.observability import exposition, listener
from agentplatform.observability.listener import listening
from tests.processes import web_process, worker_process

TOKEN = "a-token-of-prometheus"
WITH_TOKEN = {"Authorization": f"Bearer {TOKEN}"}
PATIENCE_SECONDS = 30


@pytest.fixture
def address(settings) -> Iterator[str]:
    settings.METRICS_TOKEN = TOKEN
    with listening("127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def samples(url: str) -> dict[tuple[str, str], float]:
    """By name and first label's value."""
    answer = httpx.get(f"{url}/metrics", headers=WITH_TOKEN, timeout=30)
    assert answer.status_code == 200, answer.text
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


# the port of a worker


def test_is_served_to_whoever_has_the_token(address):
    assert "agentplatform_journal_flush_seconds_count" in {name for name, _ in samples(address)}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
def test_is_refused_to_others(address, headers):
    answer = httpx.get(f"{address}/metrics", headers=headers)

    assert (answer.status_code, "METRICS_TOKEN" in answer.text) == (401, True)


def test_is_served_to_allowed_addresses(address, settings):
    settings.METRICS_ALLOWED_ADDRESSES = [ipaddress.ip_network("127.0.0.0/8")]

    assert httpx.get(f"{address}/metrics").status_code == 200


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 501)])
def test_serves_nothing_else(address, method, path, status):
    assert httpx.request(method, address + path, headers=WITH_TOKEN).status_code == status


def test_lets_go_whoever_says_nothing(settings, monkeypatch):
    monkeypatch.setattr(listener.Handler, "timeout", 0.1)
    with listening("127.0.0.1", 0) as port, socket.create_connection(("127.0.0.1", port), 10) as silent:
        assert silent.recv(1) == b""


def test_says_what_to_set_where_the_port_is_taken():
    with (
        listening("127.0.0.1", 0) as port,
        pytest.raises(ImproperlyConfigured, match="METRICS_PORT"),
        listening("127.0.0.1", port),
    ):
        pass


# several processes


def test_forgets_what_a_killed_process_had_in_hand(tmp_path):
    gone, lives = tmp_path / "gauge_livesum_99999999.db", tmp_path / f"gauge_livesum_{os.getpid()}.db"
    for path in (gone, lives):
        path.touch()
    exposition._bury(str(tmp_path), lambda pid: pid == os.getpid())

    assert (gone.exists(), lives.exists()) == (False, True)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_shows_at_the_web_process_what_its_workers_measure(agent_on, alice, tmp_path: Path):
    agent, port = agent_on("text-5"), free_port()
    measuring = {"METRICS_TOKEN": TOKEN, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    with web_process(**measuring) as web, worker_process(METRICS_PORT=str(port), **measuring) as worker:
        started = httpx.post(
            f"{web}/api/v1/runs",
            json={"agent_id": str(agent.pk), "input": {"messages": [{"role": "user", "content": "hello"}]}},
            headers={"Authorization": f"Bearer {AccessToken.for_user(alice)}"},
            timeout=30,
        )
        assert started.status_code == 202, started.text
        until, ended = time.monotonic() + PATIENCE_SECONDS, ("agentplatform_run_seconds_count", "completed")
        while ended not in (at_web := samples(web)):
            assert time.monotonic() < until
            time.sleep(0.1)
        at_worker = samples(f"http://127.0.0.1:{port}")
        worker.kill()
        worker.wait(10)
        afterwards = samples(web)

    # the web process's own, and its worker's
    assert at_web["agentplatform_http_request_seconds_count", "POST"] == 1
    assert at_web["agentplatform_model_call_seconds_count", "text-5"] == 1
    assert at_web["agentplatform_model_time_to_first_token_seconds_count", "text-5"] == 1
    assert at_worker[ended] == 1
    # the database's figures are at the web process only, and what has happened outlives the worker
    assert ("agentplatform_workers", "") in at_web
    assert ("agentplatform_workers", "") not in at_worker
    assert at_web["agentplatform_worker_places", ""] == 200
    assert (afterwards["agentplatform_worker_places", ""], afterwards[ended]) == (0, 1)
