"""Pages for people: who may open the live page of a run, what its script gets, its language and policy."""

from __future__ import annotations

import json
import re
from copy import copy

import pytest
from django.test import Client
from django.utils import translation

from runs import pages
from runs.models import Status
from tests.factories import RunFactory, UserFactory


@pytest.fixture
def run(workspace, olivia):
    return RunFactory(workspace=workspace, user=olivia, status=Status.RUNNING)


def visit(user, run, **headers):
    client = Client(headers=headers)
    client.force_login(user)
    return client.get(f"/runs/{run.pk}/")


def page_data(response) -> dict:
    found = re.search(r'<script id="page" type="application/json">(.*?)</script>', response.content.decode())
    return json.loads(found[1])


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 200), ("olivia", 200), ("vera", 200), ("bob", 404), ("audrey", 404), ("charlie", 404)],
)
def test_opens_to_those_who_may_read_the_run(request, run, who, status):
    assert visit(request.getfixturevalue(who), run).status_code == status


def test_opens_to_superusers(run):
    assert visit(UserFactory(is_superuser=True), run).status_code == 200


def test_is_not_there_for_a_run_that_is_not_there(olivia, run):
    gone = copy(run)
    run.delete()
    assert visit(olivia, gone).status_code == 404


def test_asks_strangers_to_sign_in(run):
    response = Client().get(f"/runs/{run.pk}/")
    assert response.headers["Location"] == f"/sign-in/?next=/runs/{run.pk}/"


@pytest.mark.parametrize(("who", "may"), [("olivia", True), ("alice", True), ("vera", False)])
def test_offers_the_verbs_to_those_who_may(request, run, who, may):
    assert page_data(visit(request.getfixturevalue(who), run))["may_steer"] is may


def test_lets_nothing_but_its_own_files_run(olivia, run):
    policy = visit(olivia, run).headers["Content-Security-Policy"]
    assert "script-src 'self'" in [directive.strip() for directive in policy.split(";")]
    assert "unsafe" not in policy


def test_writes_a_question_as_text(workspace, olivia):
    run = RunFactory(workspace=workspace, input_query="</script><script>alert(1)</script>")
    assert b"<script>alert" not in visit(olivia, run).content


def test_speaks_chinese_to_those_who_do(olivia, run):
    assert page_data(visit(olivia, run, accept_language="zh-CN"))["texts"]["status_running"] == "运行中"


def test_has_every_text_in_chinese():
    with translation.override("en"):
        english = pages.texts()
    with translation.override("zh-hans"):
        assert [name for name, text in pages.texts().items() if text and text == english[name]] == []


def test_has_an_icon_by_its_old_name(client):
    assert client.get("/favicon.ico").headers["Location"] == "/static/runs/icon.svg"
