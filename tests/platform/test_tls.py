"""TLS to PostgreSQL and Redis: their certificates are checked, and one's own is shown; with the real servers."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from agentplatform.lib.redis_url import with_certificates
from bench.platform import free_port
from tests.crash.services import RedisServer
from tests.platform.certificates import Certificates, has_openssl

PROJECT = Path(__file__).resolve().parents[2]
SYSTEM_POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
ASK_DATABASE = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    print(*cursor.fetchone())
"""
ASK_CACHE = """
import django; django.setup()
from django.core.cache import cache
cache.set("x", "kept"); print(cache.get("x"))
"""

needs_openssl = pytest.mark.skipif(not has_openssl(), reason="openssl is not installed")
needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
needs_postgres = pytest.mark.skipif(
    not SYSTEM_POSTGRES or os.geteuid() != 0, reason="no PostgreSQL with TLS, or nobody to run it as"
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def ask(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a process of the platform with these settings prints."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "agentplatform.settings",
            "DEBUG": "true",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# Redis


@pytest.fixture(scope="module")
def redis(certificates) -> Iterator[str]:
    """The address of a Redis that speaks TLS only to who shows a certificate of our CA."""
    port = free_port()
    options = ["--tls-port", str(port), "--tls-ca-cert-file", certificates["ca"]]
    options += ["--tls-cert-file", certificates["server"], "--tls-key-file", certificates.key("server")]
    with RedisServer(*options):
        yield f"rediss://localhost:{port}/0"


def redis_settings(certificates, url, *, ca="ca", own="client") -> dict[str, str]:
    named = {"REDIS_URL": url, "REDIS_CA_FILE": certificates[ca]}
    mine = {"REDIS_CERT_FILE": certificates[own], "REDIS_KEY_FILE": certificates.key(own)} if own else {}
    return named | mine


@needs_openssl
@needs_redis
def test_caches_in_redis_under_tls_with_a_certificate_of_its_own(certificates, redis):
    answer = ask(ASK_CACHE, **redis_settings(certificates, redis))
    assert answer.stdout.strip() == "kept", answer.stderr


@needs_openssl
@needs_redis
@pytest.mark.parametrize(("ca", "own"), [("stranger", "client"), ("ca", "stranger"), ("ca", "")])
def test_does_not_talk_to_redis_where_a_certificate_is_wrong(certificates, redis, ca, own):
    url = with_certificates(
        redis, ca=certificates[ca], certificate=own and certificates[own], key=own and certificates.key(own)
    )
    with Redis.from_url(url) as client, pytest.raises(RedisConnectionError):
        client.ping()


def test_keeps_what_the_address_says_already():
    url = with_certificates("rediss://host:6380/0?protocol=3", ca="/etc/ssl/my ca.pem")
    assert url == "rediss://host:6380/0?protocol=3&ssl_ca_certs=%2Fetc%2Fssl%2Fmy+ca.pem"


@pytest.mark.parametrize(
    ("url", "files"),
    [
        ("redis://host/0", {"ca": "/ca.pem"}),
        ("rediss://host/0", {"certificate": "/client.pem"}),
        ("rediss://host/0", {"key": "/client.key"}),
    ],
)
def test_refuses_certificates_that_would_be_of_no_use(url, files):
    with pytest.raises(ImproperlyConfigured):
        with_certificates(url, **files)


# PostgreSQL


@pytest.fixture(scope="module")
def postgres(certificates, tmp_path_factory) -> Iterator[int]:
    """The port of a PostgreSQL that lets in by TLS and a certificate of our CA alone."""
    programs, data = SYSTEM_POSTGRES[0], tmp_path_factory.mktemp("postgres") / "data"
    for folder in [data.parent, *data.parent.parents]:
        if folder.stat().st_uid == 0 and folder != Path("/") and str(folder).startswith("/tmp/pytest"):
            folder.chmod(0o755)
    owner = pwd.getpwnam("postgres")
    data.mkdir()
    files = {}
    for name, path in (
        ("ca", certificates["ca"]),
        ("crt", certificates["server"]),
        ("key", certificates.key("server")),
    ):
        files[name] = shutil.copy(path, data.parent / f"server.{name}")
    for path in (data, *map(Path, files.values())):
        os.chown(path, owner.pw_uid, owner.pw_gid)
        path.chmod(0o700 if path.is_dir() else 0o600)
    as_owner = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": [], "cwd": "/"}
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "client", "--auth=reject"],
        check=True,
        capture_output=True,
        **as_owner,
    )
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 cert\n")
    port = free_port()
    options = {"port": port, "ssl": "on", "ssl_ca_file": files["ca"], "ssl_cert_file": files["crt"]}
    options |= {"ssl_key_file": files["key"], "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    process = subprocess.Popen(
        [programs / "postgres", "-D", data, *arguments], stderr=subprocess.DEVNULL, **as_owner
    )
    until = time.monotonic() + 30
    while subprocess.run(
        [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], capture_output=True
    ).returncode:
        assert process.poll() is None, "PostgreSQL does not start"
        assert time.monotonic() < until, "PostgreSQL does not answer"
        time.sleep(0.05)
    yield port
    process.terminate()
    process.wait(30)


def database_url(certificates, port, *, ca="ca", own="client") -> str:
    mine = f"&sslcert={certificates[own]}&sslkey={certificates.key(own)}" if own else ""
    return f"postgresql://client@localhost:{port}/postgres?sslmode=verify-full&sslrootcert={certificates[ca]}{mine}"


@needs_openssl
@needs_postgres
def test_asks_postgresql_under_tls_with_a_certificate_of_its_own(certificates, postgres):
    answer = ask(ASK_DATABASE, DATABASE_URL=database_url(certificates, postgres))
    assert answer.stdout.strip() == "True /CN=client", answer.stderr


@needs_openssl
@needs_postgres
@pytest.mark.parametrize(("ca", "own"), [("stranger", "client"), ("ca", "stranger")])
def test_does_not_talk_to_postgresql_where_a_certificate_is_wrong(certificates, postgres, ca, own):
    answer = ask(ASK_DATABASE, DATABASE_URL=database_url(certificates, postgres, ca=ca, own=own))
    assert (answer.returncode, answer.stdout) == (1, "")
