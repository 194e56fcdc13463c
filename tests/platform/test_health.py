"""/health, /health/detailed, /health/liveness and /health/readiness."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psycopg
import pytest
from django.core.cache import CacheHandler

from agentplatform.health import checks
from agentplatform.health.checks import UNHEALTHY, Check, MigrationsLook, Unhealthy, process_problem
from agentplatform.health.detail import past_threshold
from runs.live import hub
from tests.deployment.silent import silent_server
from tests.processes import PROJECT


def broken():
    raise ConnectionError("could not reach db.internal as user secret-user")


@pytest.fixture
def without(monkeypatch):
    """`without("database")`: from now on that component fails."""

    def fail(name, look=broken):
        monkeypatch.setattr(checks, name, Check(name, look))

    return fail


# /health


def test_is_healthy(api, db):
    answer = api().get("/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "healthy")


def test_has_the_fields_of_the_contract(api, db):
    health = api().get("/health").json()

    assert (health.keys(), health["components"].keys()) == (
        {"status", "version", "timestamp", "components"},
        {"database", "cache", "llm"},
    )


def test_says_where_no_model_is_configured(api, db):
    assert api().get("/health").json()["components"]["llm"] == "not_configured"


@pytest.mark.parametrize("path", ["/health", "/health/", "/api/health", "/api/v1/health"])
def test_answers_at_each_of_its_addresses(client, db, path):
    assert client.get(path).status_code == 200


def test_is_unhealthy_without_the_database(api, without, db):
    without("database")
    answer = api().get("/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")


def test_is_degraded_without_the_cache(api, without, db):
    without("shared_cache")
    answer = api().get("/health")

    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


def test_keeps_to_itself_what_exactly_is_wrong(api, without, db):
    without("database")

    assert "secret-user" not in api().get("/health/readiness").content.decode()


def test_is_not_closed_by_a_stale_token(client, db):
    assert client.get("/health", headers={"Authorization": "Bearer nonsense"}).status_code == 200


def test_answers_probes_that_know_its_address_only(client, db, settings):
    """As a container's health check and a proxy's ask: neither knows the names in ALLOWED_HOSTS."""
    settings.ALLOWED_HOSTS = ["agents.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    answers = [
        client.get(f"/api/v1/health{path}", headers={"Host": host}).status_code
        for path in ("", "/liveness", "/readiness?without=cache")
        for host in ("127.0.0.1:8000", "web-1:8000")
    ]

    assert answers == [200] * 6


def test_answers_head_too(client, db):
    assert client.head("/health").status_code == 200


def test_is_not_stored_on_the_way(client, db):
    assert client.get("/health")["Cache-Control"] == "no-store"


# how the components are looked at


async def test_does_not_wait_for_a_component_that_hangs(monkeypatch):
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.05)
    release = threading.Event()
    finding = await Check("stuck", lambda: release.wait(5) and {}).ask()
    release.set()

    assert finding.status == UNHEALTHY


async def test_looks_once_while_a_look_is_under_way(monkeypatch):
    monkeypatch.setattr(checks, "TIMEOUT_SECONDS", 0.02)
    release, looks = threading.Event(), []
    check = Check("stuck", lambda: looks.append(1) or (release.wait(5) and {}))
    for _ in range(3):
        await check.ask()
    release.set()

    assert len(looks) == 1


async def test_looks_again_afterwards():
    looks = []
    check = Check("fine", lambda: looks.append(1) or {})
    for _ in range(2):
        await check.ask()

    assert len(looks) == 2


async def test_measures_how_long_a_component_takes():
    finding = await Check("slow", lambda: time.sleep(0.02) or {}).ask()

    assert finding.milliseconds >= 20


# /health/liveness


def test_is_alive(api):
    answer = api().get("/health/liveness").json()

    assert (answer.keys(), answer["status"]) == ({"status", "timestamp"}, "alive")


# /health/readiness


def test_is_ready(api, db):
    answer = api().get("/health/readiness")

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


@pytest.mark.parametrize("component", ["database", "migrations"])
def test_is_not_ready_without(api, without, db, component):
    without(component)
    answer = api().get("/health/readiness")

    assert (answer.status_code, answer.json()["checks"][component]) == (503, "It does not answer.")


def test_is_ready_for_who_can_do_without_the_cache(api, without, db):
    without("shared_cache")
    strict, content = api().get("/health/readiness"), api().get("/health/readiness?without=cache")

    assert (strict.status_code, content.status_code) == (503, 200)
    assert content.json()["checks"]["cache"] == "It does not answer."


def test_is_not_ready_before_its_migrations_are_applied(monkeypatch):
    monkeypatch.setattr(checks, "missing_migrations", lambda: ["runs.0002_more"])

    with pytest.raises(Unhealthy, match="1 migrations"):
        MigrationsLook()()


def test_asks_for_migrations_until_there_are_none(monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "missing_migrations", lambda: asked.append(1) or [])
    look = MigrationsLook()
    look()
    look()

    assert len(asked) == 1


def test_is_not_ready_before_its_worker_is(api, db, settings):
    settings.EMBEDDED_WORKER = True
    answer = api().get("/health/readiness")

    assert (answer.status_code, answer.json()["checks"]["process"]) == (503, "The worker is not ready yet.")


def test_is_not_ready_while_it_still_serves_before_it_stops(monkeypatch):
    monkeypatch.setattr(checks.process, "leaving", True)

    assert process_problem() == "The process is stopping."


async def test_is_not_ready_while_it_stops():
    hub().drain()
    problem = process_problem()
    await hub().stop()

    assert problem == "The process is stopping."


# /health/detailed


def test_shows_the_details_of_the_contract(api, alice, one_thread):
    shown = api(alice).get("/health/detailed").json()

    assert shown.keys() == {
        "status", "timestamp", "checks", "agent_status", "performance", "system_info", "warnings",
    }  # fmt: skip


def test_shows_the_connection_pool(api, alice, one_thread):
    assert api(alice).get("/health/detailed").json()["checks"]["database"]["connection_pool"].keys() == {
        "active",
        "idle",
    }


def test_says_that_redis_is_not_configured(api, alice, settings, one_thread):
    settings.REDIS_URL = ""

    assert api(alice).get("/health/detailed").json()["checks"]["redis"]["status"] == "not_configured"


def test_says_that_no_worker_is_running(api, alice, one_thread):
    runner = api(alice).get("/health/detailed").json()["checks"]["agent_runner"]

    assert (runner["status"], runner["message"]) == (UNHEALTHY, "No worker is running.")


def test_shows_how_the_process_does(api, alice, one_thread):
    assert api(alice).get("/health/detailed").json()["system_info"]["memory_usage_mb"] > 10


@pytest.mark.parametrize(
    ("figures", "names"),
    [
        ({"avg_response_time_ms": 501}, ["avg_response_time_ms"]),
        ({"agent_avg_query_time_ms": 2000}, []),
        ({"cache_hit_rate": 0.79}, ["cache_hit_rate"]),
        ({"cache_hit_rate": None}, []),
        ({"error_rate_5min": 0.02, "active_connections": 1001}, ["error_rate_5min", "active_connections"]),
    ],
)
def test_names_figures_past_their_threshold(figures, names):
    assert past_threshold(figures) == names


@pytest.mark.parametrize(("who", "code"), [("audrey", 200), ("olivia", 200), ("bob", 403), ("vera", 403)])
def test_shows_details_to_those_who_oversee(api, request, who, code, one_thread):
    assert api(request.getfixturevalue(who)).get("/health/detailed").status_code == code


def test_shows_no_details_to_whoever_is_not_signed_in(api, one_thread):
    assert api().get("/health/detailed").status_code == 401


# Components that accept and never answer


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["", "/readiness"])
def test_answers_soon_while_the_database_accepts_and_never_answers(api, monkeypatch, path):
    """Real sockets: the kernel takes the connection, and nobody ever reads what is asked over it."""
    with silent_server() as port:

        def ask_silent_database():
            psycopg.connect(f"host=127.0.0.1 port={port} dbname=any connect_timeout=10")

        monkeypatch.setattr(checks, "database", Check("database", ask_silent_database))
        monkeypatch.setattr(checks, "migrations", Check("migrations", ask_silent_database))
        started = time.monotonic()
        answer = api().get(f"/health{path}")

    assert (answer.status_code, time.monotonic() - started < 10) == (503, True)


@pytest.mark.django_db
def test_answers_soon_while_redis_accepts_and_never_answers(api, monkeypatch, settings):
    settings.CACHES = {
        **settings.CACHES,
        "default": {
            "BACKEND": "agentplatform.lib.redis_cache.RedisCache",
            "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
        },
    }
    with silent_server() as port:
        settings.CACHES["default"]["LOCATION"] = f"redis://127.0.0.1:{port}/0"
        silent = CacheHandler(settings.CACHES)
        monkeypatch.setattr(checks, "cache", silent["default"])
        monkeypatch.setattr(checks, "shared_cache", Check("cache", checks.look_at_cache))
        readiness, health = api().get("/health/readiness"), api().get("/health")

    assert (readiness.status_code, health.status_code, health.json()["status"]) == (503, 200, "degraded")
    assert readiness.json()["checks"]["database"] == "ok"


def test_ends_although_a_look_never_does():
    """A process that is to stop does not wait for the thread of a component that hangs."""
    code = """
import os, asyncio, time
os.environ["DJANGO_SETTINGS_MODULE"] = "agentplatform.settings"
import django; django.setup()
from agentplatform.health import checks
checks.TIMEOUT_SECONDS = 0.1
print(asyncio.run(checks.Check("hangs", lambda: time.sleep(600)).ask()).status)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == UNHEALTHY
