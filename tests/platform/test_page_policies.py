"""The Content-Security-Policy of every page: no script runs that is not ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.factories import MembershipFactory

PROJECT = Path(__file__).resolve().parents[2]
PAGES = ["/sign-in/", "/admin/login/", "/", "/admin/", "/api/v1/docs", "/api/v1/redoc"]
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\b(?:src|nonce)=)(?![^>]*application/json)[^>]*>", re.IGNORECASE)
HANDLER = re.compile(r"<[a-z][^>]*\son[a-z]+=", re.IGNORECASE)


@pytest.fixture
def browser(workspace) -> Client:
    boss = MembershipFactory(
        workspace=workspace, user__is_superuser=True, user__is_staff=True, role="admin"
    ).user
    client = Client()
    client.force_login(boss)
    return client


def admin_pages() -> list[str]:
    return [
        reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_changelist")
        for model in admin.site._registry
    ]


def faults_of(answer) -> list[str]:
    """What is wrong with a page's scripts, by its policy and its text."""
    policy = {
        words[0]: words[1:]
        for part in answer.headers.get("Content-Security-Policy", "").split(";")
        if (words := part.split())
    }
    scripts = policy.get("script-src", ["missing"])
    page = answer.content.decode()
    found = [word for word in scripts if word in ("missing", "'unsafe-inline'", "*", "https:", "data:")]
    return [*found, *INLINE_SCRIPT.findall(page), *HANDLER.findall(page)]


def test_lets_no_script_run_that_is_not_ours(browser):
    paths = [*PAGES, *admin_pages()]
    answers = {path: browser.get(path) for path in paths}
    assert {answer.status_code for answer in answers.values()} <= {200, 302}
    shown = {path: faults_of(answer) for path, answer in answers.items() if answer.status_code == 200}
    assert {path: faults for path, faults in shown.items() if faults} == {}


def test_gives_each_answer_a_nonce_of_its_own(browser):
    nonces = {
        re.search(r"'nonce-([^']+)'", browser.get("/api/v1/docs").headers["Content-Security-Policy"])[1]
        for _ in range(3)
    }
    assert len(nonces) == 3


def test_django_finds_nothing_to_warn_of_in_production():
    """`check --deploy`; long random keys stand for an operator's own."""
    key = "".join(map(chr, range(33, 97))).replace("$", "").replace("'", "")
    environment = {"DEBUG": "false", "HTTPS": "true", "SECRET_KEY": key, "JWT_SECRET_KEY": key[::-1]}
    environment["FIELD_ENCRYPTION_KEYS"] = "aW5zZWN1cmUtZm9yLWRldmVsb3BtZW50LW9ubHktMTI="
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(
        command, cwd=PROJECT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
