"""The chat page: who gets it, in which workspace, with which policy, texts and agents."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from accounts.models import Membership
from accounts.roles import Role
from runs import chat_page, chat_texts
from tests.factories import AgentFactory, SessionFactory, ToolFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

VENDOR = Path(settings.BASE_DIR) / "static/vendor"


def visit(user, path="/", **headers):
    client = Client(headers=headers)
    client.force_login(user)
    return client.get(path)


def page_data(response) -> dict:
    found = re.search(r'<script id="page" type="application/json">(.*?)</script>', response.content.decode())
    return json.loads(found[1])


def test_asks_strangers_to_sign_in(client):
    assert client.get("/").headers["Location"] == "/sign-in/?next=/"


@pytest.mark.parametrize(("who", "may"), [("alice", True), ("olivia", True), ("bob", True), ("vera", False)])
def test_lets_those_write_who_may(request, who, may):
    response = visit(request.getfixturevalue(who))
    assert page_data(response)["may"]["write"] is may
    assert (b'id="message"' in response.content) is may


def test_says_to_an_auditor_why_there_is_nothing_to_see(audrey):
    response = visit(audrey)
    assert response.status_code == 403
    assert "Your role does not include conversations" in response.content.decode()


def test_brings_staff_to_the_admin_where_the_role_has_no_conversations(audrey):
    audrey.is_staff = True
    audrey.save()
    response = visit(audrey)
    assert (response.status_code, response.headers["Location"]) == (302, "/admin/")


def test_says_why_to_staff_who_ask_for_the_workspace_by_name(audrey, workspace):
    audrey.is_staff = True
    audrey.save()
    response = visit(audrey, f"/?workspace={workspace.slug}")
    assert response.status_code == 403
    assert "Your role does not include conversations" in response.content.decode()


def test_begins_in_a_workspace_that_has_conversations_for_the_reader(audrey):
    other = WorkspaceFactory()
    Membership.objects.create(user=audrey, workspace=other, role=Role.USER)
    assert page_data(visit(audrey))["workspace"] == other.slug


def test_says_to_a_user_without_a_workspace_what_to_do():
    response = visit(UserFactory())
    assert response.status_code == 403
    assert "You are not in a workspace yet" in response.content.decode()


def test_lets_nothing_but_its_own_files_run(olivia):
    policy = [part.strip() for part in visit(olivia).headers["Content-Security-Policy"].split(";")]
    assert {"script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(
        policy
    )
    assert not any("unsafe" in part or "nonce" in part for part in policy)


def test_has_nothing_inline(olivia):
    page = visit(olivia).content.decode()
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))|<style| style=| on\w+=", page) == []


def test_names_every_module_that_its_script_imports():
    static = Path(settings.BASE_DIR) / "static"
    found, pending = set(), [static / "chat/app.js"]
    while pending:
        module = pending.pop()
        imported = re.findall(r'^import .* from "(\..+)";$', module.read_text(), re.MULTILINE)
        new = {(module.parent / path).resolve() for path in imported} - found
        found |= new
        pending += new
    assert {str(path.relative_to(static.resolve())) for path in found} == set(chat_page.MODULES)


def test_gives_its_script_the_token_against_forgery(olivia):
    assert settings.CSRF_COOKIE_NAME in visit(olivia).cookies


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 200), ("olivia", 200), ("vera", 200), ("bob", 404), ("audrey", 403), ("charlie", 404)],
)
def test_opens_a_conversation_to_those_who_may_read_it(request, workspace, alice, who, status):
    session = SessionFactory(workspace=workspace, user=alice)
    assert visit(request.getfixturevalue(who), f"/c/{session.pk}").status_code == status


def test_is_not_there_for_a_conversation_that_is_not_there(olivia):
    assert visit(olivia, "/c/01934d6e-7a1c-7c52-9d5e-2f8a1b3c4d5e").status_code == 404


def test_opens_a_conversation_in_its_own_workspace(olivia):
    second = Membership.objects.create(workspace=WorkspaceFactory(), user=olivia, role=Role.USER).workspace
    session = SessionFactory(workspace=second, user=olivia)
    assert page_data(visit(olivia, f"/c/{session.pk}"))["workspace"] == second.slug


def test_stays_in_the_workspace_that_was_chosen(olivia):
    Membership.objects.create(workspace=WorkspaceFactory(slug="second"), user=olivia, role=Role.USER)
    client = Client()
    client.force_login(olivia)
    chosen = [
        page_data(client.get(path))["workspace"]
        for path in ("/", "/?workspace=second", "/", "/?workspace=other")
    ]
    assert chosen == ["acme", "second", "second", "acme"]


def test_offers_the_agents_that_can_be_talked_to(olivia, workspace, other_workspace):
    AgentFactory(workspace=workspace, name="zebra", is_default=True)
    AgentFactory(workspace=workspace, name="ape", tools=[ToolFactory(workspace=workspace, name="calculator")])
    AgentFactory(workspace=workspace, name="asleep", enabled=False)
    AgentFactory(workspace=other_workspace, name="foreign")
    agents = page_data(visit(olivia))["agents"]
    assert [one["name"] for one in agents] == ["zebra", "ape"]
    assert agents[1]["prompts"][0] == "What is 17 * 23?"


def test_asks_the_database_as_often_for_many_agents(olivia, workspace, django_assert_num_queries):
    for _ in range(20):
        AgentFactory(workspace=workspace, tools=[ToolFactory(workspace=workspace)])
    client = Client()
    client.force_login(olivia)
    client.get("/")
    with django_assert_num_queries(5):
        client.get("/")


def test_writes_names_as_text(workspace, olivia):
    AgentFactory(workspace=workspace, description="</script><script>alert(1)</script>")
    assert b"<script>alert" not in visit(olivia).content


def test_leads_staff_to_the_admin(olivia):
    assert b"/admin/" not in visit(olivia).content
    olivia.is_staff = True
    olivia.save()
    assert b'href="/admin/"' in visit(olivia).content


def test_speaks_chinese_to_those_who_do(olivia):
    assert page_data(visit(olivia, accept_language="zh-CN"))["texts"]["thinking"] == "思考中……"


def test_has_every_text_in_chinese():
    def all_texts() -> dict[str, str]:
        prompts = [*chat_page.prompts_by_tool().values(), *chat_page.general_prompts()]
        return {**chat_texts.texts(), **dict(enumerate(prompts))}

    with translation.override("en"):
        english = all_texts()
    with translation.override("zh-hans"):
        assert [name for name, text in all_texts().items() if text and text == english[name]] == []


@pytest.mark.parametrize("name", ["marked-18.2.1", "dompurify-3.4.18", "rapidoc-9.3.8"])
def test_ships_libraries_as_they_were_built(name):
    digest, file = next((VENDOR / name).glob("*.sha256")).read_text().split()
    assert hashlib.sha256((VENDOR / name / file).read_bytes()).hexdigest() == digest
    assert name.replace("-", " ") in (VENDOR / name / "LICENSES.txt").read_text()
