"""This machine: room on its disks, names that it can resolve, files that pages need."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.staticfiles import finders

from agentplatform.doctor.database import REACH
from agentplatform.doctor.examination import Check, Finding, ok, problem, warning
from agents.models import ChatModel

MEGABYTE = 1024 * 1024
LITTLE, TOO_LITTLE = 1024 * MEGABYTE, 100 * MEGABYTE
MOST_HOSTS = 20
STATIC_SAMPLES = ("runs/icon.svg", "admin/css/base.css", "unfold/css/styles.css")
host_by_provider = {
    "openai": "api.openai.com",
    "anthropic": "api.anthropic.com",
    "google": "generativelanguage.googleapis.com",
}


def look_at_disks() -> Iterator[Finding]:
    for what, folder in _folders().items():
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < LITTLE:
            judge = problem if free < TOO_LITTLE else warning
            yield judge(
                f"{free // MEGABYTE} MB are left for {what} ({place}).",
                "Make room, or choose another folder.",
            )
        else:
            yield ok(f"{free // MEGABYTE} MB are left for {what}.")


def _folders() -> dict[str, Path]:
    location = settings.STORAGES["default"]["OPTIONS"].get("location") or settings.DATA_DIR
    return {
        "data (AGENTPLATFORM_DATA_DIR)": settings.DATA_DIR,
        "files (STORAGE_URL)": Path(location) if str(location).startswith("/") else settings.DATA_DIR,
        "exports under way (EXPORT_TEMP_DIR)": Path(settings.EXPORT_TEMP_DIR or tempfile.gettempdir()),
    }


def look_at_names() -> Iterator[Finding]:
    """The hosts of the models that are enabled can be resolved. None is connected to."""
    hosts = _hosts_of_models()
    for host in sorted(hosts)[:MOST_HOSTS]:
        try:
            socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
        except OSError as error:
            yield problem(
                f"{host}, the host of a model, cannot be resolved: {error}.", "Check DNS on this machine."
            )
            return
    yield ok(
        f"The hosts of {len(hosts)} model endpoints can be resolved." if hosts else "No model names a host."
    )


def _hosts_of_models() -> set[str]:
    models = ChatModel.objects.filter(enabled=True).values_list("provider", "base_url").distinct()
    found = (urlsplit(url).hostname if url else host_by_provider.get(provider) for provider, url in models)
    return {host for host in found if host}


def look_at_static_files() -> Iterator[Finding]:
    if missing := [name for name in STATIC_SAMPLES if not finders.find(name)]:
        yield problem(
            f"Pages will miss {', '.join(missing)}.", "Install the platform and requirements.txt anew."
        )
    else:
        yield ok("Static files are there; web processes serve them.")


def look_at_log_file() -> Iterator[Finding]:
    if not settings.LOG_FILE:
        yield ok("Logs go to standard error.")
        return
    with open(settings.LOG_FILE, "ab"):
        yield ok(f"Logs go to {settings.LOG_FILE}.")


CHECKS = (
    Check("disks", look_at_disks),
    Check("names", look_at_names, REACH, "DNS does not answer: check /etc/resolv.conf."),
    Check("static_files", look_at_static_files),
    Check("log_file", look_at_log_file, remedy="Let this user write LOG_FILE."),
)
