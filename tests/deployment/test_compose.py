"""compose.yaml, the Dockerfile and the proxy's configuration: what can be said of them without starting containers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()
CADDYFILE = (PROJECT / "deploy" / "Caddyfile").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]
OURS = [name for name, service in SERVICES.items() if service.get("image") == "agentplatform"]
LASTING = [name for name in SERVICES if name != "schema"]


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_has_two_of_each():
    assert set(SERVICES) == {
        "proxy", "schema", "web-1", "web-2", "worker-1", "worker-2", "postgres", "redis",
    }  # fmt: skip


@pytest.mark.parametrize("name", LASTING)
def test_limits_restarts_and_stops_well(name):
    service = SERVICES[name]

    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert seconds(service["stop_grace_period"]) >= 10
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", OURS)
def test_lets_our_own_write_nowhere_but_where_they_have_to(name):
    service = SERVICES[name]

    assert (service["read_only"], service["cap_drop"], service["tmpfs"]) == (True, ["ALL"], ["/tmp"])
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_runs_as_nobody_in_particular():
    users = re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)

    assert users == ["10001"]
    assert f"--uid {users[0]}" in DOCKERFILE
    assert DOCKERFILE.index("USER 10001") > DOCKERFILE.rindex("\nFROM")


@pytest.mark.parametrize("name", ["web-1", "web-2"])
def test_gives_web_processes_the_time_that_they_take_to_stop(name):
    graceful = int(re.search(r'"--timeout-graceful-shutdown", "(\d+)"', DOCKERFILE)[1])
    drain = int(SERVICES[name]["environment"]["WEB_DRAIN_SECONDS"])
    interval = seconds(re.search(r"health_interval (\S+)", CADDYFILE)[1])

    assert seconds(SERVICES[name]["stop_grace_period"]) > drain + graceful
    assert drain > 2 * interval


@pytest.mark.parametrize("name", ["worker-1", "worker-2"])
def test_gives_workers_the_time_that_they_take_to_drain(name):
    assert seconds(SERVICES[name]["stop_grace_period"]) > settings.WORKER_DRAIN_SECONDS


def test_watches_over_everything_that_lasts():
    watched = {name for name in LASTING if "healthcheck" in SERVICES[name]}

    assert watched == {"worker-1", "worker-2", "postgres", "redis"}
    assert "HEALTHCHECK" in DOCKERFILE
    file = SERVICES["worker-1"]["environment"]["WORKER_ALIVE_FILE"]
    assert file.startswith("/tmp/")


def test_starts_nothing_before_the_schema_is_there():
    for name in ("web-1", "web-2", "worker-1", "worker-2"):
        assert SERVICES[name]["depends_on"]["schema"] == {"condition": "service_completed_successfully"}


def test_opens_only_the_proxy_to_the_outside():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]


def test_lets_the_proxy_know_every_web_process():
    assert SERVICES["proxy"]["environment"]["WEB_PROCESSES"].split() == ["web-1:8000", "web-2:8000"]
    assert "EXPOSE 8000" in DOCKERFILE


def test_buffers_nothing_and_keeps_figures_inside():
    assert "flush_interval -1" in CADDYFILE
    assert re.search(r"@internal path /metrics /metrics/\*\n\s+respond @internal 404", CADDYFILE)


def test_lets_redis_forget_instead_of_refusing():
    assert SERVICES["redis"]["command"][-2:] == ["--maxmemory-policy", "allkeys-lru"]


@pytest.mark.skipif(not shutil.which("caddy"), reason="caddy is not installed")
def test_is_a_configuration_that_the_proxy_takes():
    validated = subprocess.run(
        ["caddy", "validate", "--config", "deploy/Caddyfile", "--adapter", "caddyfile"],
        cwd=PROJECT,
        env={"HOME": "/nonexistent", "PATH": "/usr/local/bin:/usr/bin:/bin", "SITE_ADDRESS": ":8099"},
        capture_output=True,
        text=True,
    )

    assert validated.returncode == 0, validated.stderr


def test_brings_into_the_image_what_it_needs_and_nothing_else():
    let_in = set(re.findall(r"^!(\S+)", (PROJECT / ".dockerignore").read_text(), re.MULTILINE))

    assert let_in == {
        "accounts", "agentplatform", "agents", "billing", "runs", "templates", "static", "locale",
        "deploy/slim", "manage.py", "requirements.txt",
    }  # fmt: skip
    assert all((PROJECT / name).exists() for name in let_in)
